import AuditSchema
import Foundation

/// One setting of the server: a flag, its environment twin, its key in the configuration file, and its default.
struct Setting: Sendable {
  /// As a flag without the dashes, and as the key in the file.
  let name: String
  let defaultValue: String
  let help: String

  /// `HUBAUDIT_` and the name in capitals.
  var environmentName: String { "HUBAUDIT_" + name.uppercased().replacing("-", with: "_") }
}

extension ServerSetting.Source {
  var name: String {
    switch self {
    case .flag: "flag"
    case .environment: "environment"
    case .file: "file"
    case .builtIn: "default"
    }
  }
}

/// The settings in force, each with its source.
struct Settings: Sendable {
  static let all: [Setting] = [
    Setting(name: "data", defaultValue: "hubaudit-data", help: "Data directory. Created if it is missing."),
    Setting(
      name: "listen", defaultValue: "127.0.0.1:7411",
      help: "Addresses for hubs and subscribers, separated by commas: host:port (0: any free port) or unix:PATH."),
    Setting(
      name: "unix-mode", defaultValue: "0600",
      help: "Permissions of Unix sockets, octal: 0600, 0660 or 0666. Who may write may connect."),
    Setting(name: "http-listen", defaultValue: "127.0.0.1:7412", help: "Address for health and metrics over HTTP, or off."),
    Setting(
      name: "http-hosts", defaultValue: "",
      help: "Host names that HTTP requests may use besides addresses and localhost, separated by commas."),
    Setting(
      name: "http-connections", defaultValue: "128",
      help: "Maximum HTTP connections. At the limit, the one that has waited longest makes room."),
    Setting(
      name: "public-evidence", defaultValue: "false",
      help: "With access: everybody may have checkpoints and hash tiles over HTTP. They tell nothing of any record."),
    Setting(name: "insecure-listen", defaultValue: "false", help: "Allow an address other than loopback without TLS and access."),
    Setting(
      name: "access", defaultValue: "",
      help:
        "File that says who may do what (hubaudit access). Empty: everybody may do everything. Read again when it changes, and at SIGHUP."),
    Setting(
      name: "audit-reads", defaultValue: "best-effort",
      help: "With access, reads are records of the log. best-effort: they go on when none can be stored; required: they are refused then."),
    Setting(
      name: "tls-cert", defaultValue: "",
      help: "File of the server's certificate chain (PEM): listen and http-listen speak TLS 1.3. Read again when it changes, and at SIGHUP."
    ),
    Setting(name: "tls-key", defaultValue: "", help: "File of the private key of tls-cert (PEM), readable for its owner only."),
    Setting(name: "client-ca", defaultValue: "", help: "File of the roots that sign clients' certificates (PEM). Needs access."),
    Setting(name: "log-format", defaultValue: "auto", help: "auto (JSON unless on a terminal), json or text."),
    Setting(
      name: "log-level", defaultValue: "info", help: "trace, debug, info, notice, warning, error or critical. SIGHUP reads it again."),
    Setting(
      name: "signing-key", defaultValue: "",
      help: "File of the key that signs checkpoints (hubaudit keygen). During a change of keys: old and new, separated by a comma."),
    Setting(
      name: "make-key", defaultValue: "false",
      help: "Make the key file of signing-key if it is missing and the log is new: no records, never signed. Back it up."),
    Setting(
      name: "origin", defaultValue: "",
      help:
        "Name of the log and of its key, such as audit.example.com/hubs. Empty: the key's name; with make-key, the machine's name and a random part."
    ),
    Setting(
      name: "key-group-readable", defaultValue: "false",
      help: "Accept a key file that its group may read (Kubernetes secrets, systemd's LoadCredential)."),
    Setting(
      name: "accept-new-key", defaultValue: "false",
      help: "Sign even though none of the keys has signed the newest checkpoint: the old key is lost."),
    Setting(name: "checkpoint-interval", defaultValue: "900ms", help: "Maximum time from a record to a signed checkpoint that covers it."),
    Setting(
      name: "checkpoint-rate", defaultValue: "20",
      help: "Maximum checkpoints a second that are signed on request. Further requests wait and share one."),
    Setting(
      name: "checkpoints", defaultValue: "",
      help: "Directory for signed checkpoints, better on another disk. Empty: in the data directory."
    ),
    Setting(
      name: "witnesses", defaultValue: "",
      help: "File with the policy (C2SP tlog-policy) that names the witnesses of checkpoints."),
    Setting(
      name: "witness-cacert", defaultValue: "",
      help: "File of the roots that sign the certificates of witnesses with https URLs (PEM). Empty: the system's."),
    Setting(
      name: "scrub-bytes", defaultValue: "8388608", help: "Bytes a second that the scrub reads to find damage; 0: no scrub."),
    Setting(name: "scrub-pause", defaultValue: "1h", help: "Pause between full scrubs."),
    Setting(
      name: "search-bytes", defaultValue: "33554432",
      help: "Bytes a second that are read to index full segments for filtered reads; 0: no indexing."),
    Setting(name: "segment-bytes", defaultValue: "67108864", help: "Size of a segment file."),
    Setting(name: "frame-bytes", defaultValue: "1048576", help: "Maximum size of a frame."),
    Setting(name: "record-bytes", defaultValue: "1044480", help: "Maximum size of a record; at least 4096 less than frame-bytes."),
    Setting(name: "append-events", defaultValue: "10000", help: "Maximum events in one append."),
    Setting(
      name: "pending-append-bytes", defaultValue: "8388608", help: "Maximum bytes of one connection's appends that wait for the disk."),
    Setting(
      name: "queue-bytes", defaultValue: "16777216",
      help: "Maximum bytes of all appends that wait for the disk. Beyond it, appends are refused."),
    Setting(name: "decode-bytes", defaultValue: "16777216", help: "Maximum memory for decoding one frame."),
    Setting(name: "tail-bytes", defaultValue: "8388608", help: "Bytes of the newest records that are kept in memory for subscribers."),
    Setting(name: "producers", defaultValue: "65536", help: "Maximum producers without a connection that are remembered."),
    Setting(name: "hub-producers", defaultValue: "4096", help: "Maximum producers of one hub without a connection that are remembered."),
    Setting(name: "producer-jump", defaultValue: "100000", help: "How many numbers a producer may skip in its hello."),
    Setting(name: "connections", defaultValue: "10000", help: "Maximum connections."),
    Setting(name: "receive-bytes", defaultValue: "67108864", help: "Maximum bytes of unfinished frames of all connections."),
    Setting(
      name: "send-bytes", defaultValue: "268435456", help: "About the maximum bytes that the peers of all connections have not read."),
    Setting(name: "subscriptions", defaultValue: "64", help: "Maximum subscriptions of one connection."),
    Setting(name: "reads", defaultValue: "16", help: "Maximum reads under way on one connection."),
    Setting(name: "credit-bytes", defaultValue: "67108864", help: "Maximum credit of a subscription."),
    Setting(name: "filter-values", defaultValue: "1000", help: "Maximum values in all lists of one filter."),
    Setting(
      name: "filter-bytes", defaultValue: "65536", help: "Maximum bytes of one filter's values. One connection may hold four such filters."),
    Setting(name: "all-filter-bytes", defaultValue: "67108864", help: "Maximum memory of the filters of all connections."),
    Setting(name: "hello-timeout", defaultValue: "2s", help: "Maximum time from accept to a whole hello."),
    Setting(name: "frame-timeout", defaultValue: "30s", help: "Maximum time from a frame's first byte to its last."),
    Setting(name: "write-timeout", defaultValue: "10s", help: "How long a peer may read nothing while bytes wait for it."),
    Setting(
      name: "keepalive-timeout", defaultValue: "2m",
      help: "How long a silent peer's host may leave TCP keep-alive probes unanswered; at least 2s."),
    Setting(name: "credit-timeout", defaultValue: "60s", help: "How long a subscription may lack credit while records wait for it."),
    Setting(name: "drain-timeout", defaultValue: "10s", help: "How long a shutdown waits for appends under way."),
    Setting(name: "event-loops", defaultValue: "1", help: "Number of threads that serve connections."),
    Setting(name: "read-threads", defaultValue: "2", help: "Number of threads that read the disk for readers behind the tail."),
  ]

