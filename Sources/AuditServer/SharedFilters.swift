import AuditLog
import AuditSchema

/// The filters of one event loop's subscriptions and reads. Equal filters share one object, which examines each commit once for all
/// subscriptions. Confined to the loop.
package final class SharedFilters {
  /// One filter, shared by everybody who asked for the same.
  package final class Shared {
    package let matcher: RecordMatcher
    let memoryBytes: Int
    fileprivate var users = 0

    fileprivate init(_ matcher: RecordMatcher) {
      self.matcher = matcher
      memoryBytes = matcher.memoryBytes
    }
  }

  /// The matches of a filter in a commit.
  package struct Matches {
    /// A matching record: its position in the commit, and its byte range there, tag and length included.
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

  /// Maximum memory of matches that are kept, in bytes.
  private static let matchesLimit = 1 << 20

  private var filters: [RecordMatcher: Shared] = [:]
  private var matches: [Key: Matches] = [:]
  private var matchesBytes = 0
  private let limitBytes: Int
  /// Memory of all filters, in bytes.
  package private(set) var memoryBytes = 0
  /// How often a filter has examined a commit.
  package private(set) var evaluations: UInt64 = 0

  /// - Parameter limitBytes: maximum memory of all filters.
  package init(limitBytes: Int) { self.limitBytes = limitBytes }

  package var count: Int { filters.count }

  /// - Parameter rights: what its user may read; `nil`: everything.
  /// - Throws: `limitExceeded` if there is no room for another filter.
  package func acquire(_ filter: RecordFilter, _ rights: ReadRights? = nil) throws(RequestError) -> Shared {
    let matcher = RecordMatcher(filter, rights: rights)
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
    // A new object may get the same identity.
    if !matches.isEmpty { forgetMatches() }
  }

  /// The matches of a filter in a commit: determined once, kept until `forgetMatches`.
  ///
  /// - Parameter isNew: set to whether the commit was examined by this call.
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

  /// Frees all matches: no push is under way.
  package func forgetMatches() {
    guard !matches.isEmpty else { return }
    matches.removeAll(keepingCapacity: matches.count < 1024)
    matchesBytes = 0
  }
}
