import AuditLog
import AuditSchema
import CAuditDigest
import Logging
import SegmentStore
import Testing

/// The background scrub: what it says of a sealed segment that is, and that is not, what was stored.
@Suite struct ScrubTests {
  private let fixture = StoreFixture()

  /// A log of several sealed segments, open.
  private func open() throws -> (store: SegmentStore, scrub: Scrub) {
    try fixture.fill(80)
    let store = try fixture.open()
    return (
      store, Scrub(store: store, bytesPerSecond: .max, pause: .seconds(1), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    )
  }

  @Test("a whole round over a good log reads every sealed record and finds nothing")
  func good() throws {
    let (store, scrub) = try open()
    let segments = try fixture.segments()
    #expect(segments.count > 3)
    try scrub.round()
    let status = scrub.status
    #expect(status.rounds == 1 && status.records == segments.last! && status.findings.isEmpty)
    #expect(status.bytes > 0 && status.roundEndedAt > 0)
    try store.close()
  }

  @Test("any byte that flips in a sealed segment is found, with file and offset, and forgotten when the file is good again")
  func flips() throws {
    let (store, scrub) = try open()
    let path = fixture.segment(try fixture.segments()[1])
    let good = try fixture.bytes(path)
    for offset in stride(from: 0, to: good.count, by: 41) {
      try fixture.edit(path) { $0[offset] ^= 4 }
      try scrub.round()
      #expect(scrub.status.findings.contains { $0.contains(path) }, "offset \(offset)")
      try fixture.write(good, to: path)
      try scrub.round()
      #expect(scrub.status.findings.isEmpty, "offset \(offset)")
    }
    try store.close()
  }

  @Test("a record that was changed with its checksum made to fit is found by the tree of the next segment's header")
  func forged() throws {
    let (store, scrub) = try open()
    let path = fixture.segment(try fixture.segments()[0])
    let (commitHeaders, _) = try fixture.commits(in: path)
    try fixture.edit(path) { content in
      // Somewhere in the first record's header, behind sequence and time.
      let start = commitHeaders[0] + 39
      content.withUnsafeMutableBytes { bytes in
        let record = UnsafeMutableRawBufferPointer(rebasing: bytes[start...])
        guard let framing = RecordFraming(head: UnsafeRawBufferPointer(record)) else { return }
        record[framing.header.upperBound - 1] ^= 1
        let end = framing.totalBytes - 5
        let checksum = caudit_crc32c(0, record.baseAddress! + framing.contentStart, end - framing.contentStart)
        record.storeBytes(of: checksum.littleEndian, toByteOffset: end + 1, as: UInt32.self)
      }
    }
    try scrub.round()
    #expect(scrub.status.findings.count == 1 && scrub.status.findings[0].contains("together with its checksums"))
    try store.close()
  }

  @Test("a sealed segment that is missing, cut or of another size is found")
  func missing() throws {
    let (store, scrub) = try open()
    let segments = try fixture.segments()
    let good = try fixture.bytes(fixture.segment(segments[2]))
    try fixture.remove(fixture.segment(segments[2]))
    try scrub.round()
    #expect(scrub.status.findings.contains { $0.contains(fixture.segment(segments[2])) })
    try fixture.write(Array(good.dropLast(1)), to: fixture.segment(segments[2]))
    try scrub.round()
    #expect(scrub.status.findings.contains { $0.contains(fixture.segment(segments[2])) })
    try fixture.write(good + [0], to: fixture.segment(segments[2]))
    try scrub.round()
    #expect(scrub.status.findings.contains { $0.contains(fixture.segment(segments[2])) })
    try store.close()
  }

  @Test("a store that is closed, or let go, ends its scrub")
  func ends() throws {
    fixture.configuration.scrubBytesPerSecond = 1
    try fixture.fill(80)
    try fixture.open().close()
    var store: SegmentStore? = try fixture.open()
    #expect(store != nil)
    store = nil
    try fixture.open().close()
  }
}
