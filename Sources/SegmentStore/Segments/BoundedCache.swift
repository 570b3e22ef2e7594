/// A cache that evicts the least recently used value.
struct BoundedCache<Value: Sendable>: Sendable {
  private let limit: Int
  private var values: [UInt64: (value: Value, used: UInt64)] = [:]
  private var uses: UInt64 = 0

  init(limit: Int) { self.limit = max(1, limit) }

  mutating func value(_ key: UInt64) -> Value? {
    guard let found = values[key] else { return nil }
    uses += 1
    values[key] = (found.value, uses)
    return found.value
  }

  mutating func insert(_ value: Value, for key: UInt64) {
    uses += 1
    values[key] = (value, uses)
    if values.count > limit, let oldest = values.min(by: { $0.value.used < $1.value.used }) { values[oldest.key] = nil }
  }

  mutating func remove(_ key: UInt64) { values[key] = nil }
  mutating func removeAll() { values.removeAll() }
}
