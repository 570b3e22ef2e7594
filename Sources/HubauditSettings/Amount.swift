/// Numbers, sizes and times as people write them.
package enum Amount {
  private static let units: [(suffix: String, size: Int)] = [
    ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40), ("kb", 1000), ("mb", 1_000_000), ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40),
  ]

  /// "4096"; for sizes also "64KiB", "64K" (the same), "8MiB", "1GiB", "1TiB", and "64kB" for thousands.
  package static func number(_ text: String, isSize: Bool) -> Int? {
    guard isSize, let unit = units.first(where: { text.lowercased().hasSuffix($0.suffix) }) else { return Int(text) }
    let digits = text.dropLast(unit.suffix.count)
    guard let number = Int(digits.last == " " ? digits.dropLast() : digits) else { return nil }
    let (product, overflow) = number.multipliedReportingOverflow(by: unit.size)
    return overflow ? nil : product
  }

  /// A size with the largest unit of 1024 that leaves it whole: "64 KiB".
  static func text(_ bytes: Int) -> String {
    for (unit, size) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where bytes >= size && bytes % size == 0 {
      return "\(bytes / size) \(unit)"
    }
    return "\(bytes)"
  }

  /// "500ms", "2s", "5m", "1h", "1d"; a bare number is seconds.
  package static func duration(_ text: String) -> Duration? {
    let units: [(String, Int64)] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("", 1000)]
    for (suffix, milliseconds) in units where text.hasSuffix(suffix) {
      guard let number = Double(text.dropLast(suffix.count)), number >= 0, number < 1e9 else { continue }
      return .milliseconds(Int64(number * Double(milliseconds)))
    }
    return nil
  }

  static func flag(_ text: String) -> Bool? {
    switch text.lowercased() {
    case "true", "yes", "1", "on": true
    case "false", "no", "0", "off": false
    default: nil
    }
  }
}
