import MerkleTree

/// Sizes and limits of a log, and its signing keys.
public struct AuditLogConfiguration: Sendable {
  /// Maximum bytes of a record with its tag and length. Default: 1 MiB less 4 KiB for the frame around it.
  public var recordBytes = (1 << 20) - (4 << 10)
  /// Maximum bytes of records that wait for the disk. Beyond it, appends are refused as overloaded.
  public var queueBytes = 16 << 20
  /// About the maximum bytes of one commit.
  public var commitBytes = 4 << 20
  /// Bytes of the newest commits that are kept in memory for subscribers.
  public var tailBytes = 8 << 20
  /// Maximum producers without a connection that are remembered: of all hubs, and of one hub. Beyond it, those with the fewest records that were
  /// idle longest are forgotten: of the same hub, or of the hubs with the most producers.
  public var producers = 65_536
  public var hubProducers = 4_096
  /// How many numbers a known producer may skip in its hello.
  public var producerJump: UInt64 = 100_000
  /// In this time, at most 32 records report take-overs and jumps of producers, at most 8 of one hub.
  public var producerRecordsWindow = Duration.seconds(60)
  /// Refusals are counted for this long: so few of them make a record. See `AccessTrail`.
  public var accessRecordsWindow = Duration.seconds(60)
  /// Whether reads go on when no record of them can be stored.
  public var readAuditing = ReadAuditing.bestEffort
  /// Maximum memory for decoding one frame, in bytes.
  public var decodeBytes = 16 << 20

  /// Keys that sign checkpoints: none, one, or the old and the new one during a change. All have the log's origin as their name.
  public var signingKeys: [SignerKey] = []
  /// Sign even though none of `signingKeys` has signed the newest checkpoint: the old key is lost.
  public var acceptsNewKey = false
  /// Maximum time from a record's sync to the signing of a checkpoint that covers it.
  public var checkpointInterval: Duration = .milliseconds(900)
  /// Maximum checkpoints a second that are signed on request. Further requests wait and share one.
  public var checkpointsPerSecond = 20
  /// The witnesses that cosign checkpoints. With a quorum in it, `AuditLog.witnessedCheckpoint` has that quorum.
  public var witnesses: TrustPolicy?
  /// Whether they must be more than none.
  package var asksForQuorum: Bool { witnesses.map { !$0.isQuorum([]) } ?? false }

  public init() {}
}
