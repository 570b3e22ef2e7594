import AuditLog
import AuditSchema

/// The filters of one event loop's subscriptions and reads. Equal ones are one object, and look at a commit once for all subscriptions.
/// Used on the loop only.
package final class SharedFilters {
  /// One filter, for all that asked for the same.
  package final class Shared {
    package let matcher: RecordMatcher
    let memoryBytes: Int
    fileprivate var users = 0

    fileprivate init(_ matcher: RecordMatcher) {
      self.matcher = matcher
      memoryBytes = matcher.memoryBytes
    }
  }

  /// What a filter wants of a commit.
  package struct Matches {
    /// A record that is wanted: its position in the commit, and its bytes there with tag and length.
    package struct Record {
      package let index: UInt32
      package let start: UInt32
      package let end: UInt32
    }

    package fileprivate(set) var records: [Record] = []
    /// The positions of erased records that may have matched.
    package fileprivate(set) var erased: [UInt32] = []
  }

  private struct Key: Hashable {
    let filter: ObjectIdentifier
    let firstSequence: UInt64
  }

  /// What found matches may take until they are forgotten.
  private static let matchesLimit = 1 << 20

  private var filters: [RecordMatcher: Shared] = [:]
  private var matches: [Key: Matches] = [:]
  private var matchesBytes = 0
  private let limitBytes: Int
  /// Memory of all filters.
  package private(set) var memoryBytes = 0
  /// How often a commit was looked at with a filter.
  package private(set) var evaluations: UInt64 = 0

  /// - Parameter limitBytes: memory that the filters may take.
  package init(limitBytes: Int) { self.limitBytes = limitBytes }

  package var count: Int { filters.count }

  /// - Throws: `limitExceeded` when there is no room for one more.
  package func acquire(_ filter: RecordFilter) throws(RequestError) -> Shared {
    let matcher = RecordMatcher(filter)
    let shared = filters[matcher] ?? Shared(matcher)
    if shared.users == 0 {
      guard memoryBytes + shared.memoryBytes <= limitBytes else {
        throw RequestError(
          .limitExceeded,
          "the filters of all connections take \(memoryBytes) bytes of memory, and this one would take \(shared.memoryBytes) more, which is "
            + "over the server's limit (all_filter_bytes); ask for less, or try later")
      }
      memoryBytes += shared.memoryBytes
      filters[matcher] = shared
    }
    shared.users += 1
    return shared
  }

  package func release(_ shared: Shared) {
    shared.users -= 1
    guard shared.users == 0 else { return }
    memoryBytes -= shared.memoryBytes
    filters[shared.matcher] = nil
    // Its identity may be another's soon.
    if !matches.isEmpty { forgetMatches() }
  }

  /// What the filter wants of the commit: looked for once, until `forgetMatches`.
  ///
  /// - Parameter isNew: whether the commit was looked at now.
  package func matches(_ shared: Shared, in commit: CommitBytes, isNew: inout Bool) -> Matches {
    let key = Key(filter: ObjectIdentifier(shared), firstSequence: commit.firstSequence)
    if let found = matches[key] {
      isNew = false
      return found
    }
    isNew = true
    evaluations += 1
    var found = Matches()
    var index: UInt32 = 0
    let matcher = shared.matcher
    RecordBatchBytes(commit.bytes).forEachRange { record, range in
      switch matcher.match(record) {
      case .yes: found.records.append(.init(index: index, start: UInt32(range.lowerBound), end: UInt32(range.upperBound)))
      case .erased: found.erased.append(index)
      case .no: break
      }
      index += 1
    }
    matchesBytes += 128 + 12 * found.records.count + 4 * found.erased.count
    if matchesBytes > Self.matchesLimit {
      forgetMatches()
    } else {
      matches[key] = found
    }
    return found
  }

  /// Nobody is to be pushed a commit at the moment.
  package func forgetMatches() {
    guard !matches.isEmpty else { return }
    matches.removeAll(keepingCapacity: matches.count < 1024)
    matchesBytes = 0
  }
}
