import ArgumentParser
import Foundation
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
    guard TerminalText.escaped(name) == name else {
      throw CommandFailure(
        .usage,
        "\(TerminalText.escaped(name)) has characters that cannot be printed; whoever checks the log has to be able to read its name")
    }
    let key: SignerKey
    do throws(EvidenceError) {
      key = try SignerKey.generate(name: name, kind: witness ? .cosignature : .ed25519)
    } catch {
      throw CommandFailure(.usage, "\(error)")
    }
    let descriptor = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      let hint = errno == EEXIST ? "; a key is never overwritten: name another file" : ""
      throw CommandFailure(.failure, "cannot make \(out): \(String(cString: strerror(errno)))\(hint)")
    }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    do {
      try file.write(contentsOf: Data((key.encoded + "\n").utf8))
      try file.synchronize()
    } catch {
      unlink(out)
      throw CommandFailure(.failure, "cannot write \(out): \(error.localizedDescription)")
    }
    print(key.verifier)
  }
}

/// Private keys in files.
enum KeyFile {
  /// - Throws: `CommandFailure` when the file is not a key, or others than its owner may read it.
  static func read(_ path: String) throws -> SignerKey {
    // Looked at by its descriptor: what is judged is what is read.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    var found = stat()
    guard descriptor >= 0, fstat(descriptor, &found) == 0 else {
      throw CommandFailure(.usage, "cannot read the key file \(path): \(String(cString: strerror(errno))); make one with `hubaudit keygen`")
    }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    // Root may read every file, which makes none its own.
    guard found.st_uid == geteuid() || found.st_uid == 0 else {
      throw CommandFailure(
        .usage,
        "the key file \(path) belongs to user \(found.st_uid), who can read and replace it; run chown \(geteuid()) \(path)")
    }
    guard found.st_mode & 0o077 == 0 else {
      throw CommandFailure(.usage, "the key file \(path) can be read by others than its owner; run chmod 600 \(path)")
    }
    guard found.st_mode & S_IFMT == S_IFREG, found.st_size < 4096, let content = try? file.read(upToCount: 4096),
      let text = String(data: content, encoding: .utf8)
    else {
      throw CommandFailure(.usage, "the key file \(path) cannot be read, or holds no key")
    }
    do throws(EvidenceError) { return try SignerKey(encoded: text.trimmingCharacters(in: .newlines)) } catch {
      throw CommandFailure(.usage, "\(path): \(error)")
    }
  }
}
