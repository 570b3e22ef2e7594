import ArgumentParser
import AuditClient
import Foundation
import MerkleTree

/// `hubaudit erase`: erase what must not be kept.
struct EraseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "erase",
    abstract: "Erase a record's body from the server's disk, for good. Its header stays, and with it every proof.",
    discussion: """
      The order is signed with the log's own key; without it nothing is erased. The server appends a record that says who, when and why, \
      overwrites the body, and answers when both are on disk. Torn ends that a start had cut before that (torn/) may hold the same event and are \
      overwritten too. Backups, exports and what subscribers have received are not reached.
      """)

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "The record's sequence.") var sequence: UInt64
  @Option(help: "Why; it is recorded.") var reason: String
  @Option(help: "Who asks for it; it is recorded. Default: user@host.") var by: String?
  @Option(help: "File of the log's key (hubaudit keygen).", completion: .file()) var signingKey: String
  @Flag(help: "The key file's group may read it, too.") var keyGroupReadable = false

  func run() async throws {
    let key = try KeyFile.read(signingKey, isGroupReadable: keyGroupReadable)
    guard key.verifier.kind == .ed25519 else {
      throw CommandFailure(.usage, "\(signingKey) is a witness' key; the order is signed with the log's own")
    }
    guard !reason.isEmpty else { throw CommandFailure(.usage, "--reason is empty; say why, it is recorded") }
    let client = try await connection.connect()
    let who = by ?? "\(NSUserName())@\(ProcessInfo.processInfo.hostName)"
    let recorded = try await ConnectionOptions.reporting {
      try await client.erase(sequence, by: who, reason: reason, key: key)
    }
    await client.close()
    print(recorded)
  }
}
