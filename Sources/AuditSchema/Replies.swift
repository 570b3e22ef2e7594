/// The answer to a hello.
public struct Welcome: Sendable, Equatable {
  public var version: UInt32
  /// Name and version of the server's software.
  public var server: String
  /// The log's id, 16 bytes.
  public var logID: [UInt8]
  public var firstSequence: UInt64
  public var nextSequence: UInt64
  /// The number that the server expects from the producer next; `nil` without a producer.
  public var producerNext: UInt64?
  /// The principal of this connection; `anonymous` from a server that asks for no identities.
  public var identity: String
  /// The identity that a server tells which asks nobody who they are.
  package static let anonymous = "anonymous"
  public var limits: WireLimits
  /// With a producer: a secret for the hello of the next connection.
  package var sessionToken: [UInt8]?
  /// Whether the server may have forgotten this producer. It then cannot tell which of its events are stored.
  public var isProducerForgotten = false
  /// The number that was expected when another client took this producer over. This client's events from that number on are not stored.
  public var producerTakenAt: UInt64?
  /// When the credentials of this connection expire and the server ends it, in Unix ns; `nil`: never.
  public var expiresAt: UInt64?

  package init(
    version: UInt32 = Hello.version, server: String, logID: [UInt8], firstSequence: UInt64, nextSequence: UInt64, producerNext: UInt64?,
    identity: String, limits: WireLimits
  ) {
    self.version = version
    self.server = server
    self.logID = logID
    self.firstSequence = firstSequence
    self.nextSequence = nextSequence
    self.producerNext = producerNext
    self.identity = identity
    self.limits = limits
  }
}

/// A server's limits, as told in its welcome.
public struct WireLimits: Sendable, Equatable {
  /// Maximum bytes of a frame without its length.
  public var frameBytes: UInt64 = 1 << 20
  /// Maximum bytes of a record with its tag and length.
  public var recordBytes: UInt64 = (1 << 20) - (4 << 10)
  /// Maximum number of events of an append.
  public var appendEvents: UInt32 = 10_000
  /// Maximum bytes of a connection's appends that are not on disk yet.
  public var pendingAppendBytes: UInt64 = 8 << 20
  /// Maximum number of a connection's subscriptions.
  public var subscriptions: UInt32 = 64
  /// Maximum number of a connection's running reads.
  public var reads: UInt32 = 16
  /// Maximum credit of a subscription, in bytes.
  public var creditBytes: UInt64 = 64 << 20
  /// Maximum number of values in all lists of a filter.
  public var filterValues: UInt32 = 1_000
  /// Maximum bytes of the values in all lists of a filter.
  public var filterBytes: UInt32 = 64 << 10
  /// Maximum number of disconnected producers that the server remembers for each hub.
  public var hubProducers: UInt32 = 4_096

  public init() {}
}

/// The answer to an append. All recorded events are on disk.
public struct Appended: Sendable, Equatable {
  /// Number of events that became records.
  public var recorded: Int
  /// The ignored events: their indices in the request, from 0.
  public var ignoredEvents: [UInt32]
  /// Sequence of the first record; `nil` if all events were ignored.
  public var firstSequence: UInt64?
  /// Number of recorded events that an earlier request had already stored.
  public var duplicates: Int
  /// The sequences in order if they are not consecutive; otherwise empty.
  public var scatteredSequences: [UInt64]
  /// A signed checkpoint: after a proven append, one that covers it; otherwise the newest, if the hello asked for checkpoints and it is
  /// new.
  public var checkpoint: [UInt8]?
  /// For a proven append: the inclusion proof of each recorded event in order, as 32-byte hashes back to back.
  public var proofs: [[UInt8]] = []

  package init(
    recorded: Int, ignoredEvents: [UInt32] = [], firstSequence: UInt64?, duplicates: Int = 0, scatteredSequences: [UInt64] = []
  ) {
    self.recorded = recorded
    self.ignoredEvents = ignoredEvents
    self.firstSequence = firstSequence
    self.duplicates = duplicates
    self.scatteredSequences = scatteredSequences
  }

