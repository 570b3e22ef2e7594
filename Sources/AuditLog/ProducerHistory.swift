import AuditSchema

/// Finds the records of a producer's events, in the log itself: the answer to a re-sent append.
package enum ProducerHistory {
  /// The sequences of the records of some events; `nil` for an event of which the log has no record.
  ///
  /// - Parameters:
  ///   - numbers: of the events, ascending and not empty; the search ends when all are found.
  ///   - lastSequence: of the producer's newest record that may be concerned; the search goes backwards from it.
  package static func sequences(
    of numbers: [UInt64], origin: RecordOrigin, lastSequence: UInt64, in store: any RecordStore
  ) throws(StoreError) -> [UInt64?] {
    let hub = Array(origin.hub.utf8)
    let producer = Array((origin.producer ?? "").utf8)
    let range = numbers[0]...numbers[numbers.count - 1]
    var found: [UInt64: UInt64] = [:]
    var end = lastSequence + 1
    var window: UInt64 = 1024
    let first = store.start.firstSequence
    var reachedBeginning = false
    while end > first, !reachedBeginning, found.count < numbers.count {
      let begin = max(first, end - min(end, window))
      var inWindow: [UInt64: UInt64] = [:]
      let reader = RecordReader(store: store, from: begin)
      while let batch = try reader.next(before: end) {
        batch.forEachRecord { record in
          guard let (sequence, number) = numbered(record, hub: hub, producer: producer) else { return }
          if number <= range.lowerBound { reachedBeginning = true }
          if range.contains(number) { inWindow[number] = sequence }
        }
      }
      // Where a producer was forgotten and its numbers began anew, the newest record counts.
      found.merge(inWindow) { newer, _ in newer }
      end = begin
      window *= 2
    }
    return numbers.map { found[$0] }
  }

  private static func numbered(_ record: UnsafeRawBufferPointer, hub: [UInt8], producer: [UInt8]) -> (sequence: UInt64, number: UInt64)? {
    var fields = WireReader(record)
    guard let header = fields.next() else { return nil }
    var parts = WireReader(header.bytes)
    var sequence: UInt64 = 0
    var matches = 0
    while let part = parts.next() {
      switch part.number {
      case 1: sequence = part.value
      case 3: if part.bytes.elementsEqual(hub) { matches += 1 } else { return nil }
      case 4: if part.bytes.elementsEqual(producer) { matches += 1 } else { return nil }
      case 5: return matches == 2 ? (sequence, part.value) : nil
      default: break
      }
    }
    return nil
  }
}
