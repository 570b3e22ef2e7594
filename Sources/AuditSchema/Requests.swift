/// The first frame of a connection.
package struct Hello: Sendable, Equatable {
  package static let version: UInt32 = 1

  package var version: UInt32? = Hello.version
  package var hub: String?
  package var producer: String?
  /// The number of the producer's first event without an answer; `nil`: the server's number.
  package var producerNext: UInt64?
  package var client: String?
  /// Ask for the newest checkpoint in answers to appends, and when a subscription has caught up.
  package var checkpoints: Bool
  /// The secret of an earlier welcome of this producer.
  package var sessionToken: [UInt8]?
  /// A token or JWT that says who this is.
  package var token: String?

  /// Maximum bytes of a token.
  package static let maximumTokenBytes = 16 << 10

  package init(
    version: UInt32? = Hello.version, hub: String? = nil, producer: String? = nil, producerNext: UInt64? = nil, client: String? = nil,
    checkpoints: Bool = false, sessionToken: [UInt8]? = nil, token: String? = nil
  ) {
    self.version = version
    self.hub = hub
    self.producer = producer
    self.producerNext = producerNext
    self.client = client
    self.checkpoints = checkpoints
    self.sessionToken = sessionToken
    self.token = token
  }
}

/// Where a read or a subscription begins.
public enum Start: Sendable, Equatable {
  /// At the first stored record.
  case earliest
  /// At the end of the log: the next record to be appended.
  case latest
  /// At this sequence.
  case sequence(UInt64)
  /// At the first record received at this Unix time in ns or later.
  case time(UInt64)
  /// After this sequence.
  case after(UInt64)
}

package struct ReadRequest: Sendable, Equatable {
  package var start: Start
  /// What the client knows of the log; checked before anything is sent.
  package var history: LogHistory?
  package var filter: RecordFilter
  package var limit: UInt64?
  package var backwards: Bool

  package init(
    start: Start, history: LogHistory? = nil, filter: RecordFilter = RecordFilter(), limit: UInt64? = nil, backwards: Bool = false
  ) {
    self.start = start
    self.history = history
    self.filter = filter
    self.limit = limit
    self.backwards = backwards
  }
}

package struct SubscribeRequest: Sendable, Equatable {
  package var start: Start
  /// What the client knows of the log; checked before anything is sent.
  package var history: LogHistory?
  package var filter: RecordFilter
  /// Bytes of record batches that the server may push before it gets more credit.
  package var credit: UInt64

  package init(start: Start, history: LogHistory? = nil, filter: RecordFilter = RecordFilter(), credit: UInt64) {
    self.start = start
    self.history = history
    self.filter = filter
    self.credit = credit
  }
}

/// An append whose events are not decoded yet; `EventTranslator` reads them one by one. Valid as long as the frame's bytes.
package struct AppendRequest {
  package var producerSequence: UInt64?
  package var count: Int
  /// Answer when a signed checkpoint covers the records.
  package var isProven: Bool
  /// A `hubaudit.v1.AppendRequest`, checked except for its events, and the start of the frame, from which errors count offsets.
  let content: UnsafeRawBufferPointer
  let frameStart: UnsafeRawPointer
}

package struct ProofRequest: Sendable, Equatable {
  package enum Subject: Sendable, Equatable {
    /// Prove that the tree has the record with this sequence.
    case inclusion(UInt64)
    /// Prove that the tree begins with the tree of this size.
    case consistency(UInt64)
  }

  package var subject: Subject
  /// Number of leaves of the tree; `nil`: of the newest checkpoint.
  package var size: UInt64?

  package init(_ subject: Subject, size: UInt64? = nil) {
    self.subject = subject
    self.size = size
  }
}

package enum ClientRequest {
  case hello(Hello)
  /// `token`: for the identity that the connection has.
  case authenticate(token: String)
  case append(AppendRequest)
  case read(ReadRequest)
  case subscribe(SubscribeRequest)
  case unsubscribe(subscription: UInt64)
  case credit(subscription: UInt64, bytes: UInt64)
  case health
  case settings
  /// `size`: number of records that the checkpoint must cover; `nil`: the newest.
  case checkpoint(size: UInt64?)
  case proof(ProofRequest)
  /// `statement`: a signed note.
  case erase(statement: [UInt8])
  case schema
  case ping(payload: [UInt8])
}
