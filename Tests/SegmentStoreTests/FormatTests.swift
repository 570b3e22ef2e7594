import AuditSchema
import Foundation
import SegmentStore
import Testing

@Suite final class FormatTests {
  let fixture = StoreFixture()

  /// The worked bytes of FORMAT.md.
  private static let header =
    "1a4d0d010000001100000000000000001a10000102030405060708090a0b0c0d0e0f2210f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
    + "2900000000000000003100000000000000003a0042007d2f808ec7"
  private static let commitHeader = "122509000000000000000011" + "0000faed51728618" + "1d01000000" + "254b000000" + "29d18f2bbf78346db2"
  private static let record =
    "0a490a2a090000000000000000110000faed517286181a036875623" + "20f7461736b5f7465726d696e617465643801"
    + "12160a14323032362d30312d30315430303a30303a30305a1d23ff4552"

  private let nonce = [UInt8](0xF0...0xFF)

  private func hex(_ bytes: [UInt8]) -> String { bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }

  @Test("header, commit header and record are the worked bytes of FORMAT.md")
  func goldenBytes() throws {
    let header = SegmentHeader(
      firstSequence: 0, logID: [UInt8](0..<16), nonce: nonce, previousReceivedAt: 0, previousBytes: 0, state: [], tree: [])
    #expect(hex(header.encoded()) == Self.header)
    #expect(header.encoded().withUnsafeBytes { SegmentHeader(encoded: $0) } == header)

    let record = RecordFixture.record(0, receivedAt: 1_767_225_600_000_000_000)
    #expect(hex(record) == Self.record)
    try record.withUnsafeBytes { bytes in
      let framing = try #require(RecordFraming(head: bytes))
      #expect(framing.totalBytes == 75 && framing.sequence == 0 && framing.receivedAt == 1_767_225_600_000_000_000)
      #expect(framing.header == 4..<46)
      #expect(framing.isIntact(in: bytes))
    }

    let commitHeader = CommitHeader(firstSequence: 0, receivedAt: 1_767_225_600_000_000_000, count: 1, bytes: 75)
    var encoded = [UInt8](repeating: 0, count: CommitHeader.encodedBytes)
    encoded.withUnsafeMutableBytes { commitHeader.encode(nonce: nonce, offset: 79, into: $0) }
    #expect(hex(encoded) == Self.commitHeader)
    #expect(encoded.withUnsafeBytes { CommitHeader($0, nonce: nonce, offset: 79) } == commitHeader)
    #expect(encoded.withUnsafeBytes { CommitHeader($0, nonce: nonce, offset: 78) } == nil)
    #expect(encoded.withUnsafeBytes { CommitHeader($0, nonce: [0] + nonce.dropFirst(), offset: 79) } == nil)

    let root = #filePath.replacing("/Tests/SegmentStoreTests/FormatTests.swift", with: "")
    let page = try String(contentsOfFile: root + "/Sources/SegmentStore/FORMAT.md", encoding: .utf8)
    // Lines of worked bytes: pairs of digits, then what they mean.
    let digits = page.split(separator: "\n").filter { $0.hasPrefix("    ") }
      .flatMap { $0.split(separator: " ").prefix { $0.count == 2 && $0.allSatisfy(\.isHexDigit) } }.joined()
    for bytes in [Self.header, Self.commitHeader, Self.record] { #expect(digits.contains(bytes)) }
  }

  @Test("a header in any other form, or cut, or with any bit flipped is refused")
  func strictHeader() {
    let header = SegmentHeader(
      firstSequence: 9, logID: nonce, nonce: nonce, previousReceivedAt: 7, previousBytes: 8, state: [UInt8](repeating: 5, count: 200),
      tree: [UInt8](repeating: 6, count: 64))
    let encoded = header.encoded()
    #expect(encoded.withUnsafeBytes { SegmentHeader(encoded: $0) } == header)
    for length in encoded.indices { #expect(encoded[..<length].withUnsafeBytes { SegmentHeader(encoded: $0) } == nil) }
    for bit in 0..<encoded.count * 8 {
      var flipped = encoded
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(flipped.withUnsafeBytes { SegmentHeader(encoded: $0) } == nil, "bit \(bit)")
    }
    #expect((encoded + [0]).withUnsafeBytes { SegmentHeader(encoded: $0) } == nil)
  }

  @Test("a record in any other form, or cut, or with any bit flipped is refused")
  func strictRecord() {
    for record in [RecordFixture.record(3, receivedAt: 4), RecordFixture.record(3, receivedAt: 4, text: nil)] {
      func isRecord(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { RecordFraming(head: $0)?.isIntact(in: $0) == true }
      }
      #expect(isRecord(record))
      for length in record.indices { #expect(!isRecord(Array(record[..<length]))) }
      for bit in 0..<record.count * 8 {
        var flipped = record
        flipped[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(!isRecord(flipped), "bit \(bit)")
      }
      // The same length in more bytes than it needs.
      #expect(!isRecord([record[0], record[1] | 0x80, 0] + record.dropFirst(2)))
    }
  }

  @Test(
    "protoc decodes a sealed segment as hubaudit.v1.Segment",
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/protoc")))
  func protoc() throws {
    let records = try fixture.fill(30)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/protoc")
    let root = #filePath.replacing("/Tests/SegmentStoreTests/FormatTests.swift", with: "/Proto")
    process.arguments = ["-I", root, "--decode=hubaudit.v1.Segment", root + "/hubaudit/v1/record.proto"]
    let output = Pipe()
    process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: fixture.segment(0)))
    process.standardOutput = output
    try process.run()
    let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let sealed = try fixture.segments()[1]
    #expect(records.count > sealed)
    #expect(text.components(separatedBy: "records {").count - 1 == Int(sealed))
    #expect(text.components(separatedBy: "commits {").count - 1 == Int(sealed) / 2)
    #expect(text.components(separatedBy: "kind: \"task_terminated\"").count - 1 == Int(sealed))
    #expect(text.contains("format: 1"))
  }
}
