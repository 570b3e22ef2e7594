import CAuditDigest
import CAuditSchema

/// The schema itself, for those who read records without hubaudit's files.
public enum Schema {
  /// `google.protobuf.FileDescriptorSet` of Proto/.
  public static let descriptorSet = Array(UnsafeBufferPointer(start: caudit_descriptor_set_bytes(), count: caudit_descriptor_set_size))

  public static let sha256: [UInt8] = {
    var hash = [UInt8](repeating: 0, count: 32)
    descriptorSet.withUnsafeBytes { caudit_sha256($0.baseAddress, $0.count, &hash) }
    return hash
  }()
}
