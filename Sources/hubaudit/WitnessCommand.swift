import ArgumentParser
import AuditClient
import AuditSchema
import AuditTLS
import AuditWitness
import Foundation
import Logging
import MerkleTree

/// `hubaudit witness`: a witness of logs.
struct WitnessCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "witness",
    abstract: "Run a witness: it cosigns the checkpoints of logs that only grow.",
    discussion: """
      To be run on another machine than the log, by somebody else if possible. It remembers the largest checkpoint that it has seen of each \
      log, and cosigns one only when it continues that (C2SP tlog-witness, over HTTP). What it remembers is on disk before it answers; \
      losing the state directory is losing what the witness is for. What it serves is public and signed; whoever reaches it can submit only \
      what a log has signed. TLS, of its own or of a proxy before it, keeps others from blocking some of it unseen.

      The logs are given by the verifier keys that `hubaudit keygen` printed, or by the log lines of a policy file; two of one name while a \
      log changes its key. SIGTERM and SIGINT end it. SIGHUP reads the certificate and its key again; so does a change of their files, within \
      10 s.
      """)

  @Option(help: "Address for HTTP: host:port (0: any free port).") var listen = "127.0.0.1:7413"
  @Option(help: "Directory in which it remembers what it has cosigned; made when it is missing.", completion: .directory) var state: String
  @Option(help: "File of the witness' key (hubaudit keygen NAME -o FILE --witness).", completion: .file()) var key: String
  @Flag(help: "The key file's group may read it, too.") var keyGroupReadable = false
  @Option(help: "File of its TLS certificate chain (PEM). With it, HTTP goes over TLS 1.3 only.", completion: .file()) var tlsCert: String?
  @Option(help: "File of the private key of --tls-cert (PEM), readable for its owner only.", completion: .file()) var tlsKey: String?
  @Option(parsing: .upToNextOption, help: "Verifier keys of the logs.") var log: [String] = []
  @Option(help: "Policy file (C2SP tlog-policy) whose log lines name the logs.", completion: .file()) var policy: String?
  @Option(help: "auto (JSON unless on a terminal), json or text.") var logFormat = "auto"
  @Option(help: "trace, debug, info, notice, warning, error or critical.") var logLevel = "info"

  func run() async throws {
    let logger = try LogOutput(format: logFormat, level: logLevel).logger("witness")
    guard let address = try? ServerAddress(parsing: listen, ports: 0...65535), case .tcp(let host, let port) = address else {
      throw CommandFailure(.usage, "--listen: \"\(listen)\" is not host:port")
    }
    let key = try KeyFile.read(key, isGroupReadable: keyGroupReadable)
    var logs = try policy.map { try PolicyFile.read($0).logs.map(\.key) } ?? []
    for text in log {
      do throws(EvidenceError) { logs.append(try VerifierKey(text)) } catch { throw CommandFailure(.usage, "--log: \(error)") }
    }
    let tls = try makeTLS()
    let witness: Witness
    do throws(WitnessError) {
      witness = try Witness(directory: state, key: key, logs: logs, now: { UTCTime.now() / 1_000_000_000 })
    } catch {
      throw CommandFailure(error.code == .misconfigured ? .usage : .failure, "\(error)")
    }
    try FileLimit.require(2 * FileLimit.eventLoop + FileLimit.client)
    let signals = Signals([SIGTERM, SIGINT, SIGHUP])
    let server = WitnessServer(witness, tls: tls, logger: logger)
    let bound: Int
    do {
      bound = try await server.start(host: host, port: port)
    } catch {
      throw CommandFailure(.failure, "cannot listen on \(listen): \(error.reason); is another witness there? see --listen")
    }
    for (origin, size) in witness.cosigned.sorted(by: { $0.origin < $1.origin }) {
      logger.notice("cosigns", metadata: ["origin": "\(origin)", "cosigned_size": "\(size)"])
    }
    logger.notice(
      "ready",
      metadata: [
        "listen": "\(ServerAddress.tcp(host: host, port: bound))", "state": "\(state)", "verifier_key": "\(key.verifier)",
        "version": "\(Hubaudit.version)",
      ])
    SystemdNotifier.notify("READY=1")
    let files = WatchedFiles([tlsCert, tlsKey].compactMap(\.self))
    let watch = files.watch { await Self.reload(tls, files, logger) }
    defer { watch.cancel() }
    for await signal in signals.received {
      guard signal == SIGHUP else { break }
      await Self.reload(tls, files, logger)
    }
    SystemdNotifier.notify("STOPPING=1")
    try await server.stop()
    logger.notice("stopped")
  }

  private func makeTLS() throws -> ServerTLS? {
    switch (tlsCert, tlsKey) {
    case (nil, nil): return nil
    case (let certificate?, let key?):
      var files = TLSFiles(certificate: certificate, key: key)
      files.isKeyGroupReadable = keyGroupReadable
      do { return try ServerTLS(files) } catch { throw CommandFailure(.usage, "\(error)") }
    case (_?, nil): throw CommandFailure(.usage, "--tls-cert: a certificate needs its private key; give --tls-key too")
    case (nil, _?): throw CommandFailure(.usage, "--tls-key: a private key needs its certificate; give --tls-cert too")
    }
  }

  /// New connections get what the files say now. If they cannot be used, everything stays as it was.
  private static func reload(_ tls: ServerTLS?, _ files: WatchedFiles, _ logger: Logger) async {
    guard let tls else { return }
    await files.reading {
      do throws(TLSFileError) {
        let isNew = try tls.reload().isCertificateNew
        logger.notice("the certificate was read again", metadata: ["changed": "\(isNew)"])
      } catch {
        logger.error("the certificate cannot be read again; everything stays as it is", metadata: ["reason": "\(error)"])
      }
    }
  }
}
