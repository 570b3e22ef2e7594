/// The answer to a hello.
public struct Welcome: Sendable, Equatable {
  public var version: UInt32
  /// Name and version of the server's software.
  public var server: String
  /// 16 bytes that name the log.
  public var logID: [UInt8]
  public var firstSequence: UInt64
  public var nextSequence: UInt64
  /// The number that the server expects from the producer next.
  public var producerNext: UInt64?
  /// Who the server takes this connection for.
  public var identity: String
  public var limits: WireLimits
  /// With a producer: a secret of this connection, for the hello of the next one.
  package var sessionToken: [UInt8]?
  /// The server may have forgotten this producer: it cannot tell which of its events are stored.
  public var isProducerForgotten = false
  /// The number that was expected when another connection took this producer over: what was sent from it on was not stored.
  public var producerTakenAt: UInt64?

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

/// The limits that a server tells in its welcome.
public struct WireLimits: Sendable, Equatable {
  /// Bytes of one frame, without its length.
  public var frameBytes: UInt64 = 1 << 20
  /// Bytes of one record with its tag and length.
  public var recordBytes: UInt64 = (1 << 20) - (4 << 10)
  /// Events in one append.
  public var appendEvents: UInt32 = 10_000
  /// Bytes of one connection's appends that are not yet on disk.
  public var pendingAppendBytes: UInt64 = 8 << 20
  /// Subscriptions, and reads under way, of one connection.
  public var subscriptions: UInt32 = 64
  public var reads: UInt32 = 16
  /// Credit that a subscription may hold.
  public var creditBytes: UInt64 = 64 << 20
  /// Values in all lists of one filter, and their bytes.
  public var filterValues: UInt32 = 1_000
  public var filterBytes: UInt32 = 64 << 10
  /// Producers without a connection that are remembered for each hub.
  public var hubProducers: UInt32 = 4_096

  public init() {}
}

/// The answer to an append: everything it recorded is on disk.
public struct Appended: Sendable, Equatable {
  /// Number of events that became records.
  public var recorded: Int
  /// Positions in the request, from 0, of the events that make no record.
  public var ignoredEvents: [UInt32]
  /// Sequence of the first record; `nil` when none was recorded.
  public var firstSequence: UInt64?
  /// How many of the recorded events had been stored by an earlier request.
  public var duplicates: Int
  /// The sequences in order when they are not consecutive; otherwise empty.
  public var scatteredSequences: [UInt64]
  /// The signed note of a checkpoint: the newest, where it was asked for and not told before, or the one that covers a proven append.
  public var checkpoint: [UInt8]?
  /// Of a proven append: for each recorded event in order the hashes of its inclusion in the checkpoint's tree, 32 bytes each.
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

  /// The sequence of a recorded event, counted from 0 without the ignored ones.
  package func sequence(of index: Int) -> UInt64? {
    if !scatteredSequences.isEmpty { return index < scatteredSequences.count ? scatteredSequences[index] : nil }
    return firstSequence.map { $0 + UInt64(index) }
  }

  /// Whether it says of each event of an append that it is a record, and which one, or that it is ignored.
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
  /// Size of the tree.
  package var size: UInt64
  /// 32 bytes each.
  package var hashes: [[UInt8]]
  /// The signed note of the tree, where the request named no size.
  package var checkpoint: [UInt8]?

