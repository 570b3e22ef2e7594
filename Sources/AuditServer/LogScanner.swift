import AuditLog
import AuditSchema
import MerkleTree
import NIOCore

/// Reads the log for one read or one subscription, on a reader thread, in bounded steps.
///
/// `@unchecked Sendable`: its owner runs one job at a time.
package final class LogScanner: @unchecked Sendable {
  /// Maximum bytes that one step examines, when few records match.
  static let scanBytes = 4 << 20
  private static let windowRecords: UInt64 = 512
  /// Bytes that one question to the search index counts as: about what looking into one segment's index costs.
  private static let questionBytes = 512 << 10
  /// Maximum bytes of a frame around its batch.
  private static let frameOverheadBytes = 64

  package struct Step: Sendable {
    /// The payload of a `RecordBatch`; may be empty.
    package var batch: ByteBuffer
    package var records: UInt64
    /// The position after the last record examined; backwards, the position of the last record examined.
    package var next: UInt64
    /// There is nothing more up to the given end.
    package var isAtEnd: Bool
    /// The leaf hash of record `next - 1`, forwards only: of a filtered step and of the last step, where the client does not have that record.
    package var leafHash: TreeHash?

    /// Whether record `next - 1` is the batch's last, so that the client has it.
    package var endsWithBatch = true

    /// The leaf hash to send with the batch.
    package var untoldLeafHash: [UInt8]? { endsWithBatch ? nil : leafHash?.bytes }
    /// Erased records that were skipped: nobody can tell any more whether they matched the filter.
    package var erasedSkipped: UInt64 = 0
  }

  let store: any RecordStore
  private let memory: ScanMemory
  /// `nil` matches every record.
  private let matcher: RecordMatcher?
  private var terms: SearchTerms? { matcher?.terms }
  private let frameBytes: Int
  let onlyRights: ReadRights?
  var position = ReadPosition(sequence: 0)
  /// Forwards: the range that the search index did not rule out.
  private var candidates = CandidateStretch(start: ReadPosition(sequence: 0), end: 0)
  /// Counts for the step under way.
  private var scratch: UnsafeMutableRawBufferPointer?
  /// Backwards: how many records are examined together; fewer if they are large.
  private var window: UInt64 = LogScanner.windowRecords
  /// Nothing before this sequence matches.
  private var floor: UInt64 = 0
  /// With a filter by time: the records that were received in that time, and the log's end when that was determined. Later records may match too.
  private var times: (ranges: [Range<UInt64>], end: UInt64)?
  let allocator = ByteBufferAllocator()

  /// - Parameters:
  ///   - filter: an empty one matches every record.
  ///   - limits: those of the welcome.
  package convenience init(store: any RecordStore, filter: RecordFilter, limits: WireLimits, memory: ScanMemory) {
    self.init(store: store, matcher: filter.isEmpty ? nil : RecordMatcher(filter), limits: limits, memory: memory)
  }

  /// - Parameters:
  ///   - matcher: `nil` matches every record.
  ///   - limits: those of the welcome.
  package init(store: any RecordStore, matcher: RecordMatcher?, limits: WireLimits, memory: ScanMemory) {
    self.store = store
    self.matcher = matcher
    onlyRights = matcher?.onlyRights
    self.memory = memory
    frameBytes = Int(limits.frameBytes)
  }

  /// The sequence at which a request starts.
  ///
  /// - Throws: `historyDiffers` when the log is not the one that the client knows, `invalidRequest` for a position beyond the end of the log,
  ///   what the store says about a damaged index.
  package func resolve(_ start: Start, history: LogHistory? = nil, backwards: Bool = false) throws -> UInt64 {
    if let history { try compare(history) }
    let first = store.start.firstSequence
    if matcher?.since != nil || matcher?.until != nil {
      let end = store.nextSequence
      let (since, until) = (matcher?.since ?? 0, matcher?.until ?? .max)
      let ranges = since < until ? try store.received(in: since..<until) : []
      times = (ranges, end)
      // Earlier records cannot match.
      floor = ranges.first?.lowerBound ?? end
    }
    var sequence: UInt64
    switch start {
    case .earliest: sequence = first
    case .latest: sequence = store.nextSequence
    case .sequence(let wanted): sequence = wanted
    case .after(let last): sequence = last == .max ? last : last + 1
    case .time(let time):
      sequence =
        backwards
        ? try store.received(in: 0..<time).last?.upperBound ?? first : try store.sequence(receivedAtOrAfter: time)
    }
    // Determined last: the log may have grown during the look-up by time.
    let end = store.nextSequence
    guard sequence <= end else {
      throw RequestError(
        .invalidRequest,
        "sequence \(sequence) is beyond the end of the log, which is \(end); if it was read before, this is another log or an older copy")
    }
    return max(sequence, backwards ? first : max(first, floor))
  }

  /// - Throws: `historyDiffers`, which says what differs from what the client knows.
  private func compare(_ history: LogHistory) throws {
    let own = store.start.logID
    guard history.logID == own else {
      throw RequestError(
        .historyDiffers,
        "this is log \(Hex.encode(own)), and the position is one of log \(Hex.encode(history.logID)); connect to the server of that log, or begin anew",
        differsFrom: 0)
    }
    let end = store.nextSequence
    guard history.size <= end else {
      throw RequestError(
        .historyDiffers,
        "the log has \(end) records, and \(history.size) are known of it: an older copy was put in its place, or records were removed; check what "
          + "was restored", differsFrom: end)
    }
    guard let known = history.leafHash, history.size > 0 else { return }
    let leafHash = try leafHash(before: history.size)
    guard leafHash?.bytes == known else {
      let sequence = history.size - 1
      throw RequestError(
        .historyDiffers,
        "record \(sequence) is not the one that is known (its leaf hash is \(leafHash.map { Hex.encode($0.bytes) } ?? "unknown"), not \(Hex.encode(known))): an "
          + "older copy of the log was put in its place and went on differently; records before it may differ too; check what was restored",
        differsFrom: sequence)
    }
  }

  /// The leaf hash of the record before a position; `nil` at the log's beginning. Reads and checks the record.
  package func leafHash(before next: UInt64) throws -> TreeHash? {
    guard next > store.start.firstSequence else { return nil }
    let reader = RecordReader(store: store, from: next - 1, bufferBytes: 4096)
    var found: TreeHash?
    try reader.next(before: next)?.forEachRecord { found = TreeHash(leafOfRecord: $0) }
    return found
  }

  /// The same for a position that is sent to a client; `nil` also if the record is damaged. Whoever reads that record gets the error.
  func told(before next: UInt64) -> TreeHash? { try? leafHash(before: next) }

  /// The position before which a read ends: where the filter's time ends, or the log's end now.
  package func end() throws -> UInt64 {
    guard matcher?.until != nil, let times else { return store.nextSequence }
    return times.ranges.last?.upperBound ?? store.start.firstSequence
  }

  /// The first range of records at or after `sequence` that the filter's time does not rule out.
  private func timely(from sequence: UInt64) -> Range<UInt64> {
    guard let times else { return sequence..<UInt64.max }
    return times.ranges.first { $0.upperBound > sequence } ?? max(sequence, times.end)..<UInt64.max
  }

  /// The last such range before `sequence`; `nil` if there is none.
  private func timely(before sequence: UInt64) -> Range<UInt64>? {
    guard let times else { return 0..<sequence }
    if sequence > times.end { return times.end..<sequence }
    return times.ranges.last { $0.lowerBound < sequence }
  }

  /// Forwards from `sequence`: whole records up to `end`, `maxBytes` (one record may take more) and `maxRecords`.
  ///
  /// - Throws: `limitExceeded` for a record that does not fit into a frame, what the store says of damage.
  package func forwards(from sequence: UInt64, before end: UInt64, maxBytes: Int, maxRecords: UInt64) throws -> Step {
    defer { giveBackScratch() }
    return try checked(scanForwards(from: sequence, before: end, maxBytes: maxBytes, maxRecords: maxRecords))
  }

  /// Backwards: records before `sequence`, the newest first, down to the first of the log or of the filter's time.
  package func backwards(from sequence: UInt64, maxBytes: Int, maxRecords: UInt64) throws -> Step {
    defer { giveBackScratch() }
    return try checked(scanBackwards(from: sequence, maxBytes: maxBytes, maxRecords: maxRecords))
  }

  private func giveBackScratch() {
    if let scratch { memory.giveBack(scratch) }
    scratch = nil
  }

  /// A record that was stored under a larger limit may not fit into a frame of today's limit.
  private func checked(_ step: Step) throws -> Step {
    guard step.batch.readableBytes > frameBytes - Self.frameOverheadBytes else { return step }
    var (sequence, size) = (step.next, 0)
    step.batch.withUnsafeReadableBytes { bytes in
      RecordBatchBytes(bytes).forEachRange { record, range in
        guard range.count > size else { return }
        (sequence, size) = (RecordBytes(record)?.sequence ?? step.next, range.count)
      }
    }
    throw RequestError(
      .limitExceeded,
      "record \(sequence) takes \(size) bytes and does not fit into a frame of \(frameBytes) bytes (frame_bytes); "
        + "raise the limit to read it, or go on after it")
  }

  private func scanForwards(from sequence: UInt64, before end: UInt64, maxBytes: Int, maxRecords: UInt64) throws -> Step {
    if position.sequence != sequence { position = ReadPosition(sequence: sequence) }
    if maxRecords == .max, matcher == nil || onlyRights != nil { return try copy(before: end, maxBytes: maxBytes) }
    var leafHash: (of: UInt64, hash: TreeHash)?
    var lastWanted: UInt64?
    var step = Step(batch: ByteBuffer(), records: 0, next: sequence, isAtEnd: false)
    var looked = 0
    while looked < Self.scanBytes, step.batch.readableBytes < maxBytes, step.records < maxRecords {
      let timely = timely(from: step.next)
      if timely.lowerBound > step.next {
        step.next = max(step.next, min(timely.lowerBound, end))
        position = ReadPosition(sequence: step.next)
      }
      let limit = min(end, timely.upperBound)
      if let terms, step.next < limit, step.next >= candidates.end {
        candidates = try store.candidates(in: step.next..<limit, for: terms, backwards: false)
        looked += Self.questionBytes
        step.next = candidates.start.sequence
        if position.sequence != step.next { position = candidates.start }
        if candidates.isEmpty { continue }
      }
      let filled: (RecordBatchBytes, ReadPosition)?
      do { filled = try fill(before: terms == nil ? limit : min(limit, candidates.end), bytes: candidates.bytes) } catch {
        // The records before it are sent first; the next step starts with this one.
        guard step.next > sequence else { throw error }
        break
      }
      guard let (found, after) = filled else {
        step.isAtEnd = true
        break
      }
      looked += found.bytes.count
      var stopped = false
      var last: UnsafeRawBufferPointer?
      // Records that stand side by side are copied together.
      var run = 0..<0
      found.forEachRange { record, range in
        guard !stopped else { return }
        if step.records >= maxRecords {
          stopped = true
          return
        }
        let match = matcher?.match(record) ?? .yes
        if match == .yes {
          // A batch with records must stay within its bound, or its frame would exceed the limit.
          if step.records > 0, step.batch.readableBytes + run.count + range.count > maxBytes {
            stopped = true
            return
          }
          if range.lowerBound == run.upperBound {
            run = run.lowerBound..<range.upperBound
          } else {
            step.batch.writeBytes(UnsafeRawBufferPointer(rebasing: found.bytes[run]))
            run = range
          }
          step.records += 1
          lastWanted = step.next
        }
        if match == .erased { step.erasedSkipped += 1 }
        step.next += 1
        last = record
      }
      step.batch.writeBytes(UnsafeRawBufferPointer(rebasing: found.bytes[run]))
      if let last { leafHash = (step.next - 1, TreeHash(leafOfRecord: last)) }
      position = stopped ? ReadPosition(sequence: step.next) : after
      if stopped { break }
    }
    step.endsWithBatch = lastWanted.map { $0 + 1 == step.next } ?? false
    step.leafHash = leafHash.flatMap { $0.of + 1 == step.next ? $0.hash : nil } ?? told(before: step.next)
    return step
  }

  private func scanBackwards(from sequence: UInt64, maxBytes: Int, maxRecords: UInt64) throws -> Step {
    let first = min(sequence, max(store.start.firstSequence, floor))
    var step = Step(batch: ByteBuffer(), records: 0, next: sequence, isAtEnd: sequence <= first)
    var window = matcher == nil ? min(window, max(1, maxRecords)) : window
    defer { self.window = min(Self.windowRecords, 4 * window) }
    var looked = 0
    var known = CandidateStretch(start: ReadPosition(sequence: terms == nil ? first : sequence), end: sequence)
    // Each step makes progress, however much had to be examined to find the range.
    stretches: while !step.isAtEnd, step.next == sequence || looked < Self.scanBytes, step.batch.readableBytes < maxBytes,
      step.records < maxRecords
    {
      guard let timely = timely(before: step.next), timely.upperBound > first else {
        (step.next, step.isAtEnd) = (first, true)
        break
      }
      step.next = min(step.next, timely.upperBound)
      let bottom = max(first, timely.lowerBound)
      if let terms, step.next <= known.start.sequence {
        known = try store.candidates(in: bottom..<step.next, for: terms, backwards: true)
        looked += Self.questionBytes
        step.next = min(step.next, known.end)
        if known.isEmpty {
          step.isAtEnd = step.next <= first
          continue
        }
      }
      let begin = step.next - min(step.next - max(bottom, known.start.sequence), window)
      var found = ByteBuffer()
      var ranges: [(sequence: UInt64, range: Range<Int>)] = []
      var erased: [UInt64] = []
      let lookedBefore = looked
      position = begin == known.start.sequence ? known.start : ReadPosition(sequence: begin)
      while position.sequence < step.next, window == 1 || found.readableBytes <= maxBytes && looked - lookedBefore < Self.scanBytes {
        let filled: (RecordBatchBytes, ReadPosition)?
        do { filled = try fill(before: step.next, bytes: known.bytes) } catch {
          // Records after the damage come first, however few; then the error.
          if window == 1, step.next == sequence { throw error }
          if window == 1 { break stretches }
          window = max(1, window / 4)
          continue stretches
        }
        guard let (batch, after) = filled else { break }
        looked += batch.bytes.count
        var at = position.sequence
        batch.forEachRange { record, range in
          let match = matcher?.match(record) ?? .yes
          if match == .erased { erased.append(at) }
          if match == .yes {
            let start = found.writerIndex
            found.writeBytes(UnsafeRawBufferPointer(rebasing: batch.bytes[range]))
            ranges.append((at, start..<found.writerIndex))
          }
          at += 1
        }
        position = after
      }
      if window > 1, found.readableBytes > maxBytes || position.sequence < step.next && looked - lookedBefore >= Self.scanBytes {
        window = max(1, window / 4)
        continue
      }
      if step.records > 0, step.batch.readableBytes + found.readableBytes > maxBytes { break }
      step.next = begin
      for (sequence, range) in ranges.reversed() {
        if step.records >= maxRecords { break }
        step.batch.writeImmutableBuffer(found.getSlice(at: range.lowerBound, length: range.count)!)
        step.records += 1
        if step.records == maxRecords { step.next = sequence }
      }
      step.erasedSkipped += UInt64(erased.count(where: { $0 >= step.next }))
      if step.next <= first { step.isAtEnd = true }
    }
    return step
  }

  /// The next records in the scanner's own memory, and the position after them; `nil` at `end`.
  ///
  /// - Parameter bytes: maximum to read; one record may be larger.
  private func fill(before end: UInt64, bytes: UInt64?) throws -> (RecordBatchBytes, ReadPosition)? {
    var wanted = Int(min(bytes ?? .max, UInt64(ScanMemory.pieceBytes)))
    while true {
      let buffer = scratch ?? memory.take()
      scratch = buffer
      if bytes == nil { wanted = buffer.count }
      switch try store.read(from: position, before: end, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])) {
      case .end: return nil
      case .bufferTooSmall(let needed):
        wanted = needed
        guard needed > buffer.count else { continue }
        memory.giveBack(buffer)
        scratch = memory.take(needed)
      case .records(let range, _, let next):
        return (RecordBatchBytes(UnsafeRawBufferPointer(rebasing: buffer[range])), next)
      }
    }
  }
}
