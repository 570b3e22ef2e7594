/// Reads a file forward through a buffer.
struct SegmentWindow: ~Copyable {
  private let file: any File
  /// Nothing at or after this offset is read.
  let end: UInt64
  private let windowBytes: Int
  private var buffer: UnsafeMutableRawBufferPointer
  private var start: UInt64 = 0
  private var count = 0

  init(_ file: any File, end: UInt64, windowBytes: Int = 64 << 10) {
    self.file = file
    self.end = end
    self.windowBytes = windowBytes
    buffer = .allocate(byteCount: windowBytes, alignment: 16)
  }

  deinit { buffer.deallocate() }

  /// The bytes at `offset`: at least `needed`, fewer only at the end of the file or at `end`. Valid until the next call.
  mutating func bytes(at offset: UInt64, needed: Int) throws(FileSystemError) -> UnsafeRawBufferPointer {
    if offset < start || offset + UInt64(needed) > start + UInt64(count) {
      if needed > buffer.count {
        buffer.deallocate()
        buffer = .allocate(byteCount: needed, alignment: 16)
      }
      let left = offset < end ? end - offset : 0
      let wanted = Int(min(left, UInt64(max(needed, windowBytes))))
      start = offset
      count = 0
      count = try file.readFully(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]), at: offset)
    }
    let first = Int(offset - start)
    return UnsafeRawBufferPointer(rebasing: buffer[first..<count])
  }
}
