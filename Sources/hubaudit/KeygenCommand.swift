import ArgumentParser
import Foundation
import MerkleTree

/// `hubaudit keygen`: a key that signs checkpoints, or a witness' key.
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

  @Option(name: .shortAndLong, help: "File for the private key; must not exist.")
  var out: String

  @Flag(help: "A key for a witness, which cosigns checkpoints of other logs.")
  var witness = false

  func run() throws {
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
    var found = stat()
    guard stat(path, &found) == 0 else {
      throw CommandFailure(.usage, "cannot read the key file \(path): \(String(cString: strerror(errno))); make one with `hubaudit keygen`")
    }
    guard found.st_mode & 0o077 == 0 else {
      throw CommandFailure(.usage, "the key file \(path) can be read by others than its owner; run chmod 600 \(path)")
    }
    guard found.st_size < 4096, let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw CommandFailure(.usage, "the key file \(path) cannot be read, or holds no key")
    }
    do throws(EvidenceError) { return try SignerKey(encoded: text.trimmingCharacters(in: .newlines)) } catch {
      throw CommandFailure(.usage, "\(path): \(error)")
    }
  }
}
