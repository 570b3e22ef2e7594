import SegmentStore
import TestSupport
import Testing

@Suite struct BloomFilterTests {
  @Test("what was put in is never denied, and what was not is seldom affirmed")
  func answers() {
    var random = SeededRandom(seed: 7)
    for count in [1, 2, 15, 16, 17, 100, 1000, 4096] {
      for bits in [8, 16] {
        var wrong = 0
        var asked = 0
        for _ in 0..<20 {
          let held = Set((0..<count).map { _ in random.next() })
          let filter = BloomFilter.encoded(held, bitsPerValue: bits)
          #expect(filter.count == max(1, (held.count * bits + 255) / 256) * 32)
          filter.withUnsafeBytes { filter in
            #expect(held.allSatisfy { BloomFilter.mayHold($0, filter) }, "\(count) values")
            for _ in 0..<1000 {
              let other = random.next()
              guard !held.contains(other) else { continue }
              asked += 1
              if BloomFilter.mayHold(other, filter) { wrong += 1 }
            }
          }
        }
        // Parquet's page gives 2.3 % for 8 bits and 0.1 % for 16.
        #expect(Double(wrong) / Double(asked) < (bits == 8 ? 0.04 : 0.004), "\(wrong) of \(asked), \(count) values, \(bits) bits")
      }
    }
  }

  @Test("a filter is the bytes that FORMAT.md shows, and an empty one affirms everything")
  func golden() {
    let hashes: [UInt64] = [0x0EDA_59A3_994B_F67F, 0x6C00_3B5E_70A4_6C7B, 12_458_078_764_334_749_752]
    #expect(
      BloomFilter.encoded(hashes, bitsPerValue: 16) == [
        0x00, 0x00, 0x02, 0x81, 0x04, 0x00, 0x00, 0x22, 0x00, 0x40, 0x00, 0x41, 0x10, 0x40, 0x00, 0x80, 0x00, 0x00, 0x60, 0x04, 0x18, 0x00,
        0x00, 0x08, 0x40, 0x00, 0x00, 0x14, 0x00, 0xA4, 0x00, 0x00,
      ])
    #expect(BloomFilter.mayHold(1, UnsafeRawBufferPointer(start: nil, count: 0)))
  }
}
