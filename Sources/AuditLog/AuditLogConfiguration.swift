import MerkleTree

/// Sizes and limits of a log, and the keys that it signs with.
public struct AuditLogConfiguration: Sendable {
  /// Bytes of one record with its tag and length. Default 1 MiB less what a frame needs around it.
  public var recordBytes = (1 << 20) - (4 << 10)
  /// Bytes of records that may wait for the disk; beyond it appends are refused as overloaded.
  public var queueBytes = 16 << 20
  /// Bytes of records that are written and synced as one, about.
  public var commitBytes = 4 << 20
  /// Bytes of the newest commits that are kept in memory for those who follow the log.
  public var tailBytes = 8 << 20
  /// Producers without a connection whose next number is remembered, in all and of one hub. Beyond it those with few records that were idle
  /// longest are forgotten: of the hub itself, or of the hubs that have most.
  public var producers = 65_536
  public var hubProducers = 4_096
  /// Numbers that a producer that is known may skip in its hello.
  public var producerJump: UInt64 = 100_000
  /// In so long a time at most 32 records say what happened to producers, 8 of one hub.
  public var producerRecordsWindow = Duration.seconds(60)
  /// Bytes that decoding one frame may take.
  public var decodeBytes = 16 << 20

  /// Keys that sign checkpoints: none, one, or the old and the new one while they change. All named like the log's origin.
  public var signingKeys: [SignerKey] = []
  /// Sign although the newest checkpoint was signed by none of `signingKeys`: the old ones are lost.
  public var acceptsNewKey = false
  /// How long a durable record waits for a checkpoint that covers it, at most.
  public var checkpointInterval: Duration = .milliseconds(900)
  /// Checkpoints that are signed on request, a second; whoever asks for more shares one with others, and waits for it.
  public var checkpointsPerSecond = 20
  /// Whose cosignatures checkpoints are to get. With a quorum, `AuditLog.witnessedCheckpoint` is one that has it.
  public var witnesses: TrustPolicy?
  /// Whether they must be more than none.
  package var asksForQuorum: Bool { witnesses.map { !$0.isQuorum([]) } ?? false }

  public init() {}
}
