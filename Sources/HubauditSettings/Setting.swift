/// One setting of the server: a flag, its environment twin, its key in the configuration file, what it may be, and its default.
package struct Setting: Sendable {
  /// As a flag without the dashes, and as the key in the file.
  package let name: String
  package let kind: SettingKind
  package let defaultValue: String
  /// One or two sentences. The range and the default are added to it.
  package let help: String

  /// `HUBAUDIT_` and the name in capitals.
  package var environmentName: String { "HUBAUDIT_" + name.uppercased().replacing("-", with: "_") }

  /// What it is, what it may be, and what it is without being set.
  package var fullHelp: String {
    let allowed = kind.allowed.map { " \($0)" } ?? ""
    return ["", "false"].contains(defaultValue) ? help + allowed : "\(help)\(allowed) Default: \(defaultValue)."
  }
}

/// What a setting may be.
package enum SettingKind: Sendable {
  /// Any text: a path, an address, a name. Whoever uses it judges it.
  case text
  case choice([String])
  case flag
  /// A whole number.
  case count(ClosedRange<Int>)
  /// Bytes, or bytes a second. A unit may stand behind the number.
  case bytes(ClosedRange<Int>)
  case duration(atLeast: Duration, atMost: Duration = .seconds(366 * 86_400))

  /// Judges a text.
  ///
  /// - Returns: what is allowed instead; `nil` if it is allowed.
  func refusal(of text: String) -> String? {
    switch self {
    case .text: nil
    case .choice(let words): words.contains(text) ? nil : "one of \(words.joined(separator: ", "))"
    case .flag: Amount.flag(text) == nil ? "true or false" : nil
    case .count(let range):
      Amount.number(text, isSize: false).map(range.contains) == true
        ? nil : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    case .bytes(let range):
      Amount.number(text, isSize: true).map(range.contains) == true
        ? nil : "a whole number from \(range.lowerBound) to \(range.upperBound), with KiB, MiB, GiB or TiB behind it if you like"
    case .duration(let least, let most):
      Amount.duration(text).map { $0 >= least && $0 <= most } == true
        ? nil : "a time such as 500ms, 2s, 5m or 1h, from \(least) to \(most)"
    }
  }

  /// A sentence for help; `nil` where there is nothing to say.
  var allowed: String? {
    switch self {
    case .text, .flag: nil
    case .choice(let words): "One of \(words.joined(separator: ", "))."
    case .count(let range): "\(range.lowerBound) to \(range.upperBound)."
    case .bytes(let range): "\(Amount.text(range.lowerBound)) to \(Amount.text(range.upperBound))."
    case .duration(let least, let most): least > .milliseconds(1) ? "\(least) to \(most)." : nil
    }
  }
}

/// A wrong setting: where it stands, what is wrong, and what is allowed.
package struct SettingError: Error, Sendable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}
