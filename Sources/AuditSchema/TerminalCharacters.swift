/// Tells the characters that a terminal only prints.
package enum TerminalCharacters {
  /// `false` for control characters (C0, DEL, C1), line separators, and characters that change the direction of text or are invisible.
  package static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7F { return scalar.value >= 0x20 }
    return switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
    default: true
    }
  }
}
