/// The rule for key names (C2SP signed-note): not empty, no Unicode space, no plus sign. No control characters either, since they could end
/// the note's line.
enum KeyName {
  static func isValid(_ name: String) -> Bool {
    !name.isEmpty && name.unicodeScalars.allSatisfy { !$0.properties.isWhitespace && $0 != "+" && $0.value >= 0x20 }
  }

  static func check(_ name: String) throws(EvidenceError) {
    guard isValid(name) else {
      throw EvidenceError(
        .malformed, "key name: \(EvidenceError.quote(name.utf8)) must not be empty or contain spaces, control characters or plus signs")
    }
  }
}
