import AuditSchema
import Foundation
import HubauditSettings
import Testing

@Suite struct SettingsTests {
  private static func settings(
    _ flags: [String: String] = [:], environment: [String: String] = [:], file: String? = nil
  ) throws -> Settings {
    guard let file else { return try Settings(flags: flags, file: nil, environment: environment) }
    let path = FileManager.default.temporaryDirectory.appending(path: "hubaudit-\(UUID().uuidString)").path
    try Data(file.utf8).write(to: URL(filePath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try Settings(flags: flags, file: path, environment: environment)
  }

  private static func refusal(
    _ flags: [String: String] = [:], environment: [String: String] = [:], file: String? = nil
  ) -> String? {
    do {
      _ = try settings(flags, environment: environment, file: file)
      return nil
    } catch { return "\(error)" }
  }

  /// What fits a kind, and what does not.
  private static func examples(_ kind: SettingKind) -> (good: [String], bad: [String]) {
    switch kind {
    case .text: ([""], [])
    case .choice(let words): (words, ["", "nonsense", words[0].uppercased() + "x"])
    case .flag: (["true", "false", "yes", "no", "on", "off", "1", "0", "TRUE"], ["", "2", "maybe"])
    case .count(let range):
      (
        ["\(range.lowerBound)", "\(range.upperBound)"],
        ["", "many", "-1", "1.5", "\(range.lowerBound - 1)", "\(range.upperBound + 1)", "1KiB"]
      )
    case .bytes(let range):
      (
        ["\(range.lowerBound)", "\(range.upperBound)"],
        ["", "much", "-1", "1.5", "\(range.lowerBound - 1)", "\(range.upperBound + 1)", "1 PiB", "KiB", "9999999999TiB"]
      )
    case .duration(let least, let most):
      (
        ["\(least / .milliseconds(1))ms", "\(most / .seconds(1))s", "5m", "1h", "90", "2.5s"],
        ["", "soon", "-1s", "0s", "1 week", "\(most / .seconds(1) + 1)s"]
      )
    }
  }

  @Test("every setting takes what its kind allows, and refuses anything else by flag, range and name", arguments: Settings.all.map(\.name))
  func kinds(name: String) throws {
    let setting = try #require(Settings.all.first { $0.name == name })
    // Rules between settings have their own test.
    let roomy = ["frame-bytes": "524288", "record-bytes": "1024", "append-events": "1"]
    let (good, bad) = Self.examples(setting.kind)
    for text in good {
      var flags = roomy
      flags[name] = text
      switch name {
      case "frame-bytes": (flags["receive-bytes"], flags["send-bytes"]) = ("1TiB", "1TiB")
      case "record-bytes", "append-events": (flags["frame-bytes"], flags["receive-bytes"], flags["send-bytes"]) = ("32MiB", "1TiB", "1TiB")
      case "event-loops": (flags["receive-bytes"], flags["send-bytes"]) = ("1TiB", "1TiB")
      case "make-key": flags["signing-key"] = "key"
      default: break
      }
      #expect(Self.refusal(flags) == nil, "--\(name) \(text)")
    }
    for text in bad {
      let said = try #require(Self.refusal([name: text]), "--\(name) \(text)")
      #expect(said.hasPrefix("--\(name): \"\(text)\" is not ") && said.hasSuffix("(setting \(name))"), "\(said)")
      let variable = try #require(Self.refusal(environment: [setting.environmentName: text]))
      #expect(variable.hasPrefix("\(setting.environmentName): "), "\(variable)")
    }
  }

  @Test("the defaults go together, names are unique, and a client can be told all of them")
  func defaults() throws {
    let settings = try Self.settings()
    #expect(settings.told.map(\.name) == Settings.all.map(\.name))
    #expect(Set(Settings.all.map(\.name)).count == Settings.all.count)
    #expect(settings.told.allSatisfy { $0.source == .builtIn && $0.origin == nil })
  }

  @Test("a flag wins over a variable, a variable over the file, the file over the default; each names where it stands")
  func precedence() throws {
    let file = "# limits\nconnections = 4 # four\n\nreads=5\n"
    var settings = try Self.settings(["connections": "6"], environment: ["HUBAUDIT_CONNECTIONS": "5", "HUBAUDIT_READS": "7"], file: file)
    #expect(settings.number("connections") == 6 && settings.origin("connections") == "--connections")
    #expect(settings.number("reads") == 7 && settings.origin("reads") == "HUBAUDIT_READS")
    settings = try Self.settings(file: file)
    #expect(settings.number("connections") == 4 && settings.origin("connections").hasSuffix(":2"))
    #expect(settings.number("reads") == 5 && settings.origin("reads").hasSuffix(":4"))
    #expect(settings.number("subscriptions") == 64 && settings.origin("subscriptions") == "default")
  }

  @Test("what is wrong in a file is named with its line")
  func files() throws {
    let cases = [
      ("origin = \"a\n", ":1: \"origin = \"a\" is not of the form name = value"),
      ("origin = \"a\" b\n", ":1: \"origin = \"a\" b\" is not of the form name = value"),
      (String(repeating: "#\n", count: 600_000), " has more than 1048576 bytes; is it the right one?"),
      ("connections\n", ":1: \"connections\" is not of the form name = value"),
      ("\n#\nconections = 3\n", ":3: there is no setting \"conections\"; did you mean connections?"),
      ("quite = different", ":1: there is no setting \"quite\"; `hubaudit config show` lists them"),
      ("reads = 1\nreads = 2\n", ":2: reads was set in line 1 already; keep one of the two"),
      ("\nreads = few\n", ":2: \"few\" is not a whole number from 0 to 10000 (setting reads)"),
    ]
    for (file, sentence) in cases {
      let said = try #require(Self.refusal(file: file), "\(file)")
      #expect(said.contains(sentence), "\(said)")
    }
    do {
      _ = try Settings(flags: [:], file: "/nowhere/hubaudit.conf", environment: [:])
      Issue.record("a file that is not there was read")
    } catch { #expect("\(error)".hasPrefix("cannot read the configuration file /nowhere/hubaudit.conf")) }
  }

  @Test(
    "a value that needs quotes is read back from the line that is printed for it",
    arguments: ["", "a#b", " a ", "plain", "a = b", "a\"b # c", "a\\b", "\"", "\\\" #"]
  )
  func lines(value: String) throws {
    for end in ["", "  # said \"so\"", "\r\nreads = 3\r\n"] {
      let settings = try Self.settings(file: SettingFile.line("origin", value) + end)
      #expect(settings.text("origin") == value, "\(end)")
    }
  }

  @Test("settings that do not go together are refused by name")
  func rules() throws {
    let cases: [([String: String], String)] = [
      (["record-bytes": "1048576"], "--record-bytes: record-bytes is 1048576, and may be 1044480 at most: 4096 less than frame-bytes"),
      (["append-events": "200000"], "--append-events: append-events is 200000, and may be 130560 at most"),
      (["receive-bytes": "2MiB"], "--receive-bytes: receive-bytes is 2MiB, and must be 4194304 at least: 4 frames for each event loop"),
      (["send-bytes": "8MiB", "event-loops": "4"], "--send-bytes: send-bytes is 8MiB, and must be 16777216 at least"),
      (["tls-cert": "a"], "--tls-cert: a certificate needs its private key; give --tls-key too"),
      (["tls-key": "a"], "--tls-key: a private key needs its certificate; give --tls-cert too"),
      (["client-ca": "a"], "--client-ca: clients show certificates over TLS only"),
      (["client-ca": "a", "tls-cert": "b", "tls-key": "c"], "--client-ca: without an access file"),
      (["witnesses": "a"], "--witnesses: witnesses cosign what the log has signed; give --signing-key too"),
      (["make-key": "true"], "--make-key goes with one key file (--signing-key), and 0 are named"),
      (["make-key": "true", "signing-key": "a, b"], "--make-key goes with one key file (--signing-key), and 2 are named"),
    ]
    for (flags, sentence) in cases {
      let said = try #require(Self.refusal(flags), "\(flags)")
      #expect(said.hasPrefix(sentence), "\(said)")
    }
  }

  @Test("sizes, times and lists are what people write")
  func amounts() throws {
    let sizes = ["65536", "64KiB", "64K", "64 KiB", "64k"]
    for text in sizes { #expect(try Self.settings(["tail-bytes": text]).number("tail-bytes") == 65536, "\(text)") }
    #expect(try Self.settings(["tail-bytes": "100kB"]).number("tail-bytes") == 100_000)
    let times: [(String, Duration)] = [
      ("500ms", .milliseconds(500)), ("2s", .seconds(2)), ("2", .seconds(2)), ("5m", .seconds(300)), ("1.5h", .seconds(5400)),
      ("1d", .seconds(86_400)),
    ]
    for (text, time) in times { #expect(try Self.settings(["scrub-pause": text]).duration("scrub-pause") == time, "\(text)") }
    #expect(try Self.settings(["http-hosts": " a.example ,, b "]).list("http-hosts") == ["a.example", "b"])
    #expect(try Self.settings(["http-hosts": ""]).list("http-hosts") == [])
  }

  @Test("what a running server lowers or reads again is told with its reason")
  func changes() throws {
    var settings = try Self.settings(["connections": "100"])
    settings.lower("connections", to: 20, since: "few files")
    settings.lower("reads", to: 3, since: "few threads")
    let told = Dictionary(uniqueKeysWithValues: settings.told.map { ($0.name, $0) })
    #expect(told["connections"]?.value == "20" && told["connections"]?.origin == "--connections; few files")
    #expect(told["reads"]?.value == "3" && told["reads"]?.origin == "few threads")
    settings.take("log-level", from: try Self.settings(["log-level": "debug"]))
    #expect(settings.text("log-level") == "debug" && settings.origin("log-level") == "--log-level")
  }

  @Test("help says the range and the default")
  func help() {
    let help = Dictionary(uniqueKeysWithValues: Settings.all.map { ($0.name, $0.fullHelp) })
    #expect(help["reads"] == "Maximum reads under way on one connection. 0 to 10000. Default: 16.")
    #expect(help["frame-bytes"] == "Maximum size of a frame. 512 KiB to 32 MiB. Default: 1048576.")
    #expect(help["log-format"] == "auto: JSON unless on a terminal. One of auto, json, text. Default: auto.")
    #expect(help["access"]?.contains("Default") == false)
  }
}