  package init(size: UInt64, hashes: [[UInt8]], checkpoint: [UInt8]?) {
    self.size = size
    self.hashes = hashes
    self.checkpoint = checkpoint
  }
}

/// The end of a read.
package struct ReadEnd: Sendable, Equatable {
  /// Where it stopped.
  package var next: UInt64
  /// How many records it sent.
  package var records: UInt64
  /// The leaf hash of record `next - 1`, where there is one; not told of a read backwards.
  package var leafHash: [UInt8]?
  /// Erased records that were passed over: nobody can tell any more whether they matched the filter.
  package var erasedSkipped: UInt64

  package init(next: UInt64, records: UInt64, leafHash: [UInt8]? = nil, erasedSkipped: UInt64 = 0) {
    self.next = next
    self.records = records
    self.leafHash = leafHash
    self.erasedSkipped = erasedSkipped
  }
}

/// `leafHash` is that of record `next - 1`, where there is one.
package enum SubscriptionState: Sendable, Equatable {
  case caughtUp(next: UInt64, leafHash: [UInt8]? = nil, checkpoint: [UInt8]? = nil)
  /// A filtered scan has come this far.
  case progress(next: UInt64, leafHash: [UInt8]? = nil)
  case ended(next: UInt64, RequestError?)
}

/// Condition and size of a server and its log.
public struct Health: Sendable, Equatable {
  public enum Status: UInt32, Sendable {
    /// Takes appends.
    case ok = 1
    /// Serves reads; refuses appends for the reasons given.
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
  /// Since the server's start.
  public var recordsAppended: UInt64 = 0
  public var commits: UInt64 = 0
  public var connections: UInt32 = 0
  public var subscriptions: UInt32 = 0
  /// What recovery cut from the torn end at the last start, and the file that keeps it.
  public var tornBytes: UInt64 = 0
  public var tornFile: String?
  /// What the background scrub has read again since the start, and its whole rounds over all sealed segments.
  public var scrubbedRecords: UInt64 = 0
  public var scrubbedBytes: UInt64 = 0
  public var scrubRounds: UInt64 = 0
  /// What the scrub found damaged: a sentence each, 16 at most.
  public var damage: [String] = []
  /// Number of records that the newest signed checkpoint covers; `nil` when the log has none.
  public var checkpointSize: UInt64?
  /// How often the machine's clock was found set since the start, and the last time: from where to where, Unix ns.
  public var clockSteps: UInt64 = 0
  public var clockStep: ClockStep?
  /// The server's clock when it answered, Unix ns: ages are counted from it.
  public var now: UInt64 = 0
  /// Name of the key that signs checkpoints, which is the log's origin; `nil` when nothing is signed.
  public var signer: String?
  /// When the newest checkpoint was stored, last also with cosignatures, Unix ns.
  public var checkpointStoredAt: UInt64?
  /// Those that checkpoints are submitted to.
  public var witnesses: [WitnessHealth] = []
  /// How far checkpoints have the witnesses' quorum; `nil` when none is asked for.
  public var quorum: Quorum?
  /// When the scrub's last whole round ended, Unix ns; `nil` before the first.
  public var scrubEndedAt: UInt64?

  public struct Quorum: Sendable, Equatable {
    /// Number of records of the newest checkpoint that has it; 0 before there is one.
    public var size: UInt64
    /// When that was stored, Unix ns.
    public var storedAt: UInt64?

    public init(size: UInt64, storedAt: UInt64?) {
      self.size = size
      self.storedAt = storedAt
    }
  }

  public init() {}
}

/// How it stands with a witness.
public struct WitnessHealth: Sendable, Equatable {
  /// Its name in the server's policy.
  public var name: String
  /// Number of records of the newest checkpoint that it has cosigned, as far as it has told; `nil`: none yet.
  public var cosignedSize: UInt64?
  /// When it cosigned, by its own clock, Unix ns.
  public var cosignedAt: UInt64?
  /// Why the last submission to it was of no use.
  public var failure: String?
  /// Whether it says that this log is not the one that it cosigned.
  public var isContradicted: Bool

  public init(name: String, cosignedSize: UInt64? = nil, cosignedAt: UInt64? = nil, failure: String? = nil, isContradicted: Bool = false) {
    self.name = name
    self.cosignedSize = cosignedSize
    self.cosignedAt = cosignedAt
    self.failure = failure
    self.isContradicted = isContradicted
  }
}

/// A setting that a server runs with.
public struct ServerSetting: Sendable, Equatable {
  /// Where a value comes from.
  public enum Source: UInt32, Sendable {
    case builtIn = 1
    case file = 2
    case environment = 3
    case flag = 4
  }

  /// Bytes of a value, or of an origin, that are told.
  public static let maximumBytes = 2_048

  public let name: String
  public let value: String
  public let source: Source
  /// The flag, the variable, or the file and its line; `nil` for a default.
  public let origin: String?

  /// What is longer than `maximumBytes` is cut, and ends in U+2026.
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

/// The machine's clock was set: what it should have said, and what it said. Unix time in nanoseconds.
public struct ClockStep: Sendable, Equatable {
  public var from: UInt64
  public var to: UInt64

  public init(from: UInt64, to: UInt64) {
    self.from = from
    self.to = to
  }
}
