import AuditSchema
import Foundation
import MerkleTree
import TestSupport
import Testing

/// Logs that were tampered with, and who notices.
@Suite(.serialized, .timeLimit(.minutes(10))) struct TamperingTests {
  private static func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }
  /// `HUBAUDIT_SEED` plays a run again, but for keys, nonces and salts; `HUBAUDIT_TAMPERINGS` makes it longer.
  static let seed = number("HUBAUDIT_SEED") ?? UInt64.random(in: 0..<1 << 48)
  private static let count = Int(number("HUBAUDIT_TAMPERINGS") ?? 10_000)
  /// Tamperings of each log.
  private static let each = 500

  @Test("every tampering is noticed by verify, by the next start, or by a client that remembers a checkpoint")
  func everyTampering() async throws {
    print("tampering: seed \(Self.seed) (HUBAUDIT_SEED)")
    var random = SeededRandom(seed: Self.seed)
    var table = TamperingTable()
    let auditors = try Auditors()
    while table.count < Self.count {
      let log = try await SignedLog.make(
        records: UInt64(100 + random.below(300)), segmentBytes: UInt64(8 + random.below(57)) << 10, isRunning: random.oneIn(3),
        random: &random)
      // As it is, nobody finds anything.
      #expect(try await auditors.look(at: log.files, of: log) == .nobody(opened: true))
      var forger = try Forger(random: SeededRandom(seed: random.next()))
      for number in 0..<min(Self.each, Self.count - table.count) {
        let how = Tampering.allCases[number % Tampering.allCases.count]
        var drawn: (files: [String: [UInt8]], what: String)?
        while drawn == nil || drawn!.files == log.files { drawn = try await forger.tamper(log, how) }
        let (files, what) = drawn!
        var verdict = try await auditors.look(at: files, of: log)
        if case .nobody = verdict { verdict = try Self.excuse(files, log, auditors) ?? verdict }
        table.add(how, verdict)
        if case .nobody = verdict { Issue.record("seed \(Self.seed), tampering \(table.count): nobody noticed: \(how.rawValue): \(what)") }
      }
    }
    print(table)
  }

  /// Why nobody has to notice. `nil`: somebody has to.
  private static func excuse(_ files: [String: [UInt8]], _ log: SignedLog, _ auditors: Auditors) throws -> Verdict? {
    let covered = Int(log.newest.checkpoint.size)
    guard let forged = ForgedLog(files, mayBeTorn: true), let old = ForgedLog(log.files), try sameLog(files, log.files) else { return nil }
    guard forged.records.count >= covered, forged.records[..<covered] == old.records[..<covered],
      try auditors.standsByAll(files, log, shown: old.checkpoints)
    else { return nil }
    return forged.records == old.records ? .nothingLost : .withinWindow
  }

  /// `log.json` names the log by its id and its origin; where the latter is gone the checkpoints say it. The rest nobody relies on.
  private static func sameLog(_ files: [String: [UInt8]], _ old: [String: [UInt8]]) throws -> Bool {
    struct Identity: Decodable {
      var log_id: String
      var origin: String?
    }
    let path = "\(ForgedLog.root)/log.json"
    let (new, old) = try [files, old].map { try JSONDecoder().decode(Identity.self, from: Data($0[path] ?? [])) }.pair
    return new.log_id == old.log_id && (new.origin ?? old.origin) == old.origin
  }
}

extension Array {
  fileprivate var pair: (Element, Element) { (self[0], self[1]) }
}
