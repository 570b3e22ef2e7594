import AuditLog
import AuditSchema
import Logging
import SegmentStore
import TestSupport
import Testing

/// A log of some segments on a simulated disk, whose files are damaged one way after the other.
final class DamagedLog {
  let disk = SimulatedDisk()
  /// As it was before any damage.
  private(set) var whole = SimulatedState()
  private(set) var store: SegmentStore!
  /// Sequences of all segments, and of the one that is damaged.
  private(set) var segments: [UInt64] = []
  private(set) var content: [UInt8] = []
  let configuration: SegmentStoreConfiguration

  /// - Parameters:
  ///   - segmentBytes: about the size of each segment.
  ///   - afterCommit: called after each commit with the path of the newest segment.
  init(segmentBytes: UInt64, segments count: Int, zeroAheadBytes: Int = 0, afterCommit: (DamagedLog, String) throws -> Void = { _, _ in })
    throws
  {
    var configuration = PowerLossTests.configuration(segmentBytes: segmentBytes, zeroAheadBytes: zeroAheadBytes)
    configuration.cachedFiles = 1
    configuration.cachedIndexes = 1
    self.configuration = configuration
    try open()
    var random = SeededRandom(seed: 1)
    while store.status.segments < count || store.status.bytes < UInt64(count) * segmentBytes - segmentBytes / 8 {
      let first = store.nextSequence
      var bytes: [UInt8] = []
      let records = UInt64(1 + random.below(5))
      for sequence in first..<first + records {
        let text = String(
          (0..<random.below(random.oneIn(9) ? 1500 : 200)).map { _ in Character(Unicode.Scalar(UInt8(33 + random.below(90)))) })
        bytes += RecordFixture.record(sequence, receivedAt: SegmentStore.time(first), text: random.oneIn(10) ? nil : text)
      }
      try store.append(bytes, count: Int(records), first: first, receivedAt: SegmentStore.time(first), state: [1, 2, 3])
      try afterCommit(self, segment(disk.firstSequences().last!))
    }
    content = try store.content()
    try store.close()
    segments = try disk.firstSequences()
    whole = disk.state
    try open()
  }

  func segment(_ first: UInt64) -> String { "/data/segments/" + digits(first) + ".seg" }
  func index(_ first: UInt64) -> String { "/data/index/" + digits(first) + ".idx" }
  private func digits(_ number: UInt64) -> String { String(repeating: "0", count: 20 - String(number).count) + String(number) }

  func open() throws {
    store = nil
    store = try SegmentStore(
      directory: "/data", configuration: configuration, fileSystem: disk, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// Undoes all damage.
  func heal() {
    store = nil
    disk.restart(with: whole)
  }

  /// The damage that a reader of a segment meets, and how far it got before: what it was given was what had been stored.
  ///
  /// - Parameter start: where a record begins or its commit; `nil`: the first one.
  func readDamage(
    _ first: UInt64, _ original: [UInt8], from start: (sequence: UInt64, offset: Int)? = nil, _ buffer: UnsafeMutableRawBufferPointer
  ) throws -> (error: StoreError?, end: Int) {
    let end = segments.first { $0 > first } ?? .max
    var place = try start?.offset ?? headerEnd(original)
    var position =
      start.map { ReadPosition(sequence: $0.sequence, segment: first, offset: UInt64($0.offset)) } ?? ReadPosition(sequence: first)
    // Whoever starts at a place wants to see little.
    var room = start == nil ? buffer : UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(4096))
    do {
      while true {
        switch try store.read(from: position, before: end, into: room) {
        case .end: return (nil, place)
        case .bufferTooSmall: room = buffer
        case .records(let range, _, let next):
          let served = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(room)[range])
          guard served.elementsEqual(original[place..<place + range.count]) else {
            throw FixtureError("something else was served than was stored, between \(place) and \(place + range.count)")
          }
          place += range.count
          position = next
        }
      }
    } catch let error as StoreError { return (error, place) }
  }

  private func headerEnd(_ segment: [UInt8]) throws -> Int {
    try segment.withUnsafeBytes { try #require(SegmentHeader.encodedBytes(startingWith: $0)) }
  }

  /// For each offset of a segment, where the last record ends that is whole before it, and the sequence after it; and where commit headers stand.
  func layout(_ segment: [UInt8]) throws -> (servedUpTo: [(offset: Int, records: UInt64)], commitHeaders: [Range<Int>]) {
    let start = try headerEnd(segment)
    var last: (offset: Int, records: UInt64) = (start, 0)
    var served = Array(repeating: last, count: segment.count)
    var commitHeaders: [Range<Int>] = []
    try segment.withUnsafeBytes { bytes in
      var fields = WireReader(UnsafeRawBufferPointer(rebasing: bytes[start...]))
      while let field = fields.next() {
        let range = start + field.start..<start + field.end
        for offset in range { served[offset] = last }
        if field.number == 1 { last = (range.upperBound, last.records + 1) } else { commitHeaders.append(range) }
      }
      guard last.offset == segment.count else { throw FixtureError("the segment's layout is not what it should be") }
    }
    return (served, commitHeaders)
  }
}

extension SimulatedDisk {
  fileprivate func firstSequences() throws -> [UInt64] {
    try list("/data/segments").compactMap { UInt64($0.dropLast(4)) }.sorted()
  }
}
