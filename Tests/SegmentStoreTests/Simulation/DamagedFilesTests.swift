import AuditLog
import SegmentStore
import Testing

/// Files of a log that are cut, missing, or older than they should be.
@Suite struct DamagedFilesTests {
  @Test("the newest segment cut at every byte: whole commits stay, the rest of one is kept aside, and nothing else is touched")
  func everyTruncation() throws {
    let log = try DamagedLog(segmentBytes: 16 << 10, segments: 2)
    let newest = log.segments.last!
    let path = log.segment(newest)
    let original = try log.disk.bytes(path)
    let (servedUpTo, commitHeaders) = try log.layout(original)
    let headerEnd = servedUpTo[0].offset
    let before = log.content.count - recordBytes(original[headerEnd...], commitHeaders, from: headerEnd)
    for length in original.indices {
      log.heal()
      try log.disk.damage(path) { $0.removeLast($0.count - length) }
      if length < headerEnd {
        let error = try storeError { try log.open() }
        guard error.code == .damaged, error.path == path else { throw FixtureError("cut at \(length): \(error)") }
        continue
      }
      try log.open()
      // The commit header of the commit that is cut.
      let torn = commitHeaders.first { $0.lowerBound <= length && commitEnd($0, commitHeaders, original.count) > length }!.lowerBound
      let kept = recordBytes(original[headerEnd..<torn], commitHeaders, from: headerEnd)
      guard try log.store.content()[...] == log.content[..<(before + kept)] else { throw FixtureError("cut at \(length)") }
      let rest = original[torn..<length].reversed().drop { $0 == 0 }.count
      guard log.store.status.tornBytes == UInt64(rest) else { throw FixtureError("cut at \(length): \(log.store.status)") }
      if let file = log.store.status.tornFile, try log.disk.bytes(file)[...] != original[torn..<torn + rest] {
        throw FixtureError("cut at \(length): something else was kept")
      }
    }
  }

  private func commitEnd(_ commitHeader: Range<Int>, _ commitHeaders: [Range<Int>], _ end: Int) -> Int {
    commitHeaders.first { $0.lowerBound > commitHeader.lowerBound }?.lowerBound ?? end
  }

  private func recordBytes(_ part: ArraySlice<UInt8>, _ commitHeaders: [Range<Int>], from start: Int) -> Int {
    part.count - commitHeaders.count { $0.lowerBound >= start && $0.lowerBound < part.endIndex } * 39
  }

  @Test("an older copy of a sealed segment is found, of whatever age, with the zeros that it had or without")
  func olderCopies() throws {
    var copies: [String: [[UInt8]]] = [:]
    let log = try DamagedLog(segmentBytes: 8 << 10, segments: 5, zeroAheadBytes: 3000) { log, path in
      copies[path, default: []].append(try log.disk.bytes(path))
    }
    for (number, first) in log.segments.dropLast().enumerated() {
      let path = log.segment(first)
      let original = try log.disk.bytes(path)
      var older = copies[path]!.filter { $0 != original }
      older += older.map { Array($0.prefix(original.count)) }.filter { $0 != original }
      #expect(older.count > 5)
      for copy in older {
        log.heal()
        try log.disk.damage(path) { $0 = copy }
        do {
          try log.open()
          // All its records, and zeros, which a start may cut behind the last but one.
          if try log.disk.bytes(path) == original { continue }
          let (error, _) = try withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) {
            try log.readDamage(first, original, $0)
          }
          guard let error, error.code == .damaged, error.path == path else {
            throw FixtureError("segment \(number), \(copy.count) bytes: \(error.map { "\($0)" } ?? "nobody saw it")")
          }
        } catch let error as StoreError {
          guard error.code == .damaged, error.path == path else { throw error }
        }
      }
    }
  }

  @Test(
    "a segment that is missing in the middle is found by who reads up to it, who looks for a time in it, and who looks at the directory")
  func missingSegment() throws {
    let log = try DamagedLog(segmentBytes: 4 << 10, segments: 6)
    for index in 1..<log.segments.count - 2 {
      log.heal()
      try log.disk.remove(log.segment(log.segments[index]))
      try log.open()
      let before = log.segment(log.segments[index - 1])
      for body in [
        { _ = try log.store.content() }, { _ = try log.store.content(from: log.segments[index] - 1) },
        { _ = try log.store.content(from: log.segments[index] + 1) },
        { _ = try log.store.sequence(receivedAtOrAfter: SegmentStore.time(log.segments[index]) + 1) },
      ] {
        let error = try storeError(body)
        #expect(error.code == .damaged && error.path == before, "\(error)")
      }
      let problems = try LogInspection(directory: "/data", fileSystem: log.disk).problems
      #expect(problems.contains { $0.sentence.contains("are missing") }, "\(problems)")
    }
  }

  @Test("an index with any bit flipped, cut at any byte or missing is made again, and every record is found")
  func index() throws {
    let log = try DamagedLog(segmentBytes: 16 << 10, segments: 3)
    let path = log.index(0)
    let middle = log.segments[1] / 2
    log.heal()
    try log.disk.remove(path)
    try log.open()
    _ = try log.store.content(from: middle)
    let original = try log.disk.bytes(path)
    let wanted = try log.store.content(from: middle)
    var damaged: [[UInt8]?] = [nil]
    for offset in original.indices {
      damaged.append(Array(original[..<offset]))
      for bit in 0..<8 {
        var flipped = original
        flipped[offset] ^= 1 << UInt8(bit)
        damaged.append(flipped)
      }
    }
    for content in damaged {
      log.heal()
      if let content { try log.disk.damage(path) { $0 = content } } else { try log.disk.remove(path) }
      try log.open()
      guard try log.store.content(from: middle) == wanted, try log.disk.bytes(path) == original else {
        throw FixtureError("an index of \(content?.count ?? 0) bytes")
      }
    }
    #expect(damaged.count > 5_000)
  }
}
