import AuditLog
import AuditSchema
import Synchronization

/// A store in memory, for tests of what is around a store. It can be made full, made to fail, and opened again.
final class MemoryStore: RecordStore {
  private struct Kept {
    var bytes: [UInt8]
    var receivedAt: UInt64
  }

  private struct Contents {
    var records: [Kept] = []
    var isClosed = false
    var failure: StoreError?
    /// Commits to refuse before one is stored again.
    var refusals = 0
  }

  let start: LogStart
  private let contents: Mutex<Contents>

  init(logID: [UInt8] = Array(1...16)) {
    start = LogStart(logID: logID, firstSequence: 0, nextSequence: 0, lastReceivedAt: 0, state: [], stateSequence: 0)
    contents = Mutex(Contents())
  }

  /// What another one held when it was closed, as after a restart.
  init(reopening other: MemoryStore) {
    let records = other.contents.withLock { $0.records }
    start = LogStart(
      logID: other.start.logID, firstSequence: 0, nextSequence: UInt64(records.count), lastReceivedAt: records.last?.receivedAt ?? 0,
      state: [], stateSequence: 0)
    contents = Mutex(Contents(records: records))
  }

  var nextSequence: UInt64 { contents.withLock { UInt64($0.records.count) } }

  /// The next `commits` commits find no room.
  func refuse(commits: Int) { contents.withLock { $0.refusals = commits } }

  /// Every commit from now on fails for good.
  func fail() { contents.withLock { $0.failure = StoreError(.failed, "the disk did not take the last commit; restart the server") } }

  func append(_ commit: borrowing Commit, state: () -> [UInt8]) throws(StoreError) {
    var added: [Kept] = []
    let receivedAt = commit.receivedAt
    let bytes = commit.bytes
    RecordBatchBytes(bytes).forEachRange { _, range in
      added.append(Kept(bytes: Array(bytes[range]), receivedAt: receivedAt))
    }
    let first = commit.firstSequence
    let outcome = contents.withLock { contents -> StoreError? in
      if contents.isClosed { return StoreError(.closed, "the store is closed") }
      if let failure = contents.failure { return failure }
      if contents.refusals > 0 {
        contents.refusals -= 1
        return StoreError(.full, "the disk is full; make room")
      }
      precondition(first == UInt64(contents.records.count), "a commit does not follow the last one")
      contents.records += added
      return nil
    }
    if let outcome { throw outcome }
  }

  func read(from position: ReadPosition, before end: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) -> ReadResult {
    let result = contents.withLock { contents -> Result<ReadResult, StoreError> in
      if contents.isClosed { return .failure(StoreError(.closed, "the store is closed")) }
      let last = min(end, UInt64(contents.records.count))
      guard position.sequence < last else { return .success(.end) }
      var sequence = position.sequence
      var used = 0
      while sequence < last {
        let bytes = contents.records[Int(sequence)].bytes
        guard used + bytes.count <= buffer.count else { break }
        UnsafeMutableRawBufferPointer(rebasing: buffer[used...]).copyBytes(from: bytes)
        used += bytes.count
        sequence += 1
      }
      guard sequence > position.sequence else {
        return .success(.bufferTooSmall(neededBytes: contents.records[Int(position.sequence)].bytes.count))
      }
      return .success(.records(range: 0..<used, count: Int(sequence - position.sequence), next: ReadPosition(sequence: sequence)))
    }
    return try result.get()
  }

  func received(in times: Range<UInt64>) throws(StoreError) -> [Range<UInt64>] {
    contents.withLock { contents in
      var found: [Range<UInt64>] = []
      for (index, record) in contents.records.enumerated() where times.contains(record.receivedAt) {
        let sequence = UInt64(index)
        if found.last?.upperBound == sequence {
          found[found.count - 1] = found[found.count - 1].lowerBound..<sequence + 1
        } else {
          found.append(sequence..<sequence + 1)
        }
      }
      return found
    }
  }

  var status: StoreStatus {
    contents.withLock { contents in
      var status = StoreStatus()
      status.bytes = UInt64(contents.records.reduce(0) { $0 + $1.bytes.count })
      status.segments = 1
      status.appendFailure = contents.failure
      return status
    }
  }

  func close() throws(StoreError) { contents.withLock { $0.isClosed = true } }

  /// Every record, for the check at the end.
  func allRecords() throws -> [Record] {
    try contents.withLock { $0.records.map(\.bytes) }.flatMap { bytes in try bytes.withUnsafeBytes { try Record.records(inBatch: $0) } }
  }
}
