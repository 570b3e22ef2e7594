/// Writes numbers as decimal digits, without a temporary string.
enum DecimalText {
  static let maximumDigits = 20

  /// - Parameter width: minimum number of digits, filled with leading zeros; at most 20.
  static func append(_ value: UInt64, width: Int = 1, to out: TextBuffer) {
    out.withRoom(maximumDigits) { write(value, digits: max(width, digits(of: value)), to: $0) }
  }

  /// Writes the last `digits` digits, and returns `digits`.
  @inline(__always)
  @discardableResult
  static func write(_ value: UInt64, digits: Int, to out: UnsafeMutablePointer<UInt8>) -> Int {
    var value = value
    var index = digits
    while index > 0 {
      index -= 1
      out[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10)
      value /= 10
    }
    return digits
  }

  private static func digits(of value: UInt64) -> Int {
    var count = 1
    var value = value
    while value >= 10 {
      value /= 10
      count += 1
    }
    return count
  }
}