  struct Value: Sendable {
    var text: String
    var source: ServerSetting.Source
    /// What to name in an error: the flag, the variable, or file and line.
    var origin: String
  }

  private(set) var values: [String: Value] = [:]

  /// - Parameters:
  ///   - flags: those that were given.
  ///   - file: path of the configuration file; without one `HUBAUDIT_CONFIG` is asked.
  /// - Throws: `CommandFailure` with usage status for a file that cannot be read or holds an unknown key.
  init(flags: [String: String], file: String?, environment: [String: String] = ProcessInfo.processInfo.environment) throws {
    let path = file ?? environment["HUBAUDIT_CONFIG"]
    let fromFile = try path.map { try Self.read($0) } ?? [:]
    for setting in Self.all {
      if let text = flags[setting.name] {
        values[setting.name] = Value(text: text, source: .flag, origin: "--\(setting.name)")
      } else if let text = environment[setting.environmentName] {
        values[setting.name] = Value(text: text, source: .environment, origin: setting.environmentName)
      } else if let (text, line) = fromFile[setting.name] {
        values[setting.name] = Value(text: text, source: .file, origin: "\(path!):\(line)")
      } else {
        values[setting.name] = Value(text: setting.defaultValue, source: .builtIn, origin: "default")
      }
    }
  }

