import AuditHTTP
import Logging

/// A witness over HTTP.
///
/// - `POST /add-checkpoint`: submits a checkpoint, answers the cosignature.
/// - `GET /<sha256 of the origin in hex>/checkpoint`: what was cosigned last.
///
/// Whoever reaches it may ask: only checkpoints that a known log has signed are acted on. What it serves is public and signed, so it may be
/// asked for by any name.
public final class WitnessServer: Sendable {
  /// What a witness holds for its peers. Where a log's signed checkpoint came from is a known peer: its connections make room last.
  public static var limits: HTTPLimits {
    var limits = HTTPLimits()
    limits.connections = 1000
    // A checkpoint with its proof and a dozen signatures has some 6,000.
    limits.bodyBytes = 128 << 10
    limits.heldBytes = 16 << 20
    // They wait for syncs.
    limits.workers = 4
    return limits
  }

  private let listener: HTTPListener

  public init(_ witness: Witness, limits: HTTPLimits = WitnessServer.limits, logger: Logger) {
    listener = HTTPListener(limits: limits, hosts: nil, logger: logger) { request in
      .working { Self.answer(request, of: witness, logger) }
    }
  }

  /// Listens; returns the port in use.
  ///
  /// - Throws: when the address cannot be had.
  public func start(host: String, port: Int) async throws -> Int { try await listener.start(host: host, port: port) }

  /// Ends when what is under way is on disk. Answers that are not out are lost; the log asks again.
  public func stop() async throws { try await listener.stop() }

  /// What is answered to a request; blocks.
  private static func answer(_ request: HTTPRequest, of witness: Witness, _ logger: Logger) -> HTTPAnswer {
    if request.path == "/add-checkpoint" {
      guard request.method == "POST" else { return HTTPAnswer(status: 405, body: "use POST\n") }
      let answer = witness.addCheckpoint(request.body)
      record(answer, logger)
      var reply = HTTPAnswer(status: answer.status, contentType: answer.contentType, body: answer.body)
      reply.isOfKnownPeer = answer.isOfKnownLog
      return reply
    }
    let parts = request.path.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].isEmpty, parts[2] == "checkpoint" else {
      return HTTPAnswer(status: 404, body: "not found; there are /add-checkpoint and /<sha256 of the origin in hex>/checkpoint\n")
    }
    guard request.method == "GET" || request.method == "HEAD" else { return HTTPAnswer(status: 405, body: "use GET\n") }
    guard let note = witness.checkpoint(originHash: parts[1]) else {
      return HTTPAnswer(status: 404, body: "no checkpoint was cosigned of a log whose origin has this hash\n")
    }
    return HTTPAnswer(status: 200, body: note)
  }

  /// One line for every submission.
  private static func record(_ answer: Witness.Answer, _ logger: Logger) {
    var metadata: Logger.Metadata = ["status": "\(answer.status)"]
    if let origin = answer.origin { metadata["origin"] = "\(origin)" }
    if let size = answer.size { metadata["size"] = "\(size)" }
    if let size = answer.cosignedSize { metadata["cosigned_size"] = "\(size)" }
    guard answer.status != 200 else { return logger.info("cosigned", metadata: metadata) }
    metadata["reason"] = "\(answer.body.prefix { $0 != "\n" })"
    if let refused = answer.refused { metadata["checkpoint"] = "\(refused)" }
    if answer.isEvidence {
      // With what is remembered anybody can see it.
      logger.critical("a log has signed another root for the size that was cosigned last", metadata: metadata)
    } else if answer.refused != nil {
      logger.error(
        """
        a checkpoint that a log has signed was submitted without a proof that it continues the one that was cosigned last; if the log itself \
        submitted it, it has another past
        """,
        metadata: metadata)
    } else if answer.status == 500 {
      logger.error("not cosigned", metadata: metadata)
    } else if answer.status == 409 {
      logger.info("told what is cosigned", metadata: metadata)
    } else {
      logger.notice("refused", metadata: metadata)
    }
  }
}
