import ArgumentParser
import MerkleTree

/// `hubaudit keygen`: makes a key for a log or a witness.
struct KeygenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "keygen",
    abstract: "Make a key pair for signing checkpoints.",
    discussion: """
      Writes the private key to FILE, readable by its owner alone, and prints the verifier key, which goes to everybody who is to check \
      the log. The name of a log's key is the log's origin: a host name with a path such as audit.example.com/hubs, without spaces or \
      plus signs. Ed25519, in the form of C2SP signed-note.
      """)

  @Argument(help: "The key's name: the log's origin, or the witness' name.")
  var name: String

  @Option(name: .shortAndLong, help: "File for the private key; must not exist.", completion: .file())
  var out: String

  @Flag(help: "A key for a witness, which cosigns checkpoints of other logs.")
  var witness = false

  func run() throws {
    let key = try KeyFile.generate(name: name, kind: witness ? .cosignature : .ed25519)
    try KeyFile.make(key, out)
    print(key.verifier)
  }
}