  /// The sequence of a recorded event. `index` counts from 0, without ignored events.
  package func sequence(of index: Int) -> UInt64? {
    if !scatteredSequences.isEmpty { return index < scatteredSequences.count ? scatteredSequences[index] : nil }
    return firstSequence.map { $0 + UInt64(index) }
  }

  /// Whether this answer accounts for each of `events` events: recorded with a sequence, or ignored.
  package func isAnswer(toEvents events: Int) -> Bool {
    guard recorded + ignoredEvents.count == events, duplicates <= recorded else { return false }
    guard scatteredSequences.isEmpty ? recorded == 0 || firstSequence != nil : scatteredSequences.count == recorded else { return false }
    return zip(ignoredEvents, ignoredEvents.dropFirst()).allSatisfy(<) && ignoredEvents.last.map { Int($0) < events } ?? true
  }

  /// The sequences of the recorded events, in order.
  public var sequences: [UInt64] {
    if !scatteredSequences.isEmpty { return scatteredSequences }
    guard let firstSequence else { return [] }
    return (0..<UInt64(recorded)).map { firstSequence + $0 }
  }
}

/// A proof from the log's tree.
package struct TreeProof: Sendable, Equatable {
  /// Number of leaves of the tree.
  package var size: UInt64
  /// The proof's hashes, 32 bytes each.
  package var hashes: [[UInt8]]
  /// The signed checkpoint of the tree, if the request named no size.
  package var checkpoint: [UInt8]?

  package init(size: UInt64, hashes: [[UInt8]], checkpoint: [UInt8]?) {
    self.size = size
    self.hashes = hashes
    self.checkpoint = checkpoint
  }
}

/// The end of a read.
package struct ReadEnd: Sendable, Equatable {
  /// The position at which the read stopped.
  package var next: UInt64
  /// Number of records sent.
  package var records: UInt64
  /// The leaf hash of record `next - 1`, if that exists. Absent after a backward read.
  package var leafHash: [UInt8]?
  /// Number of erased records skipped. Whether they matched the filter is no longer known.
  package var erasedSkipped: UInt64

  package init(next: UInt64, records: UInt64, leafHash: [UInt8]? = nil, erasedSkipped: UInt64 = 0) {
    self.next = next
    self.records = records
    self.leafHash = leafHash
    self.erasedSkipped = erasedSkipped
  }
}

/// A change of a subscription. `leafHash`: of record `next - 1`, if that exists.
package enum SubscriptionState: Sendable, Equatable {
  case caughtUp(next: UInt64, leafHash: [UInt8]? = nil, checkpoint: [UInt8]? = nil)
  /// A filtered scan has reached `next`.
  case progress(next: UInt64, leafHash: [UInt8]? = nil)
  case ended(next: UInt64, RequestError?)
}

/// State and size of a server and its log.
public struct Health: Sendable, Equatable {
  public enum Status: UInt32, Sendable {
    /// Accepts appends.
    case ok = 1
    /// Serves reads, but refuses appends; see `reasons`.
    case degraded = 2
    case draining = 3
  }

