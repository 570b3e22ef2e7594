import AuditClient
import AuditSchema

/// The result of a run. Fields that do not apply are absent.
public struct BenchReport: Codable, Sendable {
  public var bench: String
  public var load: Load
  public var appended: Appending?
  public var delivered: Delivery?
  public var read: Reading?
  /// CPU seconds of this process, all threads, during the run.
  public var clientCPUSeconds: Double
  public var server: Server

  public struct Load: Codable, Sendable {
    public var clients: Int?
    public var subscribers: Int?
    public var filters: Int?
    public var readers: Int?
    public var inFlight: Int?
    public var batch: Int?
    /// Requested events per second of an open loop; absent in a closed loop.
    public var rate: Double?
    public var eventBytes: Int?
    public var threads: Int
  }

  public struct Appending: Codable, Sendable {
    /// Number of recorded and of refused events in the whole run.
    public var records: UInt64
    public var refused: UInt64
    /// In the measured time.
    public var seconds: Double
    public var perSecond: Double
    /// From sending (open loop: from the due time) to the answer.
    public var latencyMicroseconds: LatencySummary?
  }

  public struct Delivery: Codable, Sendable {
    public var records: UInt64
    /// Number of sequences that were missing, repeated or out of order. Not 0 means a fault of the server.
    public var disorder: UInt64
    public var seconds: Double
    public var perSecond: Double
    /// From an event's own time (sent or due) to its arrival.
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
    /// What an answer to an append guarantees.
    public var durability: String
    public var limits: Limits
    /// During the run, of all clients of the server.
    public var records: UInt64
    public var commits: UInt64
    public var recordsPerCommit: Double?
    public var bytesPerRecord: Double?
    /// Number of records before the run.
    public var recordsBefore: UInt64
  }

  /// The server's limits, from its welcome.
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
