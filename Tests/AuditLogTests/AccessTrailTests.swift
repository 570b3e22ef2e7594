import AuditLog
import AuditSchema
import Foundation
import Logging
import SegmentStore
import Synchronization
import TestSupport
import Testing

/// Records of the log about access: how few refusals make, and what becomes of reads that cannot be recorded.
@Suite(.timeLimit(.minutes(2))) struct AccessTrailTests {
  private static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

  private func open(_ mode: ReadAuditing = .bestEffort, window: Duration = .seconds(3600)) throws -> (AuditLog, MemoryFileSystem) {
    let disk = MemoryFileSystem()
    let store = try SegmentStore(directory: "/log", configuration: SegmentStoreConfiguration(), fileSystem: disk, logger: Self.quiet)
    var configuration = AuditLogConfiguration()
    configuration.readAuditing = mode
    configuration.accessRecordsWindow = window
    return (try AuditLog(store: store, hub: "h", configuration: configuration, logger: Self.quiet), disk)
  }

  private struct Own: Decodable, Equatable {
    var kind: String
    var principal: String?
    var right: String?
    var cause: String?
    var suppressed: UInt64?
    var outcome: String?
    var filter: [String: JSONValue]?
  }

  /// Any value; only its presence counts.
  private struct JSONValue: Decodable, Equatable { init(from decoder: any Decoder) throws {} }

  private func records(_ log: AuditLog) throws -> [Own] {
    var found: [Own] = []
    let reader = RecordReader(store: log.store, from: 0)
    try withExtendedLifetime(reader) {
      while let batch = try reader.next(before: log.nextSequence) {
        try batch.forEachRecord { found.append(try JSONDecoder().decode(Own.self, from: Data(try Record(Array($0)).json() ?? []))) }
      }
    }
    return found
  }

  /// Waits until the trail has written so many records.
  private func written(_ count: UInt64, _ log: AuditLog) async throws {
    while log.trail.counts.written < count { try await Task.sleep(for: .milliseconds(1)) }
  }

  @Test("a hundred thousand refusals make one record for each principal and right, and ten for everybody unknown")
  func flood() async throws {
    let (log, _) = try open()
    for number in 0..<100_000 {
      if number % 2 == 0 {
        log.trail.unauthenticated(cause: "wrong_secret")
      } else {
        log.trail.denied(principal: "token:t\(number % 6)", right: number % 4 == 1 ? "read" : "prove", request: "read", hub: nil)
      }
    }
    // Three principals, two rights each.
    try await written(16, log)
    #expect(log.trail.counts.suppressed == 100_000 - 16 && log.trail.counts.lost == 0)
    let found = try records(log)
    #expect(found.count == 16 && found.allSatisfy { $0.kind == "access_denied" })
    #expect(found.count { $0.cause == "wrong_secret" } == 10)
    try log.close()
  }

  @Test("principals without number make no more records than the limit, and the rest is counted when the window is over")
  func principals() async throws {
    let (log, _) = try open(window: .milliseconds(200))
    for number in 0..<1_000 { log.trail.denied(principal: "token:t\(number)", right: "read", request: "read", hub: nil) }
    while log.trail.counts.written < 257 {
      log.trail.look()
      try await Task.sleep(for: .milliseconds(5))
    }
    let found = try records(log)
    #expect(found.count == 257 && found.last?.suppressed == 744 && found.last?.principal == nil)
    try log.close()
  }

  @Test("a read is one record; a long filter in it is cut, and says so")
  func reads() async throws {
    let (log, _) = try open()
    let long = RecordFilter(kinds: (0..<100).map { "kind \($0)" }, agents: [String(repeating: "a", count: 5000)])
    for filter in [RecordFilter(), long] {
      log.trail.closed(
        AccessTrail.Reading(principal: "token:a", request: "read", filter: filter, from: 0, to: 7, records: 3, outcome: "end"))
    }
    try await written(2, log)
    let found = try records(log)
    #expect(found.map(\.kind) == ["read_closed", "read_closed"] && found[0].filter == nil)
    #expect(Set(found[1].filter?.keys.map(\.self) ?? []) == ["kinds", "agents", "cut"])
    #expect(log.store.status.bytes < 4096)
    try log.close()
  }

  @Test("without room on disk records of reads wait, and are stored later; where they are required, no read begins meanwhile")
  func fullDisk() async throws {
    for mode in ReadAuditing.allCases {
      let (log, disk) = try open(mode)
      disk.isFull.store(true, ordering: .relaxed)
      log.trail.closed(
        AccessTrail.Reading(
          principal: "token:a", request: "read", filter: RecordFilter(), from: 0, to: 7, records: 3, outcome: "end"))
      if mode == .required {
        while (try? log.trail.readMayBegin()) != nil { try await Task.sleep(for: .milliseconds(1)) }
        let error = #expect(throws: RequestError.self) { try log.trail.readMayBegin() }
        #expect(error?.code == .storageFull && error?.message.contains("audit-reads") == true)
      } else {
        try log.trail.readMayBegin()
      }
      await #expect(throws: RequestError.self) { try await log.trail.eraseOrdered(principal: "token:a", by: "me", sequence: 1) }
      disk.isFull.store(false, ordering: .relaxed)
      try await written(1, log)
      try log.trail.readMayBegin()
      #expect(try records(log).map(\.kind) == ["read_closed"] && log.trail.counts.lost == 0)
      try log.close()
    }
  }

  @Test("a change is on disk when its call returns, and what a peer has chosen is cut")
  func changes() async throws {
    let (log, _) = try open()
    try await log.trail.accessChanged(sha256: "00", added: (0..<1000).map { "n\($0)" }, removed: [], changed: [])
    try await log.trail.settingChanged(name: "log-level", from: "info", to: String(repeating: "é", count: 10_000))
    log.trail.denied(principal: "token:a", right: "publish", request: "hello", hub: String(repeating: "x", count: 10_000))
    try await written(3, log)
    #expect(try records(log).map(\.kind) == ["access_changed", "settings_changed", "access_denied"])
    #expect(log.store.status.bytes < 8192)
    try log.close()
  }
}
