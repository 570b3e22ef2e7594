import Synchronization

/// Buffers for reading the store, one for each reader thread, lent for one step. A read or subscription that waits for its peer holds none.
package final class ScanMemory: Sendable {
  /// Bytes of an ordinary buffer. A larger one, for a large record, is freed when it is returned.
  package static let pieceBytes = 256 << 10

  /// `@unchecked Sendable`: a buffer has one user at a time.
  private struct Piece: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
  }

  private let spare = Mutex<[Piece]>([])
  private let limit: Int
  private let lentPieces = Atomic<Int>(0)

  /// - Parameter pieces: how many buffers are kept for reuse.
  package init(pieces: Int) { limit = pieces }

  deinit { spare.withLock { for piece in $0 { piece.bytes.deallocate() } } }

  /// Number of buffers in use.
  package var lent: Int { lentPieces.load(ordering: .relaxed) }

  func take(_ byteCount: Int = pieceBytes) -> UnsafeMutableRawBufferPointer {
    lentPieces.add(1, ordering: .relaxed)
    guard byteCount <= Self.pieceBytes else { return .allocate(byteCount: byteCount, alignment: 16) }
    return spare.withLock { $0.popLast() }?.bytes ?? .allocate(byteCount: Self.pieceBytes, alignment: 16)
  }

  func giveBack(_ bytes: UnsafeMutableRawBufferPointer) {
    lentPieces.subtract(1, ordering: .relaxed)
    let piece = Piece(bytes: bytes)
    let isKept = spare.withLock { spare in
      guard bytes.count == Self.pieceBytes, spare.count < limit else { return false }
      spare.append(piece)
      return true
    }
    if !isKept { bytes.deallocate() }
  }
}
