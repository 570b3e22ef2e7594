import AccessControl
import AdminHTTP
import AuditLog
import AuditSchema
import Logging
import MerkleTree
import SegmentStore
import Synchronization
import TestSupport

import AuditHTTP

/// A responder on a signed log in memory, without a socket.
final class AdminFixture: Sendable {
  /// Records of the log.
  static let records = 3
  static let operatorToken = AccessToken(id: "operator")
  static let proverToken = AccessToken(id: "prover")
  static let readerToken = AccessToken(id: "reader")
  static let partialToken = AccessToken(id: "partial")
  /// Its identity has no rights.
  static let anybodyToken = AccessToken(id: "anybody")

  /// What the responder told the server of.
  struct Told: Equatable {
    var unauthenticated: [String] = []
    /// "principal right request"
    var denied: [String] = []
    /// "principal from..<to whole"
    var reads: [String] = []
  }

  let health = Mutex(Health())
  let told = Mutex(Told())
  /// Why no read may be made.
  let readRefusal = Mutex<RequestError?>(nil)
  private let log: AuditLog?

  private init(_ log: AuditLog?) { self.log = log }

  deinit { try? log?.close() }

  /// - Parameter isSigned: whether the log has a checkpoint.
  static func make(isSigned: Bool = true) async throws -> AdminFixture {
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    var configuration = AuditLogConfiguration()
    if isSigned { configuration.signingKeys = [try SignerKey.generate(name: "log.example/hubs", kind: .ed25519)] }
    var disk = SegmentStoreConfiguration()
    disk.origin = isSigned ? "log.example/hubs" : nil
    let store = try SegmentStore(directory: "/log", configuration: disk, fileSystem: MemoryFileSystem(), logger: quiet)
    let log = try AuditLog(store: store, hub: "h", configuration: configuration, logger: quiet)
    try await log.finishOpening()
    while log.nextSequence < UInt64(records) { try await log.append(json: Array("{\"kind\":\"k\"}".utf8)) }
    if let checkpoints = log.checkpoints {
      _ = try await withCheckedThrowingContinuation { (done: CheckedContinuation<StoredCheckpoint, any Error>) in
        checkpoints.covering(log.nextSequence) { done.resume(with: $0.mapError { $0 as any Error }) }
      }
    }
    return AdminFixture(log)
  }

  /// The size of the newest checkpoint.
  var size: UInt64 { log?.newestCheckpoint?.size ?? 0 }

  private static func table() throws -> AccessTable {
    let tokens = [operatorToken, proverToken, readerToken, partialToken, anybodyToken]
    let identities = tokens.map { "identity \($0.id) token \($0.id) sha256:\(Hex.encode($0.sha256))\n" }.joined()
    return try AccessTable(
      identities + "grant operator operate\ngrant prover prove\ngrant reader read hubs=*,hubaudit\ngrant partial read hubs=*\n")
  }

  /// - Parameters:
  ///   - isOpen: without an access file.
  ///   - hasEvidence: whether the log has a tree.
  func responder(isOpen: Bool = false, isEvidencePublic: Bool = false, hasEvidence: Bool = true) throws -> AdminHTTPResponder {
    var access: AdminAccess?
    if !isOpen {
      let table = try Self.table()
      access = AdminAccess(
        judge: { table }, isEvidencePublic: isEvidencePublic, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        unauthenticated: { failure in self.told.withLock { $0.unauthenticated.append(failure.cause.rawValue) } },
        denied: { principal, right, request in self.told.withLock { $0.denied.append("\(principal) \(right) \(request)") } },
        mayRead: { if let refusal = self.readRefusal.withLock({ $0 }) { throw refusal } },
        haveRead: { principal, sequences, isWhole in
          self.told.withLock { $0.reads.append("\(principal) \(sequences) \(isWhole ? "whole" : "failed")") }
        })
    }
    return AdminHTTPResponder(
      health: { self.health.withLock { $0 } }, details: { _ in ["[ ] detail"] }, metrics: { [Metric(.gauge, "up", "Up.", 1)] },
      evidence: hasEvidence ? log.flatMap { TiledLog($0) } : nil, access: access)
  }
}

/// A token in a request from this machine.
func request(_ target: String, _ token: AccessToken? = nil, method: String = "GET") -> HTTPRequest {
  let parts = target.split(separator: "?", maxSplits: 1)
  var request = HTTPRequest(method: method, path: String(parts[0]), query: parts.count == 2 ? String(parts[1]) : "", body: [])
  if let token { request.authorization = ["Bearer \(token.text)"] }
  request.peer.isLocal = true
  return request
}

extension AdminHTTPResponder {
  /// The answer, and whether a worker thread made it.
  func answer(_ request: HTTPRequest) async -> (answer: HTTPAnswer, isWorkers: Bool) {
    var next = respond(to: request)
    while true {
      switch next {
      case .now(let answer): return (answer, false)
      case .working(let work): return (work(), true)
      case .later(let later): next = await later()
      }
    }
  }
}

extension HTTPAnswer {
  var text: String { String(decoding: body, as: UTF8.self) }
}
