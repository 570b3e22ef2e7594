/// Which characters a terminal prints and does nothing else with.
package enum TerminalCharacters {
  /// False for control characters (C0, DEL, C1), line separators, characters that change the direction of text, and those that show nothing.
  package static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7F { return scalar.value >= 0x20 }
    return switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
    default: true
    }
  }
}
