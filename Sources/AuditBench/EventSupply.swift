import AuditSchema

/// Batches of AG2 events, `task_terminated` and `channel_closed` in turn. They are encoded before the run and get their time when sent.
struct EventSupply {
  /// The events of one append.
  struct Batch {
    private(set) var events = EncodedEvents()
    /// Offset of each event's time in `events`.
    private var stamps: [Int] = []

    fileprivate mutating func add(_ event: [UInt8], stamp: Int) { stamps.append(events.append(event).lowerBound + stamp) }

    mutating func stamp(_ time: StampText) {
      for stamp in stamps { time.write(to: &events.bytes, at: stamp) }
    }
  }

  /// Number of batches before the events repeat.
  private static let rounds = 16
  static let channels = 16

  private var batches: [Batch] = []
  private var next = 0
  /// A batch with one event of the rare agent, and the number of other batches between two of these.
  private var rare: (batch: Batch, every: Int)?
  private var sent = 0

  /// - Parameters:
  ///   - seed: for the identifiers; supplies with different seeds have no event in common.
  ///   - rareEvery: one event in this many is of the rare agent; `nil`: none.
  /// - Throws: if `eventBytes` is too small for an event.
  init(batch: Int, eventBytes: Int, channels: Int, seed: Int, rareEvery: Int? = nil) throws(BenchError) {
    let encoder = EventEncoder()
    for round in 0..<Self.rounds {
      var events = Batch()
      for index in 0..<batch {
        let number = round * batch + index
        let event = try Self.event(number, channel: number / 2 % channels, seed: seed, bytes: eventBytes, encoder)
        events.add(event.bytes, stamp: event.stamp)
      }
      batches.append(events)
    }
    if let rareEvery {
      var events = Batch()
      for index in 0..<batch {
        // The index is even, so that the event is a task, which has an owner.
        let owner = index == batch / 4 * 2 ? BenchPlan.rareAgent : nil
        let event = try Self.event(
          Self.rounds * batch + index, channel: index / 2 % channels, seed: seed, owner: owner, bytes: eventBytes, encoder)
        events.add(event.bytes, stamp: event.stamp)
      }
      rare = (events, rareEvery / batch)
    }
  }

  /// The id of a channel, by its number.
  static func channelID(_ index: Int) -> String { identifier("c4a7", index, 0) }

  /// Sets the time of the next batch and passes the batch to `body`, which must not keep it.
  mutating func withNext(stamped time: StampText, _ body: (EncodedEvents) -> Void) {
    sent += 1
    if let every = rare?.every, sent % every == 0 {
      rare!.batch.stamp(time)
      return body(rare!.batch.events)
    }
    batches[next].stamp(time)
    body(batches[next].events)
    next = (next + 1) % batches.count
  }

  private static func event(
    _ number: Int, channel: Int, seed: Int, owner: String? = nil, bytes: Int, _ encoder: EventEncoder
  ) throws(BenchError) -> (bytes: [UInt8], stamp: Int) {
    let at = StampText.placeholder
    let owner = owner ?? identifier("a9e1", number % 100, seed)
    func make(_ reason: String?) throws(BenchError) -> [UInt8] {
      let event: Event =
        if number % 2 == 0 {
          .task(
            TaskEvent(
              taskID: identifier("7a5c", number, seed), kind: "completed", at: at, ownerID: owner, channelID: channelID(channel),
              capability: "summarise", reason: reason))
        } else {
          .channel(
            ChannelEvent(
              channelID: channelID(channel), kind: "closed", at: at,
              metadata: .init(manifestType: "conversation", manifestVersion: 1, creatorID: owner), reason: reason))
        }
      do {
        return try encoder.encode(event)
      } catch {
        throw BenchError(description: error.message)
      }
    }
    var event = try make(nil)
    guard event.count + 4 <= bytes else {
      throw BenchError(description: "an event has at least \(event.count + 4) bytes; give a larger --size")
    }
    // The free text `reason` fills the event up. Its length prefix also takes bytes, so the size is measured after encoding.
    var reason = ""
    while event.count < bytes {
      let missing = bytes - event.count
      reason += String(repeating: "no further turn was expected; ", count: missing / 30 + 1).prefix(
        max(1, reason.isEmpty ? missing - 4 : missing))
      event = try make(reason)
    }
    let pattern = Array(at.utf8)
    let stamp = event.indices.first { event[$0...].starts(with: pattern) }
    return (event, stamp!)
  }

  /// 32 hexadecimal digits.
  private static func identifier(_ prefix: String, _ number: Int, _ seed: Int) -> String {
    func hex(_ value: Int, _ width: Int) -> String {
      let digits = String(value, radix: 16)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    return prefix + hex(seed, 12) + hex(number, 16)
  }
}
