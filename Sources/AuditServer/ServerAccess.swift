import AccessControl
import AuditSchema
import Synchronization

/// Who may use a server: the access file in force, and what its identities use. Shared by all event loops.
public final class ServerAccess: Sendable {
  private let judgeInForce: Mutex<any AccessJudge>
  /// With the number of connections, and of those that ask to be one.
  private let usages = Mutex<[String: (usage: IdentityUsage, users: Int)]>([:])
  private let failures = Mutex<[AuthenticationFailure.Cause: UInt64]>([:])
  private let denials = Mutex<[String: UInt64]>([:])
  private let lastGroup = Atomic<UInt64>(0)

  package init(_ judge: any AccessJudge) { judgeInForce = Mutex(judge) }

  package var judge: any AccessJudge { judgeInForce.withLock { $0 } }

  func replace(_ judge: any AccessJudge) { judgeInForce.withLock { $0 = judge } }

  // MARK: - What identities use

  /// Counts a connection of an identity.
  ///
  /// - Throws: `overloaded` if it has as many as its quota allows.
  func enter(_ identity: Identity) throws(RequestError) -> IdentityUsage {
    let usage = usages.withLock { usages in
      var entry = usages[identity.name] ?? (IdentityUsage(identity.name, group: lastGroup.add(1, ordering: .relaxed).newValue), 0)
      entry.users += 1
      usages[identity.name] = entry
      return entry.usage
    }
    usage.quota = identity.rights.quota
    do throws(RequestError) {
      try usage.take(.connections)
      return usage
    } catch {
      drop(usage)
      throw error
    }
  }

  func leave(_ usage: IdentityUsage) {
    usage.giveBack(.connections)
    drop(usage)
  }

  /// An identity without connections uses nothing, so nothing is kept of it.
  private func drop(_ usage: IdentityUsage) {
    usages.withLock { usages in
      guard var entry = usages[usage.name] else { return }
      entry.users -= 1
      usages[usage.name] = entry.users == 0 ? nil : entry
    }
  }

  // MARK: - Counters

  func failed(_ cause: AuthenticationFailure.Cause) { failures.withLock { $0[cause, default: 0] += 1 } }

  func denied(_ right: String) { denials.withLock { $0[right, default: 0] += 1 } }

  /// Connections and requests that were refused since the start, by cause.
  package var failureCounts: [AuthenticationFailure.Cause: UInt64] { failures.withLock { $0 } }

  /// Requests that were refused since the start, by the right that was missing.
  package var denialCounts: [String: UInt64] { denials.withLock { $0 } }
}

/// What all connections of one identity use together, against its quota. Any thread.
final class IdentityUsage: Sendable {
  enum Resource: Int, CaseIterable {
    case connections
    case producers
    case subscriptions
    case filterBytes

    /// As in the access file.
    var name: String {
      switch self {
      case .connections: "connections"
      case .producers: "producers"
      case .subscriptions: "subscriptions"
      case .filterBytes: "filter-bytes"
      }
    }
  }

  let name: String
  /// Reader threads take turns by this number. Unique among identities, never 0.
  let group: UInt64

  private struct State {
    var quota = Quota()
    var used = [Int](repeating: 0, count: Resource.allCases.count)
    var arriving = Pace()
    var replaying = Pace()

    func limit(_ resource: Resource) -> Int? {
      switch resource {
      case .connections: quota.connections
      case .producers: quota.producers
      case .subscriptions: quota.subscriptions
      case .filterBytes: quota.filterBytes
      }
    }
  }

  private let state = Mutex(State())

  init(_ name: String, group: UInt64) {
    self.name = name
    self.group = group
  }

  var quota: Quota {
    get { state.withLock { $0.quota } }
    set { state.withLock { $0.quota = newValue } }
  }

  /// - Throws: `overloaded` with the quota's name; nothing is taken then.
  func take(_ resource: Resource, _ amount: Int = 1) throws(RequestError) {
    let limit = state.withLock { state -> Int? in
      let used = state.used[resource.rawValue] + amount
      if let limit = state.limit(resource), used > limit { return limit }
      state.used[resource.rawValue] = used
      return nil
    }
    guard let limit else { return }
    throw RequestError(
      .overloaded,
      "identity \(name) would use more \(resource.name) than its quota of \(limit) (\(resource.name) in the access file); use fewer, or ask the operator"
    )
  }

  func giveBack(_ resource: Resource, _ amount: Int = 1) { state.withLock { $0.used[resource.rawValue] -= amount } }

  /// Counts bytes of an append.
  ///
  /// - Throws: `overloaded` while the identity sends faster than its quota allows. Then they are not counted.
  func arrived(_ bytes: Int) throws(RequestError) {
    let limit = state.withLock { state -> Int? in
      guard let limit = state.quota.bytesPerSecond, !state.arriving.admits(bytes, perSecond: limit, now: ContinuousClock.now) else {
        return nil
      }
      return limit
    }
    guard let limit else { return }
    throw RequestError(
      .overloaded,
      "identity \(name) sends more than its quota of \(limit) bytes a second (bytes in the access file); send again in a moment")
  }

  /// How long the next step of a read or replay must wait; `nil`: it may begin.
  func replayWait() -> Duration? {
    state.withLock { (state) -> Duration? in
      guard let limit = state.quota.replayBytesPerSecond else { return nil }
      return state.replaying.wait(perSecond: limit, now: ContinuousClock.now)
    }
  }

  /// Counts bytes that a step has sent.
  func replayed(_ bytes: Int) {
    state.withLock { state in
      if let limit = state.quota.replayBytesPerSecond { state.replaying.spend(bytes, perSecond: limit, now: ContinuousClock.now) }
    }
  }
}

/// A number of bytes a second, with one second's worth at once after a rest. By the monotonic clock.
struct Pace {
  /// Bytes that were spent ahead of time, as of `at`.
  private var debt = 0.0
  private var at: ContinuousClock.Instant?

  private mutating func payDown(perSecond limit: Int, _ now: ContinuousClock.Instant) {
    if let at { debt = max(0, debt - Double(limit) * ((now - at) / .seconds(1))) }
    at = now
  }

  /// Spends the bytes, unless more than a second's worth were spent ahead of time.
  mutating func admits(_ bytes: Int, perSecond limit: Int, now: ContinuousClock.Instant) -> Bool {
    payDown(perSecond: limit, now)
    guard debt <= Double(limit) else { return false }
    debt += Double(bytes)
    return true
  }

  mutating func spend(_ bytes: Int, perSecond limit: Int, now: ContinuousClock.Instant) {
    payDown(perSecond: limit, now)
    debt += Double(bytes)
  }

  /// Time until less than a second's worth is spent ahead of time; `nil`: it is so now.
  mutating func wait(perSecond limit: Int, now: ContinuousClock.Instant) -> Duration? {
    payDown(perSecond: limit, now)
    let excess = debt - Double(limit)
    return excess <= 0 ? nil : .seconds(excess / Double(max(1, limit)))
  }
}
