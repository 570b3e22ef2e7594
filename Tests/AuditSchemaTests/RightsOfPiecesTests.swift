import AuditSchema
import Testing

/// Whether a piece of the log may be sent as it is to somebody with rights.
@Suite struct RightsOfPiecesTests {
  private static let rights = ReadRights(allow: [ReadRights.Rule(hubs: [NamePattern("bank*")!])])

  private static func field(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] { [tag, UInt8(content.count)] + content }

  /// A record as it is in a segment: header with sequence, time and hub, and a checksum (which nobody looks at here).
  private static func record(_ hub: String) -> [UInt8] {
    let header = [0x09] + [UInt8](repeating: 1, count: 8) + [0x11] + [UInt8](repeating: 2, count: 8) + field(0x1A, Array(hub.utf8))
    return field(0x0A, field(0x0A, header) + [0x1D, 0, 0, 0, 0])
  }

  /// The header of a commit of so many records.
  private static func commit(_ count: UInt8) -> [UInt8] { field(0x12, [0x1D, count, 0, 0, 0]) }

  private static func allowsAll(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { rights.allowsAll($0) } }

  @Test("only a piece of which every record is allowed, with whole commits, is sent as it is")
  func pieces() {
    let (good, own, bad) = (Self.record("bank"), Self.record("hubaudit"), Self.record("hr"))
    #expect(Self.allowsAll([]))
    #expect(Self.allowsAll(good + Self.record("bank-2")))
    #expect(!Self.allowsAll(good + bad) && !Self.allowsAll(bad + good) && !Self.allowsAll(good + own))
    #expect(Self.allowsAll(Self.commit(2) + good + good + Self.commit(1) + good))
    // The rest of a commit may be somebody else's, and the header's checksum covers it.
    #expect(!Self.allowsAll(Self.commit(2) + good) && !Self.allowsAll(good + Self.commit(1)))
    // The end of a commit that began in the piece before.
    #expect(Self.allowsAll(good + good + Self.commit(1) + good))
    #expect(!Self.allowsAll(good + [0x0A, 0x7F]) && !Self.allowsAll(good + [0xFF]))
  }
}
