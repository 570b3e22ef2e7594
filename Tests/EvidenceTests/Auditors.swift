import AuditClient
import AuditLog
import AuditSchema
import AuditServer
import Foundation
import MerkleTree
import SegmentStore
import TestSupport

/// Who has noticed a tampering.
enum Verdict: Hashable {
  case verify
  /// The server does not start.
  case start
  /// A client that has seen the newest checkpoint, at a server that has started.
  case client
  case nobody(opened: Bool)
  /// Nobody: it touches only records that no checkpoint covers yet.
  case withinWindow
  /// Nobody: every record is what it was, and the log stands by every checkpoint that was ever shown.
  case nothingLost
}

/// All that look for tamperings, each as in real use but for the disk, which is memory.
final class Auditors {
  private let memory = FileManager.default.temporaryDirectory.appending(path: "evidence-\(UUID().uuidString)").path

  init() throws {}

  deinit { try? FileManager.default.removeItem(atPath: memory) }

  /// Who notices first that `files` are not the directory of `log`.
  func look(at files: [String: [UInt8]], of log: SignedLog) async throws -> Verdict {
    if isRefuted(files, log) { return .verify }
    let opened: AuditLog
    do {
      opened = try await SignedLog.open(
        MemoryFileSystem(files), signers: [log.keys[1]], segmentBytes: log.segmentBytes, now: { UTCTime.now() })
    } catch { return .start }
    let verdict: Verdict = try await isTampered(opened, log) ? .client : .nobody(opened: true)
    try opened.close()
    return verdict
  }

  /// `hubaudit verify --key`, with the first key that the log had.
  private func isRefuted(_ files: [String: [UInt8]], _ log: SignedLog) -> Bool {
    do {
      let verification = try LogVerification(
        directory: ForgedLog.root, checkpoints: nil, keys: log.trusted, brought: [], fileSystem: MemoryFileSystem(files), progress: { _ in }
      )
      return verification.audit.findingCount > 0
    } catch { return true }
  }

  /// Whether the log still stands by every checkpoint that was ever shown.
  func standsByAll(_ files: [String: [UInt8]], _ log: SignedLog, shown: [StoredCheckpoint]) throws -> Bool {
    let verification = try LogVerification(
      directory: ForgedLog.root, checkpoints: nil, keys: log.keys.map(\.verifier),
      brought: shown.map { (try SignedCheckpoint($0.note), "kept") }, fileSystem: MemoryFileSystem(files), progress: { _ in })
    return verification.audit.findingCount == 0
  }

  /// Connects as somebody who has seen the log's newest checkpoint.
  private func isTampered(_ opened: AuditLog, _ log: SignedLog) async throws -> Bool {
    _ = try await opened.checkpoint()
    var configuration = ServerConfiguration()
    configuration.addresses = [.tcp(host: "127.0.0.1", port: 0)]
    // All of the machine may be at other tests.
    configuration.helloTimeout = .seconds(300)
    let server = AuditServer(log: opened, configuration: configuration, logger: SignedLog.quiet)
    guard case .tcp(let host, let port) = try await server.start().first else { return false }
    try Data(log.newest.bytes).write(to: URL(fileURLWithPath: memory))
    var connection = ClientConfiguration(address: .tcp(host: host, port: port))
    connection.timeout = .seconds(300)
    connection.checkpoints = try CheckpointMemory(keys: log.keys.map(\.verifier), file: memory)
    var isTampered = false
    do throws(ClientError) {
      let client = try await AuditClient.connect(connection, logger: SignedLog.quiet)
      await client.close()
    } catch {
      guard error.code == .tampered else {
        try await server.stop()
        throw error
      }
      isTampered = true
    }
    try await server.stop()
    return isTampered
  }
}

/// How many tamperings of each kind there were, and who noticed.
struct TamperingTable: CustomStringConvertible {
  private var counts: [Tampering: [Verdict: Int]] = [:]
  private(set) var count = 0

  mutating func add(_ how: Tampering, _ verdict: Verdict) {
    counts[how, default: [:]][verdict, default: 0] += 1
    count += 1
  }

  var description: String {
    let columns: [(String, Verdict)] = [
      ("verify", .verify), ("start", .start), ("client", .client), ("in the window", .withinWindow), ("nothing lost", .nothingLost),
      ("NOBODY", .nobody(opened: true)),
    ]
    func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(1, width - text.count)) + text }
    func left(_ text: String) -> String { text + String(repeating: " ", count: max(1, 30 - text.count)) }
    var lines = [left("tampered, first noticed by") + right("tried", 8) + columns.map { right($0.0, 15) }.joined()]
    for how in Tampering.allCases {
      let row = counts[how, default: [:]]
      lines.append(
        left(how.rawValue) + right("\(row.values.reduce(0, +))", 8) + columns.map { right("\(row[$0.1, default: 0])", 15) }.joined())
    }
    return lines.joined(separator: "\n")
  }
}
