internal import CAuditDigest

/// A SHA-256 hash: of a leaf, a node or a whole tree (RFC 6962, section 2.1).
///
/// 32 bytes inline, without padding or heap storage: the memory of an array of hashes is the content of a tile.
public struct TreeHash: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
  /// Bytes of a hash.
  public static let byteCount = 32

  // The bytes of the hash in memory order, independent of the CPU's byte order.
  private var word0: UInt64 = 0
  private var word1: UInt64 = 0
  private var word2: UInt64 = 0
  private var word3: UInt64 = 0

  private init() {}

  /// `nil` unless there are 32 bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == TreeHash.byteCount else { return nil }
    self.init { $0.copyBytes(from: bytes) }
  }

  /// Loads a hash from the first 32 bytes of `bytes`, which must have that many.
  package init(loading bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count >= TreeHash.byteCount)
    self.init { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<TreeHash.byteCount])) }
  }

  /// Decodes standard, padded base64 of 44 characters; `nil` if it is malformed.
  public init?(base64 text: String) {
    self.init(base64Bytes: text.utf8)
  }

  init?(base64Bytes text: some Collection<UInt8>) {
    guard text.count == 44, let bytes = Base64.decode(text) else { return nil }
    self.init(bytes)
  }

  /// Decodes 64 lower-case hexadecimal digits; `nil` if they are malformed.
  public init?(hex text: String) {
    guard let bytes = Hex.decode(text.utf8) else { return nil }
    self.init(bytes)
  }

  private init(filling fill: (UnsafeMutableRawBufferPointer) -> Void) {
    self.init()
    withUnsafeMutableBytes(of: &self, fill)
  }

  /// The 32 bytes.
  public var bytes: [UInt8] { withUnsafeBytes { Array($0) } }

  /// 64 lower-case hexadecimal digits.
  public var hex: String { withUnsafeBytes { Hex.encode($0) } }

  /// Standard base64, padded: 44 characters.
  public var base64: String { withUnsafeBytes { Base64.encode($0) } }

  public var description: String { base64 }

  package func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    Swift.withUnsafeBytes(of: self, body)
  }
}

extension TreeHash {
  /// The root of the empty tree: SHA-256 of no bytes.
  public static let emptyTree = sha256([])

  /// The hash of a leaf: SHA-256(0x00 || bytes).
  public static func leaf(_ bytes: [UInt8]) -> TreeHash {
    bytes.withUnsafeBytes { leaf($0) }
  }

  package static func leaf(_ bytes: UnsafeRawBufferPointer) -> TreeHash {
    TreeHash { caudit_sha256_prefixed(0x00, bytes.baseAddress, bytes.count, nil, 0, $0.baseAddress) }
  }

  /// The hashes of two leaves. Faster than one after the other, since the two are hashed in parallel.
  package static func leaves(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> (TreeHash, TreeHash) {
    var hashes = (TreeHash(), TreeHash())
    Swift.withUnsafeMutableBytes(of: &hashes) { hashes in
      caudit_sha256_prefixed_pair(
        0x00, one.baseAddress, one.count, other.baseAddress, other.count, hashes.baseAddress, hashes.baseAddress! + byteCount)
    }
    return hashes
  }

  /// The hashes of the nodes over pairs of `children`. An odd last child is ignored.
  static func nodes(_ children: [TreeHash]) -> [TreeHash] {
    let count = children.count / 2
    // Empty arrays share one storage, which must not be written.
    guard count > 0 else { return [] }
    return [TreeHash](unsafeUninitializedCapacity: count) { nodes, initialized in
      children.withUnsafeBytes { children in
        let result = UnsafeMutableRawBufferPointer(nodes)
        let width = 2 * byteCount
        for index in stride(from: 0, to: count - 1, by: 2) {
          let child = children.baseAddress! + index * width
          let node = result.baseAddress! + index * byteCount
          caudit_sha256_prefixed_pair(0x01, child, width, child + width, width, node, node + byteCount)
        }
        if count % 2 == 1 {
          caudit_sha256_prefixed(
            0x01, children.baseAddress! + (count - 1) * width, width, nil, 0, result.baseAddress! + (count - 1) * byteCount)
        }
      }
      initialized = count
    }
  }

  /// The hash of a node over two subtrees: SHA-256(0x01 || left || right).
  public static func node(_ left: TreeHash, _ right: TreeHash) -> TreeHash {
    TreeHash { result in
      left.withUnsafeBytes { left in
        right.withUnsafeBytes { right in
          caudit_sha256_prefixed(0x01, left.baseAddress, left.count, right.baseAddress, right.count, result.baseAddress)
        }
      }
    }
  }

  /// Plain SHA-256 without a prefix, for key ids and witness paths.
  public static func sha256(_ bytes: [UInt8]) -> TreeHash {
    TreeHash { result in
      bytes.withUnsafeBytes { caudit_sha256($0.baseAddress, $0.count, result.baseAddress) }
    }
  }
}
