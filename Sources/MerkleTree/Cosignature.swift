/// The statement that a witness signs (C2SP tlog-cosignature, v1). Its signature line holds the time in Unix seconds, as 8 bytes
/// big-endian, and the 64 bytes of the Ed25519 signature.
enum Cosignature {
  static func statement(text: String, time: UInt64) -> [UInt8] {
    Array("cosignature/v1\ntime \(time)\n\(text)".utf8)
  }
}
