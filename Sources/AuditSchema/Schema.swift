import CAuditSchema

/// The schema itself, for those who read records without hubaudit's files.
public enum Schema {
  /// `google.protobuf.FileDescriptorSet` of Proto/.
  public static let descriptorSet = Array(UnsafeBufferPointer(start: caudit_descriptor_set_bytes(), count: caudit_descriptor_set_size))

  public static let sha256 = SHA256.hash(descriptorSet)
}
