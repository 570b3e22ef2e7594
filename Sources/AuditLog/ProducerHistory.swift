import AuditSchema

/// Finds the records of a producer's events in the log, to answer a re-sent append. It searches backwards in bounded steps.
///
/// `@unchecked Sendable`: one job at a time uses it. Between steps it keeps its results and no read buffer.
package final class ProducerHistory: @unchecked Sendable {
  /// About the bytes of the log that one step examines.
  package static let stepBytes = 1 << 20
  private static let firstWindow: UInt64 = 1024
  private static let largestWindow: UInt64 = 64 << 10

  private let store: any RecordStore
  private let hub: [UInt8]
  private let producer: [UInt8]
  private let wanted: Set<UInt64>
  private let lowest: UInt64
  private var found: [UInt64: UInt64] = [:]
  private var reachedBeginning = false
  /// The window that is read forwards before the one in front of it; how far that reading is, and what it has found.
  private var window: Range<UInt64>
  private var at: UInt64
  private var inWindow: [UInt64: UInt64] = [:]

  /// - Parameters:
  ///   - numbers: of the events; not empty. The search ends when all are found.
  ///   - lastSequence: where the backward search starts: the producer's newest record at the time of the append.
  package init(of numbers: Set<UInt64>, origin: RecordOrigin, lastSequence: UInt64, in store: any RecordStore) {
    self.store = store
    hub = Array(origin.hub.utf8)
    producer = Array((origin.producer ?? "").utf8)
    wanted = numbers
    lowest = numbers.min() ?? 0
    let end = lastSequence + 1
    window = Self.window(before: end, records: Self.firstWindow, first: store.start.firstSequence)
    at = window.lowerBound
  }

  private static func window(before end: UInt64, records: UInt64, first: UInt64) -> Range<UInt64> {
    max(min(first, end), end - min(end, records))..<end
  }

  /// Examines the next part of the log.
  ///
  /// - Returns: when the search has ended, the sequences that were found, by number; `nil` before.
  package func step() throws(StoreError) -> [UInt64: UInt64]? {
    var looked = 0
    while true {
      let reader = RecordReader(store: store, from: at)
      var isAtEnd = at >= window.upperBound
      while !isAtEnd, looked < Self.stepBytes {
        guard let batch = try reader.next(before: window.upperBound) else {
          isAtEnd = true
          break
        }
        looked += batch.bytes.count
        at = reader.sequence
        batch.forEachRecord { look(at: $0) }
      }
      guard isAtEnd || at >= window.upperBound else { return nil }
      // If a forgotten producer began its numbers again, the newest record counts.
      found.merge(inWindow) { newer, _ in newer }
      inWindow.removeAll(keepingCapacity: true)
      let first = store.start.firstSequence
      if found.count == wanted.count || reachedBeginning || window.lowerBound <= first { return found }
      window = Self.window(
        before: window.lowerBound, records: min(Self.largestWindow, 2 * UInt64(window.count)), first: first)
      at = window.lowerBound
      if looked >= Self.stepBytes { return nil }
    }
  }

  private func look(at record: UnsafeRawBufferPointer) {
    guard let (sequence, number) = numbered(record) else { return }
    if number <= lowest { reachedBeginning = true }
    if wanted.contains(number) { inWindow[number] = sequence }
  }

  private func numbered(_ record: UnsafeRawBufferPointer) -> (sequence: UInt64, number: UInt64)? {
    guard let parts = RecordBytes(record), case let header = RecordHeaderBytes(parts.header), let number = header.producerSequence,
      header.hub.elementsEqual(hub), let name = header.producer, name.elementsEqual(producer)
    else { return nil }
    return (header.sequence ?? 0, number)
  }
}
