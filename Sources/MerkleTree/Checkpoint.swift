/// A log's statement of its size (C2SP tlog-checkpoint): its name, the number of leaves, and their root hash.
public struct Checkpoint: Hashable, Sendable {
  /// Name of the log, one line.
  public let origin: String
  /// Number of leaves.
  public let size: UInt64
  /// Root hash over the leaves.
  public let root: TreeHash
  /// Extension lines. C2SP advises logs to have none.
  public let extensions: [String]

  /// - Throws: `.malformed` if the origin or an extension is empty or has a control character; `.proofMismatch` if `size` is 0 and `root`
  ///   is not the empty tree's.
  public init(origin: String, size: UInt64, root: TreeHash, extensions: [String] = []) throws(EvidenceError) {
    for line in [origin] + extensions where line.isEmpty || line.utf8.contains(where: { $0 < 0x20 }) {
      throw EvidenceError(
        .malformed, "checkpoint: a line must not be empty or have control characters, got \(EvidenceError.quote(line.utf8))")
    }
    guard size > 0 || root == .emptyTree else {
      throw EvidenceError(.proofMismatch, "checkpoint: the root of an empty log must be \(TreeHash.emptyTree), got \(root)")
    }
    self.origin = origin
    self.size = size
    self.root = root
    self.extensions = extensions
  }

  /// Parses the text of a checkpoint.
  ///
  /// - Throws: `.malformed`; `.proofMismatch` for a wrong root of an empty log.
  public init(text: String) throws(EvidenceError) {
    var reader = NoteLines(Array(text.utf8)[...])
    guard let origin = reader.next(), let sizeLine = reader.next(), let rootLine = reader.next() else {
      throw EvidenceError(.malformed, "checkpoint: fewer than three lines")
    }
    guard let size = UInt64(canonicalDecimal: sizeLine) else {
      throw EvidenceError(.malformed, "checkpoint: the size must be decimal without leading zeros, got \(EvidenceError.quote(sizeLine))")
    }
    guard let root = TreeHash(base64Bytes: rootLine) else {
      throw EvidenceError(.malformed, "checkpoint: the root must be 32 bytes in base64, got \(EvidenceError.quote(rootLine))")
    }
    var extensions: [String] = []
    while let line = reader.next() { extensions.append(String(decoding: line, as: UTF8.self)) }
    guard reader.rest.isEmpty else { throw EvidenceError(.malformed, "checkpoint: the last line does not end in a newline") }
    try self.init(origin: String(decoding: origin, as: UTF8.self), size: size, root: root, extensions: extensions)
  }

  /// The lines, each ended by a newline.
  public var text: String {
    "\(origin)\n\(size)\n\(root.base64)\n" + extensions.map { "\($0)\n" }.joined()
  }
}
