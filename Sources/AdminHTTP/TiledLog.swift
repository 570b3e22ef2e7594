import AuditHTTP
import AuditLog
import AuditSchema
import MerkleTree

/// The log as C2SP tlog-tiles: the newest checkpoint with a quorum of the witnesses, tiles of hashes, and bundles of entries, which are the
/// records' headers.
public struct TiledLog: Sendable {
  private let log: AuditLog
  private let evidence: any EvidenceStore

  /// - Returns: `nil` if the log's store keeps no tree.
  public init?(_ log: AuditLog) {
    guard let evidence = log.store.evidence else { return nil }
    self.log = log
    self.evidence = evidence
  }

  static let missing = HTTPAnswer(
    status: 404, body: "this log has signed no checkpoint; start the server with a key (hubaudit keygen, serve --signing-key)\n")

  func checkpoint() -> HTTPAnswer {
    guard let witnessed = log.witnessedCheckpoint else { return Self.missing }
    return HTTPAnswer(status: 200, body: witnessed.note)
  }

  /// Who may keep a copy of an answer that never changes.
  enum Cache: String {
    case `public`
    /// Only whoever asked: a shared cache would answer others without asking for their rights.
    case `private`
  }

  /// Reads a tile. Blocks on the disk.
  func answer(_ tile: Tile, cache: Cache) -> HTTPAnswer {
    // Records beyond the published checkpoint are not served: nobody could check them.
    let size = log.newestCheckpoint?.size ?? 0
    guard tile.exists(inTreeOf: size) else {
      return HTTPAnswer(status: 404, body: "\(tile) is not in the tree of the newest checkpoint, of \(size) records\n")
    }
    do {
      let body: [UInt8]
      switch tile.content {
      case .hashes(let level):
        let hashes = try evidence.tile(level: level, index: tile.index)
        guard hashes.count >= tile.width else {
          throw StoreError(.damaged, "the tree has \(hashes.count) hashes where \(tile.width) should be")
        }
        body = hashes[..<tile.width].flatMap(\.bytes)
      case .entries: body = try entries(tile.indices)
      }
      return HTTPAnswer(
        status: 200, contentType: "application/octet-stream", cacheControl: "\(cache.rawValue), max-age=31536000, immutable", body: body)
    } catch {
      return HTTPAnswer(status: 500, body: "\(tile) cannot be read: \(error)\n")
    }
  }

  private func entries(_ sequences: Range<UInt64>) throws -> [UInt8] {
    var bundle: [UInt8] = []
    let reader = RecordReader(store: log.store, from: sequences.lowerBound)
    while let batch = try reader.next(before: sequences.upperBound) {
      batch.forEachRecord { record in
        // A header has some hundred bytes and always fits into an entry.
        if let parts = RecordBytes(record) { try? EntryBundle.append(parts.header, to: &bundle) }
      }
    }
    return bundle
  }
}
