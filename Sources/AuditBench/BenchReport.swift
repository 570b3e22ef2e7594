import AuditClient
import AuditSchema

/// What a run did and measured. Every field is absent where it does not apply.
public struct BenchReport: Codable, Sendable {
  public var bench: String
  public var load: Load
  public var appended: Appending?
  public var delivered: Delivery?
  public var read: Reading?
  /// Of this process, all its threads, while the run lasted.
  public var clientCPUSeconds: Double
  public var server: Server

  public struct Load: Codable, Sendable {
    public var clients: Int?
    public var subscribers: Int?
    public var filters: Int?
    public var readers: Int?
    public var inFlight: Int?
    public var batch: Int?
    /// Events a second that were asked for: an open loop. Absent in a closed one.
    public var rate: Double?
    public var eventBytes: Int?
    public var threads: Int
  }

  public struct Appending: Codable, Sendable {
    /// Events that the server said are recorded, and those that it refused, in the whole run.
    public var records: UInt64
    public var refused: UInt64
    /// Of the time that was measured.
    public var seconds: Double
    public var perSecond: Double
    /// From sending, in an open loop from when it was due, to the answer.
    public var latencyMicroseconds: LatencySummary?
  }

  public struct Delivery: Codable, Sendable {
    public var records: UInt64
    /// Sequences that were missing, twice or out of order: 0, or the server has a fault.
    public var disorder: UInt64
    public var seconds: Double
    public var perSecond: Double
    /// From an event's own time (sent, or due) to its arrival.
    public var latencyMicroseconds: LatencySummary?
  }

  public struct Reading: Codable, Sendable {
    public var records: UInt64
    public var bytes: UInt64
    public var disorder: UInt64
    public var seconds: Double
    public var perSecond: Double
    public var firstRecordMicroseconds: LatencySummary?
  }

  public struct Server: Codable, Sendable {
    public var address: String
    public var software: String
    /// What an answer promises.
    public var durability: String
    public var limits: Limits
    /// During the run, by anybody.
    public var records: UInt64
    public var commits: UInt64
    public var recordsPerCommit: Double?
    public var bytesPerRecord: Double?
    /// In the log before the run.
    public var recordsBefore: UInt64
  }

  /// What the server told in its welcome.
  public struct Limits: Codable, Sendable {
    public var frameBytes: UInt64
    public var recordBytes: UInt64
    public var appendEvents: UInt32
    public var pendingAppendBytes: UInt64
    public var subscriptions: UInt32
    public var reads: UInt32
    public var creditBytes: UInt64

    init(_ limits: WireLimits) {
      frameBytes = limits.frameBytes
      recordBytes = limits.recordBytes
      appendEvents = limits.appendEvents
      pendingAppendBytes = limits.pendingAppendBytes
      subscriptions = limits.subscriptions
      reads = limits.reads
      creditBytes = limits.creditBytes
    }
  }
}
