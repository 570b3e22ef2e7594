/// Changes to inputs, the same ones for the same seed: what libFuzzer does, without the feedback.
struct Mutation {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// SplitMix64.
  private mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }

  private mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }

  private static let telling: [UInt8] = [0, 1, 0x0A, 0x12, 0x7F, 0x80, 0xFF, UInt8(ascii: "{"), UInt8(ascii: "\""), UInt8(ascii: "\n")]

  /// One to five changes to `input`; `other` gives bytes to put in.
  mutating func changed(_ input: [UInt8], with other: [UInt8]) -> [UInt8] {
    var bytes = input
    for _ in 0..<(1 + below(5)) {
      let at = below(bytes.count)
      let count = min(1 + below(below(4) == 0 ? 64 : 4), bytes.count - at)
      switch below(8) {
      case 0 where !bytes.isEmpty: bytes[at] ^= 1 << UInt8(below(8))
      case 1 where !bytes.isEmpty: bytes[at] = UInt8(truncatingIfNeeded: next())
      case 2 where !bytes.isEmpty: bytes[at] = Self.telling[below(Self.telling.count)]
      case 3: bytes.removeSubrange(at..<at + count)
      case 4: bytes.insert(contentsOf: bytes[at..<at + count], at: below(bytes.count + 1))
      case 5: bytes.insert(UInt8(truncatingIfNeeded: next()), at: below(bytes.count + 1))
      case 6 where !other.isEmpty:
        let from = below(other.count)
        bytes.insert(contentsOf: other[from..<min(other.count, from + 1 + below(64))], at: below(bytes.count + 1))
      default: if below(4) == 0 { bytes.removeSubrange(at...) }
      }
    }
    return bytes
  }
}
