import Foundation

/// The same numbers for the same seed, on every machine (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
  mutating func oneIn(_ bound: Int) -> Bool { below(bound) == 0 }
  mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }
}

/// What a run of the fault tests is told by its environment.
enum LabSettings {
  /// `HUBAUDIT_SEED` plays a run again; otherwise every run has its own.
  static let seed = number("HUBAUDIT_SEED") ?? UInt64.random(in: 0..<1 << 48)
  /// How many power cuts the random workloads go through: `HUBAUDIT_CRASHES`.
  static let crashes = Int(number("HUBAUDIT_CRASHES") ?? 100_000)
  /// The length of the sequences of which all are tried: `HUBAUDIT_STEPS`.
  static let steps = Int(number("HUBAUDIT_STEPS") ?? 3)

  private static func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }
}
