/// C2SP tlog-cosignature, v1: what a witness signs. The signature on the note's line is the time, 8 bytes in big-endian order, and 64
/// bytes of Ed25519.
enum Cosignature {
  static func statement(text: String, time: UInt64) -> [UInt8] {
    Array("cosignature/v1\ntime \(time)\n\(text)".utf8)
  }
}
