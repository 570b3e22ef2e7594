import Glibc
import Synchronization

/// Files that are read again when they change.
final class WatchedFiles: Sendable {
  /// How often files are looked at.
  static let interval = Duration.seconds(10)

  /// A change of any of these is a change of the file.
  private struct FileState: Equatable {
    var inode: UInt64
    var size: Int64
    var changed: [Int]

    init?(_ path: String) {
      var found = stat()
      guard stat(path, &found) == 0 else { return nil }
      inode = UInt64(found.st_ino)
      size = Int64(found.st_size)
      changed = [found.st_mtim.tv_sec, found.st_mtim.tv_nsec, found.st_ctim.tv_sec, found.st_ctim.tv_nsec]
    }
  }

  private let watched: Mutex<[String]>
  /// What the files looked like when they were read last.
  private let seen: Mutex<[String: FileState]>

  init(_ paths: [String]) {
    watched = Mutex(paths)
    seen = Mutex(Self.states(paths))
  }

  /// A file that is new here counts as changed.
  var paths: [String] {
    get { watched.withLock { $0 } }
    set { watched.withLock { $0 = newValue } }
  }

  var isEmpty: Bool { paths.isEmpty }

  private static func states(_ paths: [String]) -> [String: FileState] {
    var states: [String: FileState] = [:]
    for path in paths { states[path] = FileState(path) }
    return states
  }

  /// Reads the files, and remembers what they looked like before: what is written meanwhile is a change.
  func reading(_ read: () async -> Void) async {
    let states = Self.states(paths)
    await read()
    seen.withLock { $0 = states }
  }

  /// Looks at the files every 10 s until the task is cancelled, and calls `changed` when one looks different.
  func watch(_ changed: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
    Task { [self] in
      while !isEmpty, (try? await Task.sleep(for: Self.interval)) != nil {
        let now = Self.states(paths)
        if seen.withLock({ $0 != now }) { await changed() }
      }
    }
  }
}
