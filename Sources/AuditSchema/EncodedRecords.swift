import CAuditDigest

/// Encoded records, back to back as the payload of a `RecordBatch`. Its memory is reused.
///
/// Body hashes are set by `hashBodies`; sequence, time and checksum are 0 until `seal`.
package final class EncodedRecords {
  /// The offsets of a record in the buffer, in bytes.
  package struct Span {
    /// The tag of `RecordBatch.records`.
    package var start: UInt32
    /// The record's first byte, after its tag and length.
    var content: UInt32
    /// The header's bytes, which are the tree's leaf.
    package var headerStart: UInt32
    package var headerEnd: UInt32
    package var end: UInt32
  }

  /// The results of one append's events.
  package struct Part {
    /// The records: indices in `spans`.
    package var spans: Range<Int>
    /// The ignored events: indices in `ignored`.
    package var ignored: Range<Int>
    /// Bytes of the records.
    package var byteCount: Int

    package init(spans: Range<Int>, ignored: Range<Int>, byteCount: Int) {
      self.spans = spans
      self.ignored = ignored
      self.byteCount = byteCount
    }
  }

  /// A body that is not hashed yet.
  private struct Unhashed {
    var offset: Int
    var size: Int
    var hashOffset: Int
  }

  /// The schema version of the records made here.
  private static let schemaVersion: UInt64 = 1

  // Exclusivity checks are off. Measured: they cost the server 5 % of its CPU with 8 clients and 1,000 events in flight (all such annotations of
  // AuditSchema and AuditLog together). Invariant: one thread at a time uses this object, and no access calls back into it.
  @exclusivity(unchecked) package private(set) var spans: [Span] = []
  /// The ignored events: their indices in their append.
  @exclusivity(unchecked) package private(set) var ignored: [UInt32] = []
  @exclusivity(unchecked) package private(set) var count = 0
  @exclusivity(unchecked) private var capacity: Int
  @exclusivity(unchecked) private var memory: UnsafeMutableRawPointer
  /// Bodies awaiting a hash partner, by SHA-256 block count: two bodies are hashed together if they have the same number of blocks.
  @exclusivity(unchecked) private var unhashed: InlineArray<8, Unhashed?> = .init(repeating: nil)
  @exclusivity(unchecked) private var hasUnhashed = false

  /// - Parameter capacity: initial bytes; the buffer grows as needed.
  package init(capacity: Int = 64 << 10) {
    self.capacity = capacity
    memory = .allocate(byteCount: capacity, alignment: 16)
    spans.reserveCapacity(256)
  }

  deinit { memory.deallocate() }

  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: count) }

  /// Removes all records. Frees the memory above `keptBytes`.
  package func removeAll(keptBytes: Int = 1 << 20) {
    spans.removeAll(keepingCapacity: true)
    ignored.removeAll(keepingCapacity: true)
    count = 0
    forgetUnhashed()
    if capacity > keptBytes {
      memory.deallocate()
      capacity = keptBytes
      memory = .allocate(byteCount: capacity, alignment: 16)
    }
  }

  /// An empty part that begins at the current end.
  package var nextPart: Part { Part(spans: spans.count..<spans.count, ignored: ignored.count..<ignored.count, byteCount: 0) }

  /// Extends `part` to the current end.
  func finished(_ part: Part) -> Part {
    let first = part.spans.lowerBound
    return Part(
      spans: first..<spans.count, ignored: part.ignored.lowerBound..<ignored.count,
      byteCount: first < spans.count ? count - Int(spans[first].start) : 0)
  }

  /// Removes everything added since `part` was begun.
  package func rollBack(_ part: Part) {
    ignored.removeLast(ignored.count - part.ignored.lowerBound)
    let index = part.spans.lowerBound
    guard index < spans.count else { return }
    count = Int(spans[index].start)
    spans.removeLast(spans.count - index)
    forgetUnhashed()
  }

  /// Notes an ignored event, by its index in the append.
  func ignore(_ index: Int) { ignored.append(UInt32(index)) }

  /// Drops removed bodies from `unhashed`.
  private func forgetUnhashed() {
    for slot in unhashed.indices {
      if let body = unhashed[slot], body.offset >= count { unhashed[slot] = nil }
    }
  }

  /// Hashes a body at once, or with a later partner.
  private func hash(_ body: Unhashed) {
    let blocks = (body.size + 8) / 64
    guard blocks < unhashed.count else {
      return caudit_sha256(memory + body.offset, body.size, (memory + body.hashOffset).assumingMemoryBound(to: UInt8.self))
    }
    guard let earlier = unhashed[blocks] else {
      unhashed[blocks] = body
      hasUnhashed = true
      return
    }
    unhashed[blocks] = nil
    caudit_sha256_pair(
      memory + earlier.offset, earlier.size, memory + body.offset, body.size,
      (memory + earlier.hashOffset).assumingMemoryBound(to: UInt8.self), (memory + body.hashOffset).assumingMemoryBound(to: UInt8.self))
  }

  /// Hashes the bodies without a partner.
  package func hashBodies() {
    guard hasUnhashed else { return }
    hasUnhashed = false
    for slot in unhashed.indices {
      guard let body = unhashed[slot] else { continue }
      unhashed[slot] = nil
      caudit_sha256(memory + body.offset, body.size, (memory + body.hashOffset).assumingMemoryBound(to: UInt8.self))
    }
  }

  private func reserve(_ more: Int) {
    guard count + more > capacity else { return }
    capacity = max(capacity * 2, count + more)
    let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    larger.copyMemory(from: memory, byteCount: count)
    memory.deallocate()
    memory = larger
  }

  /// Encodes one record. Sequence and time (header fields 1 and 2) stay 0.
  ///
  /// - Parameters:
  ///   - kind: no base address: the record has no kind. An empty kind is a kind.
  ///   - number: the producer's number; `nil`: none.
  ///   - limit: maximum bytes of the record with its tag and length.
  /// - Throws: `recordTooLarge` above `limit`.
  func append(
    _ body: BodyDraft, salt: UnsafeRawPointer, kind: UnsafeRawBufferPointer, origin: borrowing RecordOrigin, number: UInt64?, limit: Int
  ) throws(RequestError) {
    typealias Header = Fields.RecordHeader
    let bodySize = body.byteCount
    var headerSize = Header.sequence.byteCount(0) + Header.receivedAt.byteCount(0) + origin.leading.count
    if let number { headerSize += Header.producerSequence.byteCount(number) }
    if kind.baseAddress != nil { headerSize += Header.kind.byteCount(contentBytes: kind.count) }
    headerSize += Header.schemaVersion.byteCount(Self.schemaVersion) + Header.bodySHA256.byteCount(contentBytes: SHA256.byteCount)
    headerSize += origin.trailing.count
    let contentSize =
      Fields.Record.header.byteCount(contentBytes: headerSize) + Fields.Record.body.byteCount(contentBytes: bodySize)
      + Fields.Record.crc32c.byteCount(0)
    let total = Fields.RecordBatch.records.byteCount(contentBytes: contentSize)
    guard total <= limit else {
      throw RequestError(.recordTooLarge, "the record would take \(total) bytes; the limit is \(limit) bytes (record_bytes); shorten it")
    }
    reserve(total)

    let memory = memory
    var span = Span(start: UInt32(count), content: 0, headerStart: 0, headerEnd: 0, end: UInt32(count + total))
    var writer = WireWriter(memory + count, capacity: total)
    writer.begin(Fields.RecordBatch.records, contentBytes: contentSize)
    span.content = UInt32(writer.pointer - memory)
    writer.begin(Fields.Record.header, contentBytes: headerSize)
    span.headerStart = UInt32(writer.pointer - memory)
    writer.write(Header.sequence, 0)
    writer.write(Header.receivedAt, 0)
    writer.raw(origin.leading)
    if let number { writer.write(Header.producerSequence, number) }
    if kind.baseAddress != nil { writer.write(Header.kind, kind) }
    writer.write(Header.schemaVersion, Self.schemaVersion)
    writer.begin(Header.bodySHA256, contentBytes: SHA256.byteCount)
    let hashOffset = writer.skip(SHA256.byteCount) - memory
    writer.raw(origin.trailing)
    span.headerEnd = UInt32(writer.pointer - memory)

    writer.begin(Fields.Record.body, contentBytes: bodySize)
    let bodyOffset = writer.pointer - memory
    body.write(salt: salt, to: &writer)
    precondition(writer.pointer - memory == bodyOffset + bodySize, "a body was encoded to another size than it has")
    writer.write(Fields.Record.crc32c, 0)
    precondition(writer.byteCount == total, "a record was encoded to another size than was counted")
    hash(Unhashed(offset: bodyOffset, size: bodySize, hashOffset: hashOffset))

    count += total
    spans.append(span)
  }

  /// Sets sequence, time and checksum of records. May be called again with other values.
  ///
  /// - Parameters:
  ///   - range: indices in `spans`.
  ///   - firstSequence: the first record's sequence; the others follow.
  ///   - receivedAt: Unix time in ns.
  /// - Returns: the bytes of the records, valid until the next change.
  package func seal(_ range: Range<Int>, firstSequence: UInt64, receivedAt: UInt64) -> UnsafeRawBufferPointer {
    guard !range.isEmpty else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    hashBodies()
    return spans.withUnsafeBufferPointer { spans in
      var sequence = firstSequence
      for span in spans[range] {
        seal(span, sequence: sequence, receivedAt: receivedAt)
        sequence += 1
      }
      return UnsafeRawBufferPointer(rebasing: bytes[Int(spans[range.lowerBound].start)..<Int(spans[range.upperBound - 1].end)])
    }
  }

  private func seal(_ span: Span, sequence: UInt64, receivedAt: UInt64) {
    let header = memory + Int(span.headerStart)
    // Both are at the front of the header: each a tag of 1 byte and a fixed64.
    header.storeBytes(of: sequence.littleEndian, toByteOffset: 1, as: UInt64.self)
    header.storeBytes(of: receivedAt.littleEndian, toByteOffset: 10, as: UInt64.self)
    let content = memory + Int(span.content)
    let checked = Int(span.end - span.content) - RecordFraming.checksumBytes
    content.storeBytes(of: caudit_crc32c(0, content, checked).littleEndian, toByteOffset: checked + 1, as: UInt32.self)
  }
}
