/// Sizes and limits of a log.
public struct AuditLogConfiguration: Sendable {
  /// Bytes of one record with its tag and length. Default 1 MiB less what a frame needs around it.
  public var recordBytes = (1 << 20) - (4 << 10)
  /// Bytes of records that may wait for the disk; beyond it appends are refused as overloaded.
  public var queueBytes = 16 << 20
  /// Bytes of records that are written and synced as one, about.
  public var commitBytes = 4 << 20
  /// Bytes of the newest commits that are kept in memory for those who follow the log.
  public var tailBytes = 8 << 20
  /// Producers whose next number is remembered; those idle longest are forgotten.
  public var producers = 65_536
  /// Bytes that decoding one frame may take.
  public var decodeBytes = 16 << 20

  public init() {}
}
