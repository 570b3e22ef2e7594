import Foundation
import MerkleTree

/// Private keys in files.
enum KeyFile {
  /// A new key.
  ///
  /// - Throws: `CommandFailure` for a name that no key can have, or that nobody could read.
  static func generate(name: String, kind: SignatureKind) throws -> SignerKey {
    guard TerminalText.escaped(name) == name else {
      throw CommandFailure(
        .usage,
        "\(TerminalText.escaped(name)) has characters that cannot be printed; whoever checks the log has to be able to read its name")
    }
    do throws(EvidenceError) { return try SignerKey.generate(name: name, kind: kind) } catch { throw CommandFailure(.usage, "\(error)") }
  }

  /// Writes a key to a new file that its owner alone may read. The file is there whole or not at all, and none is ever overwritten.
  ///
  /// - Throws: `CommandFailure` when a file of that name is there, or none can be made.
  static func make(_ key: SignerKey, _ path: String) throws {
    let directory = (path as NSString).deletingLastPathComponent
    let name = (path as NSString).lastPathComponent
    let temporary = (directory as NSString).appendingPathComponent(".\(name).\(getpid()).new")
    // Left from a process of this number that was killed, as the first process of every container has the same.
    unlink(temporary)
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw cannotMake(path, errno) }
    defer { unlink(temporary) }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    do {
      try file.write(contentsOf: Data((key.encoded + "\n").utf8))
      try file.synchronize()
    } catch {
      throw CommandFailure(.failure, "cannot write \(path): \(error.localizedDescription)")
    }
    // Unlike a rename, a link takes the place of nothing.
    guard link(temporary, path) == 0 else { throw cannotMake(path, errno) }
    try sync(directory: directory.isEmpty ? "." : directory, path)
  }

  /// So that the name survives a power cut as the content does.
  private static func sync(directory: String, _ path: String) throws {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    // One that may be written to and not read is somebody else's to sync.
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw CommandFailure(.failure, "cannot write \(path): \(String(cString: strerror(errno)))") }
  }

  private static func cannotMake(_ path: String, _ number: Int32) -> CommandFailure {
    let hint =
      switch number {
      case EEXIST: "; a key is never overwritten: name another file"
      case ENOENT, ENOTDIR: "; make its directory first, for its owner alone (mkdir -m 700)"
      default: ""
      }
    return CommandFailure(.failure, "cannot make \(path): \(String(cString: strerror(number)))\(hint)")
  }

  /// - Parameter isGroupReadable: the file's group may read it too, as Kubernetes and systemd hand secrets out.
  /// - Throws: `CommandFailure` when the file is not a key, or others may read it than are allowed to.
  static func read(_ path: String, isGroupReadable: Bool) throws -> SignerKey {
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
    let mode = found.st_mode & 0o777
    guard mode & (isGroupReadable ? 0o037 : 0o077) == 0 else {
      // Only reading is let pass for the group.
      let advice =
        if isGroupReadable {
          "run chmod 440 \(path)"
        } else if mode & 0o037 == 0 {
          "run chmod 600 \(path), or say --key-group-readable where the group is meant to (a Kubernetes secret, LoadCredential)"
        } else {
          "run chmod 600 \(path)"
        }
      throw CommandFailure(
        .usage,
        "the key file \(path) can be read or written by others than its owner\(isGroupReadable ? " and readers of its group" : "") "
          + "(mode \(String(mode, radix: 8))); \(advice)")
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
