import Foundation

/// A CA of openssl's in a directory of its own, which goes with this object.
final class TestCA: Sendable {
  struct Identity: Sendable {
    let certificate: String
    let key: String
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  let directory: String
  var certificate: String { "\(directory)/ca.pem" }

  init(name: String = "a CA of the tests") throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("hubaudit-ca-\(UUID())").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try openssl(["req", "-x509", "-days", "30", "-subj", "/CN=\(name)", "-keyout", "ca.key", "-out", "ca.pem"] + Self.newKey)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

  /// - Parameters:
  ///   - file: a name that was not used before.
  ///   - alternativeNames: as openssl writes them; empty: none.
  ///   - from: the first second, and
  ///   - until: the last one, in days from now.
  func issue(
    _ file: String, commonName: String = "test", alternativeNames: String = "DNS:localhost,IP:127.0.0.1", from: Double = -1,
    until: Double = 1
  ) throws -> Identity {
    try openssl(["req", "-subj", "/CN=\(commonName)", "-keyout", "\(file).key", "-out", "\(file).csr"] + Self.newKey)
    let names = alternativeNames.isEmpty ? "" : "subjectAltName = \(alternativeNames)\n"
    try write("\(file).cnf", "basicConstraints = CA:FALSE\n\(names)")
    // A database for each, since tests run at the same time.
    try write("\(file).index", "")
    try write(
      "\(file).ca",
      """
      [ca]
      default_ca = own
      [own]
      database = \(file).index
      new_certs_dir = .
      certificate = ca.pem
      private_key = ca.key
      default_md = sha256
      policy = any
      rand_serial = yes
      [any]
      commonName = optional
      """)
    try openssl([
      "ca", "-batch", "-config", "\(file).ca", "-notext", "-in", "\(file).csr", "-out", "\(file).pem", "-extfile", "\(file).cnf",
      "-startdate", Self.time(from), "-enddate", Self.time(until),
    ])
    return Identity(certificate: "\(directory)/\(file).pem", key: "\(directory)/\(file).key")
  }

  func write(_ file: String, _ text: String) throws { try text.write(toFile: "\(directory)/\(file)", atomically: true, encoding: .utf8) }

  private static func time(_ days: Double) -> String {
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(identifier: "UTC")
    format.dateFormat = "yyyyMMddHHmmss'Z'"
    return format.string(from: Date(timeIntervalSinceNow: days * 86_400))
  }

  private func openssl(_ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    let output = Pipe()
    (process.standardOutput, process.standardError) = (output, output)
    try process.run()
    let said = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure(description: "openssl \(arguments.joined(separator: " ")): \(String(decoding: said, as: UTF8.self))")
    }
  }
}
