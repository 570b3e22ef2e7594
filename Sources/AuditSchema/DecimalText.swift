/// Numbers as decimal digits, written where they belong.
enum DecimalText {
  /// - Parameter width: digits at least, with zeros in front.
  static func append(_ value: UInt64, width: Int = 1, to out: inout [UInt8]) {
    var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
    withUnsafeMutableBytes(of: &digits) { digits in
      var index = digits.count
      var value = value
      repeat {
        index -= 1
        digits[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10)
        value /= 10
      } while value > 0
      while digits.count - index < width {
        index -= 1
        digits[index] = UInt8(ascii: "0")
      }
      out += digits[index...]
    }
  }
}
