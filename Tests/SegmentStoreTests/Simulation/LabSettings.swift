import Foundation

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
