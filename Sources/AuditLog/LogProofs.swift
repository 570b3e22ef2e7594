import AuditSchema
import MerkleTree

/// Proofs from the log's tree. Making one reads the disk.
package struct LogProofs: Sendable {
  private let evidence: any EvidenceStore

  package init(_ evidence: any EvidenceStore) { self.evidence = evidence }

  /// The inclusion proof of record `sequence` in the tree of `size` records (RFC 9162, 2.1.3).
  ///
  /// - Throws: `RequestError` if there is no such tree or record; `StoreError` if the tree is damaged.
  package func inclusion(of sequence: UInt64, size: UInt64) throws -> [TreeHash] {
    try check(size)
    guard sequence < size else {
      throw RequestError(.invalidRequest, "record \(sequence) is not in a tree of \(size) records; ask for a larger one")
    }
    return try InclusionProof(index: sequence, treeSize: size, reading: evidence).path
  }

  /// The consistency proof between the trees of `oldSize` and `size` records (RFC 9162, 2.1.4).
  package func consistency(from oldSize: UInt64, size: UInt64) throws -> [TreeHash] {
    try check(size)
    guard oldSize <= size else {
      throw RequestError(.invalidRequest, "a tree of \(oldSize) records is larger than that of \(size) it is to be found in")
    }
    return try ConsistencyProof(oldSize: oldSize, newSize: size, reading: evidence).path
  }

  private func check(_ size: UInt64) throws {
    let head = try evidence.treeHead()
    guard size <= head.size else {
      throw RequestError(.invalidRequest, "the log has \(head.size) records, fewer than the \(size) that a proof was asked for")
    }
  }
}
