import AuditLog
import SegmentStore
import Testing

/// Bits, blocks and whole files of sealed segments that are not what was written.
@Suite struct DamagedBytesTests {
  @Test("every single bit that flips in a sealed segment of 64 KiB is found by who reads it, and all before it is served")
  func everyBit() throws {
    let log = try DamagedLog(segmentBytes: 64 << 10, segments: 3)
    let path = log.segment(0)
    let original = try log.disk.bytes(path)
    let (servedUpTo, _) = try log.layout(original)
    try withUnsafeTemporaryAllocation(byteCount: 128 << 10, alignment: 16) { buffer in
      for bit in 0..<original.count * 8 {
        let byte = bit / 8
        let intact = servedUpTo[byte]
        try log.disk.damage(path) { $0[byte] ^= 1 << UInt8(bit % 8) }
        // The header is read when the file is opened.
        if byte < servedUpTo[0].offset { _ = try log.store.read(from: .init(sequence: log.segments[1]), before: .max, into: buffer) }
        // One bit of each byte by who reads the whole segment, the others by who comes along there.
        let start = bit % 8 == byte % 8 ? nil : (intact.records, intact.offset)
        let (error, end) = try log.readDamage(0, original, from: start, buffer)
        guard let error, error.code == .damaged, error.path == path, error.offset! <= byte, end == intact.offset else {
          throw FixtureError("bit \(bit): served up to \(end) of \(intact.offset), then \(error.map { "\($0)" } ?? "no error")")
        }
        try log.disk.damage(path) { $0[byte] ^= 1 << UInt8(bit % 8) }
      }
    }
    print("damage: \(original.count * 8) bits flipped, each was found")
    #expect(try log.store.content() == log.content)
    #expect(original.count > 60_000)
  }

  @Test("a look at the directory finds a flipped bit in any part of any segment")
  func inspection() throws {
    let log = try DamagedLog(segmentBytes: 8 << 10, segments: 3)
    #expect(try LogInspection(directory: "/data", fileSystem: log.disk).problems.isEmpty)
    for first in log.segments {
      let path = log.segment(first)
      for byte in try log.disk.bytes(path).indices {
        let bit: UInt8 = 1 << UInt8(byte % 8)
        try log.disk.damage(path) { $0[byte] ^= bit }
        let problems = try LogInspection(directory: "/data", fileSystem: log.disk).problems
        if !problems.contains(where: { $0.path == path }) { throw FixtureError("byte \(byte) of \(path): \(problems)") }
        try log.disk.damage(path) { $0[byte] ^= bit }
      }
    }
  }

  @Test("blocks of a sealed segment that change places, stand in the place of another, or are zeros, are found", arguments: [512, 4096])
  func misplacedBlocks(blockBytes: Int) throws {
    let log = try DamagedLog(segmentBytes: 64 << 10, segments: 3)
    let path = log.segment(0)
    let original = try log.disk.bytes(path)
    let blocks = original.count / blockBytes
    func range(_ block: Int) -> Range<Int> { block * blockBytes..<(block + 1) * blockBytes }
    let neighbour = try log.disk.bytes(log.segment(log.segments[1]))
    func damage(_ name: String, _ change: (inout [UInt8]) -> Void) throws {
      var content = original
      change(&content)
      if content != original { try check(name, content) }
    }
    func check(_ name: String, _ content: [UInt8]) throws {
      try log.disk.damage(path) { $0 = content }
      try withUnsafeTemporaryAllocation(byteCount: 128 << 10, alignment: 16) { buffer in
        _ = try log.store.read(from: ReadPosition(sequence: log.segments[1]), before: .max, into: buffer)
        let (error, _) = try log.readDamage(0, original, buffer)
        guard let error, error.code == .damaged, error.path == path else {
          throw FixtureError("\(name): \(error.map { "\($0)" } ?? "nobody saw it")")
        }
      }
    }
    for block in 0..<blocks {
      try damage("block \(block) is zeros") { $0.replaceSubrange(range(block), with: [UInt8](repeating: 0, count: blockBytes)) }
      if range(block).upperBound <= neighbour.count {
        try damage("block \(block) of another segment") { $0.replaceSubrange(range(block), with: neighbour[range(block)]) }
      }
      for other in 0..<blocks where other != block {
        try damage("block \(other) in the place of \(block)") { $0.replaceSubrange(range(block), with: original[range(other)]) }
        guard other > block else { continue }
        try damage("blocks \(block) and \(other) swapped") {
          $0.replaceSubrange(range(block), with: original[range(other)])
          $0.replaceSubrange(range(other), with: original[range(block)])
        }
      }
    }
  }
}
