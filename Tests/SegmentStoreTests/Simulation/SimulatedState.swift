/// Everything on a simulated disk, as a value: a copy of it is what a crash test goes on with.
struct SimulatedState {
  enum Entry: Equatable {
    case file(Int)
    case directory
  }

  struct Directory {
    private enum Change {
      case link(String, Entry)
      case unlink(String)
      case rename(String, String)
    }

    let path: String
    private(set) var current: [String: Entry] = [:]
    private var durable: [String: Entry] = [:]
    private var pending: [Change] = []

    init(path: String) { self.path = path }

    mutating func link(_ name: String, _ entry: Entry) { make(.link(name, entry)) }
    mutating func unlink(_ name: String) { make(.unlink(name)) }
    mutating func rename(_ name: String, to newName: String) { make(.rename(name, newName)) }

    private mutating func make(_ change: Change) {
      Self.apply(change, to: &current)
      // A rename in POSIX is atomic; it has a subject of its own, whether or not the name it takes has ever got to the disk.
      pending.append(change)
    }

    mutating func sync() {
      durable = current
      pending = []
    }

    private static func apply(_ change: Change, to names: inout [String: Entry]) {
      switch change {
      case .link(let name, let entry): names[name] = entry
      case .unlink(let name): names[name] = nil
      case .rename(let name, let newName):
        names[newName] = names[name]
        names[name] = nil
      }
    }

    /// The names that the disk may hold when the power fails now.
    func afterCrash(_ choices: inout CrashChoices) -> Directory {
      var names = durable
      // What each name stood for when the change was made, so that a rename can be kept though the making of its file was lost.
      var seen = durable
      for change in pending {
        if choices.isKept() {
          if case .rename(let name, let newName) = change {
            names[name] = nil
            names[newName] = seen[name]
          } else {
            Self.apply(change, to: &names)
          }
        }
        Self.apply(change, to: &seen)
      }
      var directory = Directory(path: path)
      directory.current = names
      directory.durable = names
      return directory
    }
  }

  var directories = [Directory(path: "/")]
  var files: [SimulatedFileContent] = []

  func directoryIndex(_ path: Substring) -> Int? { directories.firstIndex { $0.path == path } }

  /// One of the states in which the disk may be found when the power fails now.
  func afterCrash(_ choices: inout CrashChoices) -> SimulatedState {
    var state = SimulatedState()
    state.directories = []
    var names: [Int: Int] = [:]
    for directory in directories {
      // A directory is made after the one that holds it.
      guard directory.path == "/" || state.holds(directory.path) else { continue }
      var kept = directory.afterCrash(&choices)
      for (name, entry) in kept.current.sorted(by: { $0.key < $1.key }) {
        guard case .file(let id) = entry else { continue }
        if names[id] == nil {
          names[id] = state.files.count
          state.files.append(SimulatedFileContent(durable: files[id].afterCrash(&choices)))
        }
        kept.renumber(name, names[id]!)
      }
      state.directories.append(kept)
    }
    return state
  }

  private func holds(_ path: String) -> Bool {
    let (parent, name) = SimulatedDisk.split(path)
    return directoryIndex(parent).map { directories[$0].current[String(name)] == .directory } ?? false
  }
}

extension SimulatedState.Directory {
  fileprivate mutating func renumber(_ name: String, _ id: Int) {
    current[name] = .file(id)
    durable[name] = .file(id)
  }
}
