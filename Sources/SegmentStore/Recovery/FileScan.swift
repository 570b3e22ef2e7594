import AuditSchema

/// Byte searches over a range of a file, for recovery and inspection.
extension File {
  private func forEachChunk(
    from start: UInt64, to end: UInt64, overlap: Int, _ body: (UnsafeRawBufferPointer, UInt64) -> Bool
  ) throws(FileSystemError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    var offset = start
    while offset < end {
      let wanted = Int(min(UInt64(buffer.count), end - offset))
      let count = try readFully(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]), at: offset)
      guard body(UnsafeRawBufferPointer(rebasing: buffer[..<count]), offset), count > overlap, offset + UInt64(count) < end else { return }
      offset += UInt64(count - overlap)
    }
  }

  func firstNonZero(from start: UInt64, to end: UInt64) throws(FileSystemError) -> UInt64? {
    var found: UInt64?
    try forEachChunk(from: start, to: end, overlap: 0) { bytes, offset in
      found = bytes.firstIndex { $0 != 0 }.map { offset + UInt64($0) }
      return found == nil
    }
    return found
  }

  func lastNonZero(from start: UInt64, to end: UInt64) throws(FileSystemError) -> UInt64? {
    var found: UInt64?
    try forEachChunk(from: start, to: end, overlap: 0) { bytes, offset in
      if let index = bytes.lastIndex(where: { $0 != 0 }) { found = offset + UInt64(index) }
      return true
    }
    return found
  }

  /// Offset of the first valid commit header. Valid means that its check fits its offset in the segment with `nonce`.
  func firstCommitHeader(from start: UInt64, to end: UInt64, nonce: [UInt8]) throws(FileSystemError) -> UInt64? {
    var found: UInt64?
    try forEachChunk(from: start, to: end, overlap: CommitHeader.encodedBytes - 1) { bytes, offset in
      var index = 0
      while index + CommitHeader.encodedBytes <= bytes.count {
        if bytes[index] == CommitHeader.prefix[0], bytes[index + 1] == CommitHeader.prefix[1], bytes[index + 2] == CommitHeader.prefix[2] {
          let rest = UnsafeRawBufferPointer(rebasing: bytes[index...])
          if CommitHeader(rest, nonce: nonce, offset: offset + UInt64(index)) != nil {
            found = offset + UInt64(index)
            return false
          }
        }
        index += 1
      }
      return true
    }
    return found
  }
}
