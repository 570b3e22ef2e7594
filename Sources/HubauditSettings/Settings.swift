import AuditSchema

/// The settings in force, each with its source. Every value is one that its setting allows, and all go together.
///
/// A flag wins over the environment, the environment over the file, the file over the default.
package struct Settings: Sendable {
  package struct Value: Sendable {
    package var text: String
    package var source: ServerSetting.Source
    /// What to name in an error: the flag, the variable, or file and line.
    package var origin: String
  }

  private var values: [String: Value] = [:]

  /// - Parameters:
  ///   - flags: those that were given, by the settings' names.
  ///   - file: path of the configuration file; without one `HUBAUDIT_CONFIG` is asked.
  /// - Throws: for a file that cannot be read or is malformed, and for the first value that is not allowed.
  package init(flags: [String: String], file: String?, environment: [String: String]) throws(SettingError) {
    let path = file ?? environment["HUBAUDIT_CONFIG"]
    let lines = if let path { try SettingFile.read(path) } else { [String: SettingFile.Line]() }
    for setting in Self.all {
      let value =
        if let text = flags[setting.name] {
          Value(text: text, source: .flag, origin: "--\(setting.name)")
        } else if let text = environment[setting.environmentName] {
          Value(text: text, source: .environment, origin: setting.environmentName)
        } else if let path, let line = lines[setting.name] {
          Value(text: line.value, source: .file, origin: "\(path):\(line.number)")
        } else {
          Value(text: setting.defaultValue, source: .builtIn, origin: "default")
        }
      if let allowed = setting.kind.refusal(of: value.text) {
        throw SettingError("\(value.origin): \"\(value.text)\" is not \(allowed) (setting \(setting.name))")
      }
      values[setting.name] = value
    }
    try checkRules()
  }

  // MARK: - Typed values

  private func value(_ name: String) -> Value {
    guard let value = values[name] else { preconditionFailure("there is no setting \(name)") }
    return value
  }

  package func text(_ name: String) -> String { value(name).text }

  /// The text; `nil` if it is empty.
  package func path(_ name: String) -> String? { text(name).isEmpty ? nil : text(name) }

  /// What stands between commas, without spaces around it.
  package func list(_ name: String) -> [String] {
    text(name).split(separator: ",").map { part in
      String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }.filter { !$0.isEmpty }
  }

  package func number(_ name: String) -> Int {
    guard let number = Amount.number(text(name), isSize: true) else { preconditionFailure("\(name) is no number") }
    return number
  }

  package func flag(_ name: String) -> Bool {
    guard let flag = Amount.flag(text(name)) else { preconditionFailure("\(name) is no flag") }
    return flag
  }

  package func duration(_ name: String) -> Duration {
    guard let duration = Amount.duration(text(name)) else { preconditionFailure("\(name) is no time") }
    return duration
  }

  /// What to name in an error about a value.
  package func origin(_ name: String) -> String { value(name).origin }

  // MARK: - What is told of them

  /// All of them, for `config show` and for clients that ask.
  package var told: [ServerSetting] {
    Self.all.map { setting in
      let value = value(setting.name)
      return ServerSetting(
        name: setting.name, value: value.text, source: value.source,
        origin: value.source == .builtIn && value.origin == "default" ? nil : value.origin)
    }
  }

  // MARK: - Changes while the server runs

  /// Takes one value as it is read anew.
  package mutating func take(_ name: String, from new: Settings) { values[name] = new.values[name] }

  /// The server runs with less than it was told.
  package mutating func lower(_ name: String, to number: Int, since reason: String) {
    var value = value(name)
    value.text = "\(number)"
    value.origin = (value.source == .builtIn ? "" : "\(value.origin); ") + reason
    values[name] = value
  }
}

extension ServerSetting.Source {
  package var name: String {
    switch self {
    case .flag: "flag"
    case .environment: "environment"
    case .file: "file"
    case .builtIn: "default"
    }
  }
}
