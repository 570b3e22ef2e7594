import AuditLog
import AuditSchema
import Synchronization

/// What passes through the server and what waits in it, for metrics. Counts begin with the process.
public struct ServerLoad: Sendable {
  /// Bytes of frames, and what is not known to be any, from all peers.
  public var receivedBytes: UInt64 = 0
  /// Bytes of frames that were given to connections; a peer that goes away leaves some of them untaken.
  public var sentBytes: UInt64 = 0
  /// Bytes of records that were made durable.
  public var storedBytes: UInt64 = 0
  /// Appends that wait for the writer, and what they count against `queueBytes`.
  public var queuedAppends = 0
  public var queuedBytes = 0
  /// Appends that were answered with an error, by its code.
  public var refusedAppends: [RequestError.Code: UInt64] = [:]
  /// Subscriptions that have not looked at all records, at most 100 ms ago.
  public var laggingSubscriptions = 0
  /// Records that the last of them had not looked at then.
  public var largestLag: UInt64 = 0
}

extension AuditServer {
  public var load: ServerLoad {
    var load = ServerLoad()
    load.storedBytes = log.sequencer.counts.bytes
    (load.queuedAppends, load.queuedBytes) = log.sequencer.queued
    for shard in shards.values { shard.counters.add(to: &load) }
    return load
  }
}

/// What one event loop counts. The loop alone writes, so that no addition waits for another processor; any thread reads.
final class ShardCounters: Sendable {
  private let received = Atomic<UInt64>(0)
  private let sent = Atomic<UInt64>(0)
  private let lagging = Atomic<Int>(0)
  private let largestLag = Atomic<UInt64>(0)
  private let refusals = Mutex<[RequestError.Code: UInt64]>([:])

  func received(_ bytes: Int) { received.store(received.load(ordering: .relaxed) &+ UInt64(bytes), ordering: .relaxed) }

  func sent(_ bytes: Int) { sent.store(sent.load(ordering: .relaxed) &+ UInt64(bytes), ordering: .relaxed) }

  func looked(lagging count: Int, largest: UInt64) {
    lagging.store(count, ordering: .relaxed)
    largestLag.store(largest, ordering: .relaxed)
  }

  func refused(_ code: RequestError.Code) { refusals.withLock { $0[code, default: 0] += 1 } }

  func add(to load: inout ServerLoad) {
    load.receivedBytes += received.load(ordering: .relaxed)
    load.sentBytes += sent.load(ordering: .relaxed)
    load.laggingSubscriptions += lagging.load(ordering: .relaxed)
    load.largestLag = max(load.largestLag, largestLag.load(ordering: .relaxed))
    load.refusedAppends.merge(refusals.withLock { $0 }, uniquingKeysWith: +)
  }
}
