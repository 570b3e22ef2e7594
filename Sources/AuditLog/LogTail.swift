import MerkleTree
import Synchronization

/// The newest commits in memory, for subscribers at the tail. Everybody else reads the store.
package final class LogTail: Sendable {
  private struct State {
    var commits: [CommitBytes] = []
    var bytes = 0
  }

  private let state = Mutex(State())
  private let limitBytes: Int

  init(limitBytes: Int) { self.limitBytes = limitBytes }

  func append(_ commit: CommitBytes) {
    state.withLock { state in
      state.commits.append(commit)
      state.bytes += commit.byteCount
      var dropped = 0
      while state.bytes > limitBytes, dropped < state.commits.count - 1 {
        state.bytes -= state.commits[dropped].byteCount
        dropped += 1
      }
      if dropped > 0 { state.commits.removeFirst(dropped) }
    }
  }

  /// Drops every commit up to the one that holds `sequence`; these are then read from the store.
  func forget(through sequence: UInt64) {
    state.withLock { state in
      let dropped = state.commits.prefix { $0.firstSequence <= sequence }
      state.bytes -= dropped.reduce(0) { $0 + $1.byteCount }
      state.commits.removeFirst(dropped.count)
    }
  }

  /// The leaf hash of a record; `nil` if it is not in memory.
  package func leafHash(of sequence: UInt64) -> TreeHash? {
    commits(from: sequence, maxBytes: 0).first?.leafHash(of: sequence)
  }

  /// The commit that holds `sequence` and the following ones, up to about `maxBytes`; empty if it is not in memory.
  package func commits(from sequence: UInt64, maxBytes: Int) -> [CommitBytes] {
    state.withLock { state in
      guard let first = state.commits.first, sequence >= first.firstSequence else { return [] }
      var low = 0
      var high = state.commits.count
      while low < high {
        let middle = (low + high) / 2
        if state.commits[middle].nextSequence <= sequence { low = middle + 1 } else { high = middle }
      }
      var found: [CommitBytes] = []
      var bytes = 0
      while low < state.commits.count, found.isEmpty || bytes + state.commits[low].byteCount <= maxBytes {
        found.append(state.commits[low])
        bytes += state.commits[low].byteCount
        low += 1
      }
      return found
    }
  }
}