  public var status: Status = .ok
  public var reasons: [String] = []
  public var server = ""
  public var logID: [UInt8] = []
  public var firstSequence: UInt64 = 0
  public var nextSequence: UInt64 = 0
  /// Bytes of all segments.
  public var logBytes: UInt64 = 0
  public var segments: UInt64 = 0
  public var uptimeNanoseconds: UInt64 = 0
  /// Number of records, and of commits, since the server's start.
  public var recordsAppended: UInt64 = 0
  public var commits: UInt64 = 0
  public var connections: UInt32 = 0
  public var subscriptions: UInt32 = 0
  /// Bytes that recovery cut from the torn end at the last start, and the file that keeps them.
  public var tornBytes: UInt64 = 0
  public var tornFile: String?
  /// Work of the background scrub since the start: records and bytes verified, and complete rounds over all sealed segments.
  public var scrubbedRecords: UInt64 = 0
  public var scrubbedBytes: UInt64 = 0
  public var scrubRounds: UInt64 = 0
  /// Damage found by the scrub: one sentence each, at most 16.
  public var damage: [String] = []
  /// Number of records that the newest signed checkpoint covers; `nil` without a checkpoint.
  public var checkpointSize: UInt64?
  /// Number of clock steps detected since the start, and the last of them.
  public var clockSteps: UInt64 = 0
  public var clockStep: ClockStep?
  /// The server's time when it answered, in Unix ns. Compute ages from it.
  public var now: UInt64 = 0
  /// Name of the key that signs checkpoints, which is the log's origin; `nil` without a key.
  public var signer: String?
  /// When the newest checkpoint was last stored, with or without cosignatures, in Unix ns.
  public var checkpointStoredAt: UInt64?
  /// The witnesses to which checkpoints are submitted.
  public var witnesses: [WitnessHealth] = []
  /// The newest checkpoint with a quorum of witnesses; `nil` if the policy needs none.
  public var quorum: Quorum?
  /// When the scrub's last complete round ended, in Unix ns; `nil` before the first.
  public var scrubEndedAt: UInt64?

  public struct Quorum: Sendable, Equatable {
    /// Number of records of the newest checkpoint with a quorum; 0 before the first.
    public var size: UInt64
    /// When that checkpoint was stored, in Unix ns.
    public var storedAt: UInt64?

    public init(size: UInt64, storedAt: UInt64?) {
      self.size = size
      self.storedAt = storedAt
    }
  }

  public init() {}
}

/// The state of a witness, as the server sees it.
public struct WitnessHealth: Sendable, Equatable {
  /// Its name in the server's policy.
  public var name: String
  /// Number of records of the newest checkpoint that it has cosigned, as far as known; `nil` before the first.
  public var cosignedSize: UInt64?
  /// When it cosigned that checkpoint, by its own clock, in Unix ns.
  public var cosignedAt: UInt64?
  /// Why the last submission failed; `nil` after a success.
  public var failure: String?
  /// Whether it has cosigned another history of this log.
  public var isContradicted: Bool

  public init(name: String, cosignedSize: UInt64? = nil, cosignedAt: UInt64? = nil, failure: String? = nil, isContradicted: Bool = false) {
    self.name = name
    self.cosignedSize = cosignedSize
    self.cosignedAt = cosignedAt
    self.failure = failure
    self.isContradicted = isContradicted
  }
}

/// A setting of a running server.
public struct ServerSetting: Sendable, Equatable {
  /// The source of a value.
  public enum Source: UInt32, Sendable {
    case builtIn = 1
    case file = 2
    case environment = 3
    case flag = 4
  }

  /// Maximum bytes of a value, and of an origin.
  public static let maximumBytes = 2_048

  public let name: String
  public let value: String
  public let source: Source
  /// The flag, the variable, or the file and its line; `nil` for a default.
  public let origin: String?

  /// Texts longer than `maximumBytes` are cut, and then end in U+2026.
  public init(name: String, value: String, source: Source, origin: String?) {
    self.name = name
    self.value = Self.cut(value)
    self.source = source
    self.origin = origin.map(Self.cut)
  }

  private static func cut(_ text: String) -> String {
    guard text.utf8.count > maximumBytes else { return text }
    let mark = "\u{2026}"
    var kept = ""
    for character in text.unicodeScalars {
      guard kept.utf8.count + String(character).utf8.count + mark.utf8.count <= maximumBytes else { break }
      kept.unicodeScalars.append(character)
    }
    return kept + mark
  }
}

/// A step of the machine's clock: the expected and the actual time, in Unix ns.
public struct ClockStep: Sendable, Equatable {
  public var from: UInt64
  public var to: UInt64

  public init(from: UInt64, to: UInt64) {
    self.from = from
    self.to = to
  }
}
