import CAuditSchema

/// The protobuf schema, for software that reads records without hubaudit's files.
public enum Schema {
  /// The encoded `google.protobuf.FileDescriptorSet` of Proto/.
  public static let descriptorSet = Array(UnsafeBufferPointer(start: caudit_descriptor_set_bytes(), count: caudit_descriptor_set_size))

  public static let sha256 = SHA256.hash(descriptorSet)
}
