import Testing

import AuditSchema

@Suite struct WireWriterTests {
  @Test("a field takes as many bytes as was counted", arguments: [0, 1, 127, 128, 16_383, 16_384, 1 << 21, 1 << 32, 1 << 63, UInt64.max])
  func counted(_ value: UInt64) {
    for field in [WireField(1, .varint), WireField(15, .varint), WireField(16, .varint), WireField(2047, .varint), WireField(3, .fixed64)] {
      let bytes = [UInt8](wireCapacity: 32) { $0.write(field, value) }
      #expect(bytes.count == field.byteCount(value))
      bytes.withUnsafeBytes { bytes in
        var reader = WireReader(bytes)
        let read = reader.next()
        #expect(read?.number == field.number && read?.value == value && reader.isAtEnd)
      }
    }
  }

  @Test("a field of bytes takes as many bytes as was counted", arguments: [0, 1, 127, 128, 20_000])
  func content(_ count: Int) {
    let content = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    for field in [WireField(2, .bytes), WireField(29, .bytes)] {
      let size = field.byteCount(contentBytes: count)
      let bytes = [UInt8](wireCapacity: size) { $0.write(field, content) }
      #expect(bytes.count == size)
      bytes.withUnsafeBytes { bytes in
        var reader = WireReader(bytes)
        let read = reader.next()
        #expect(read?.number == field.number && read.map { $0.bytes.elementsEqual(content) } == true && reader.isAtEnd)
      }
    }
  }

  @Test("what does not fit ends the process before a byte is written")
  func overrun() async {
    await #expect(processExitsWith: .failure) {
      _ = [UInt8](wireCapacity: 9) {
        $0.write(WireField(1, .fixed64), 1); $0.write(WireField(2, .varint), 1)
      }
    }
    await #expect(processExitsWith: .failure) { _ = [UInt8](wireCapacity: 3) { $0.write(WireField(1, .bytes), [1, 2]) } }
    await #expect(processExitsWith: .failure) { _ = [UInt8](wireCapacity: 2) { $0.write(WireField(1, .varint), 128) } }
    await #expect(processExitsWith: .failure) { _ = [UInt8](wireCapacity: 1) { _ = $0.skip(2) } }
  }
}
