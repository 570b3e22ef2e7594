import Glibc

/// A reusable output buffer that grows as needed. For one thread at a time.
///
/// Exclusivity checks are off, since every byte of output would pay for them. Invariant: no access calls back into the buffer.
package final class TextBuffer {
  @exclusivity(unchecked) private var start: UnsafeMutablePointer<UInt8>
  @exclusivity(unchecked) private var capacity: Int
  @exclusivity(unchecked) package private(set) var count = 0

  package init(capacity: Int = 256) {
    self.capacity = max(1, capacity)
    start = .allocate(capacity: self.capacity)
  }

  deinit { start.deallocate() }

  /// The bytes written so far. Valid until the next write.
  package var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: start, count: count) }

  /// Removes all bytes. Keeps the memory.
  package func removeAll() { count = 0 }

  var last: UInt8? { count > 0 ? start[count - 1] : nil }

  func removeLast() {
    precondition(count > 0, "nothing was written")
    count -= 1
  }

  /// Makes room for `byteCount` more bytes, and lets `write` fill it.
  ///
  /// - Parameter write: returns the number of bytes written, at most `byteCount`.
  @inline(__always)
  func withRoom(_ byteCount: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Int) {
    if capacity - count < byteCount { grow(byteCount) }
    let written = write(start + count)
    assert(written <= byteCount, "\(written) bytes were written where there was room for \(byteCount)")
    count += written
  }

  @inline(__always)
  package func append(_ byte: UInt8) {
    withRoom(1) { room in
      room[0] = byte
      return 1
    }
  }

  @inline(__always)
  package func append(_ bytes: UnsafeBufferPointer<UInt8>) {
    guard let base = bytes.baseAddress else { return }
    withRoom(bytes.count) { room in
      room.update(from: base, count: bytes.count)
      return bytes.count
    }
  }

  @inline(__always)
  package func append(_ text: StaticString) { append(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)) }

  package func append(_ text: String) {
    var text = text
    text.withUTF8 { append($0) }
  }

  @inline(never)
  private func grow(_ byteCount: Int) {
    let capacity = max(2 * self.capacity, count + byteCount)
    let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    larger.update(from: start, count: count)
    start.deallocate()
    (start, self.capacity) = (larger, capacity)
  }
}
