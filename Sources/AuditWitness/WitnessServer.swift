import AuditHTTP
import AuditTLS
import Logging

/// Serves a witness over HTTP.
///
/// - `POST /add-checkpoint`: submits a checkpoint; the answer is the cosignature.
/// - `GET /<sha256 of the origin in hex>/checkpoint`: the last cosigned checkpoint.
///
/// It needs no authentication: it acts only on checkpoints that a known log has signed, and serves only public, signed data. So any `Host`
/// name is accepted.
public final class WitnessServer: Sendable {
  /// The limits of a witness. An address that sent a known log's signed checkpoint is a known peer; its connections are closed last.
  public static var limits: HTTPLimits {
    var limits = HTTPLimits()
    limits.connections = 1000
    // A checkpoint with its proof and a dozen signatures has some 6,000.
    limits.bodyBytes = 128 << 10
    limits.heldBytes = 16 << 20
    // A worker waits for the sync of its checkpoint.
    limits.workers = 4
    return limits
  }

  private let listener: HTTPListener

  /// - Parameter tls: `nil`: plain HTTP.
  public init(_ witness: Witness, limits: HTTPLimits = WitnessServer.limits, tls: ServerTLS? = nil, logger: Logger) {
    listener = HTTPListener(limits: limits, hosts: nil, logger: logger, tls: tls) { request in
      .working { Self.answer(request, of: witness, logger) }
    }
  }

  /// Listens, and returns the port.
  ///
  /// - Parameter port: 0 for any free port.
  /// - Throws: if the address cannot be bound.
  public func start(host: String, port: Int) async throws -> Int { try await listener.start(host: host, port: port) }

  /// Stops listening, and returns when running requests are on disk. Unsent answers are lost; the log asks again.
  public func stop() async throws { try await listener.stop() }

  /// Answers a request. Blocks.
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
      return HTTPAnswer(status: 404, body: "not found; the paths are /add-checkpoint and /<sha256 of the origin in hex>/checkpoint\n")
    }
    guard request.method == "GET" || request.method == "HEAD" else { return HTTPAnswer(status: 405, body: "use GET\n") }
    guard let note = witness.checkpoint(originHash: parts[1]) else {
      return HTTPAnswer(status: 404, body: "no cosigned checkpoint of a log whose origin has this hash\n")
    }
    return HTTPAnswer(status: 200, body: note)
  }

  /// Logs one line for each submission.
  private static func record(_ answer: Witness.Answer, _ logger: Logger) {
    var metadata: Logger.Metadata = ["status": "\(answer.status)"]
    if let origin = answer.origin { metadata["origin"] = "\(origin)" }
    if let size = answer.size { metadata["size"] = "\(size)" }
    if let size = answer.cosignedSize { metadata["cosigned_size"] = "\(size)" }
    guard answer.status != 200 else { return logger.info("cosigned", metadata: metadata) }
    metadata["reason"] = "\(answer.body.prefix { $0 != "\n" })"
    if let refused = answer.refused { metadata["checkpoint"] = "\(refused)" }
    if answer.isEvidence {
      // Together with the stored checkpoint this is evidence that anybody can verify.
      logger.critical("a log has signed two roots for one size; keep this checkpoint and the cosigned one as evidence", metadata: metadata)
    } else if answer.refused != nil {
      logger.error(
        """
        a signed checkpoint was submitted without a valid proof that it extends the one cosigned last; if the log itself submitted it, the \
        log's history has changed
        """,
        metadata: metadata)
    } else if answer.status == 500 {
      logger.error("not cosigned", metadata: metadata)
    } else if answer.status == 409 {
      logger.info("answered with the cosigned size", metadata: metadata)
    } else {
      logger.notice("refused", metadata: metadata)
    }
  }
}