  /// `name = value` lines; `#` begins a comment.
  private static func read(_ path: String) throws -> [String: (text: String, line: Int)] {
    let text: String
    do {
      text = try String(contentsOfFile: path, encoding: .utf8)
    } catch {
      throw CommandFailure(.usage, "cannot read the configuration file \(path): \(error.localizedDescription)")
    }
    var found: [String: (String, Int)] = [:]
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let content = Self.withoutComment(line).trimmingCharacters(in: .whitespaces)
      guard !content.isEmpty else { continue }
      let parts = content.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      guard parts.count == 2 else { throw CommandFailure(.usage, "\(path):\(index + 1): \"\(content)\" is not of the form name = value") }
      guard all.contains(where: { $0.name == parts[0] }) else {
        let hint =
          Spelling.nearest(to: parts[0], among: all.map(\.name)).map { "did you mean \($0)?" } ?? "`hubaudit config show` lists them"
        throw CommandFailure(.usage, "\(path):\(index + 1): there is no setting \"\(parts[0])\"; \(hint)")
      }
      if let (_, first) = found[parts[0]] {
        throw CommandFailure(.usage, "\(path):\(index + 1): \(parts[0]) was set in line \(first) already; keep one of the two")
      }
      found[parts[0]] = (parts[1].trimmingCharacters(in: CharacterSet(charactersIn: "\"")), index + 1)
    }
    return found
  }

  /// What stands before a `#` that is in no quotes.
  private static func withoutComment(_ line: Substring) -> Substring {
    var isQuoted = false
    for index in line.indices {
      if line[index] == "\"" { isQuoted.toggle() }
      if line[index] == "#", !isQuoted { return line[..<index] }
    }
    return line
  }

  /// A setting as a line of the configuration file.
  static func line(_ name: String, _ text: String) -> String {
    let needsQuotes = text.isEmpty || text.contains("#") || text.first == " " || text.last == " "
    return "\(name) = \(needsQuotes ? "\"\(text)\"" : text)"
  }

  /// All of them, for `config show` and for clients that ask.
  var told: [ServerSetting] {
    Self.all.map { setting in
      let value = values[setting.name]!
      return ServerSetting(
        name: setting.name, value: value.text, source: value.source,
        origin: value.source == .builtIn && value.origin == "default" ? nil : value.origin)
    }
  }

  /// Takes one value as it is read anew.
  mutating func take(_ name: String, from new: Settings) { values[name] = new.values[name] }

  /// The server runs with less than it was told.
  mutating func lower(_ name: String, to number: Int, since reason: String) {
    values[name]!.text = "\(number)"
    let given = values[name]!.source == .builtIn ? "" : "\(values[name]!.origin); "
    values[name]!.origin = given + reason
  }

  // MARK: - Typed values

  func text(_ name: String) -> String { values[name]!.text }

  private func wrong(_ name: String, _ expected: String) -> CommandFailure {
    let value = values[name]!
    return CommandFailure(.usage, "\(value.origin): \"\(value.text)\" is not \(expected) (setting \(name))")
  }

  func integer(_ name: String, in range: ClosedRange<Int>) throws -> Int {
    guard let number = Self.number(text(name), isSize: name.hasSuffix("-bytes")), range.contains(number) else {
      let units = name.hasSuffix("-bytes") ? ", with KiB, MiB, GiB or TiB behind it if you like" : ""
      throw wrong(name, "a whole number from \(range.lowerBound) to \(range.upperBound)\(units)")
    }
    return number
  }

  /// "4096"; for sizes also "64KiB", "64K" (the same), "8MiB", "1GiB", "1TiB", and "64kB" for thousands.
  static func number(_ text: String, isSize: Bool) -> Int? {
    let units: [(String, Int)] = [
      ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40), ("kb", 1000), ("mb", 1_000_000), ("gb", 1_000_000_000),
      ("tb", 1_000_000_000_000), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40),
    ]
    guard isSize, let (suffix, size) = units.first(where: { text.lowercased().hasSuffix($0.0) }) else { return Int(text) }
    guard let number = Int(text.dropLast(suffix.count).trimmingCharacters(in: .whitespaces)) else { return nil }
    let (product, overflow) = number.multipliedReportingOverflow(by: size)
    return overflow ? nil : product
  }

  func flag(_ name: String) throws -> Bool {
    switch text(name).lowercased() {
    case "true", "yes", "1", "on": return true
    case "false", "no", "0", "off": return false
    default: throw wrong(name, "true or false")
    }
  }

  func duration(_ name: String) throws -> Duration {
    guard let duration = Self.duration(text(name)), duration > .zero else { throw wrong(name, "a time such as 500ms, 2s, 5m or 1h") }
    return duration
  }

  /// "500ms", "2s", "5m", "1h", "1d"; a bare number is seconds.
  static func duration(_ text: String) -> Duration? {
    let units: [(String, Int64)] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("", 1000)]
    for (suffix, milliseconds) in units where text.hasSuffix(suffix) {
      guard let number = Double(text.dropLast(suffix.count)), number >= 0, number < 1e9 else { continue }
      return .milliseconds(Int64(number * Double(milliseconds)))
    }
    return nil
  }
}
