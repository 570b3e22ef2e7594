import AccessControl
import ArgumentParser
import Foundation
import MerkleTree

/// `hubaudit token new`: a secret for an identity of the access file.
struct TokenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token", abstract: "Make tokens for the access file.", subcommands: [New.self])

  struct New: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "new", abstract: "Make a token: print it once, with its line for the access file.",
      discussion: """
        Without --out, the first line of the output is the token, which goes to the client (HUBAUDIT_TOKEN or --token-file), and the second one the \
        line for the access file, which has only its SHA-256. To exchange a token, make another one with the same --id and keep both lines until \
        every client has the new one.
        """)

    @Option(help: "The identity of the access file.") var identity: String
    @Option(help: "Names the token in the log: 1 to 32 letters a-z and digits. Default: made up.") var id: String?
    @Option(help: "When it expires: a date such as 2027-01-01, or a time of RFC 3339.") var until: String?
    @Option(name: .shortAndLong, help: "File for the token; must not exist. Only the line is printed then.", completion: .file())
    var out: String?

    func run() throws {
      let id = id ?? "t" + String(UInt32.random(in: 0 ... .max), radix: 36)
      guard AccessToken.isID(id) else { throw CommandFailure(.usage, "--id: \"\(id)\" is not 1 to 32 letters a-z and digits") }
      let token = AccessToken(id: id)
      let line =
        "identity \(identity) token \(id) sha256:\(Hex.encode(token.sha256))" + (until.map { " until \($0)" } ?? "")
      // The file's own rules judge what was given.
      do { _ = try AccessTable(line) } catch { throw CommandFailure(.usage, error.sentence) }
      if let out {
        try PrivateFile.make(out, token.text + "\n")
      } else {
        print(token.text)
      }
      print(line)
    }
  }
}

/// New files that only their owner may read.
enum PrivateFile {
  /// Writes a file and syncs it.
  ///
  /// - Throws: `CommandFailure` if it exists, or cannot be written.
  static func make(_ path: String, _ text: String, mode: mode_t = 0o600) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else {
      let hint = errno == EEXIST ? "; it is not overwritten" : ""
      throw CommandFailure(.failure, "\(path): \(String(cString: strerror(errno)))\(hint)")
    }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
      throw CommandFailure(.failure, "\(path): \(String(cString: strerror(errno)))")
    }
  }
}
