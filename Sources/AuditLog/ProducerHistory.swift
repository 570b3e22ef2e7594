import AuditSchema

/// Finds the sequences that a producer's events got, in the log itself: the answer to a re-sent append.
package enum ProducerHistory {
  /// The sequences of the records of events `numbers`, ascending. Events that were ignored have none.
  ///
  /// - Parameters:
  ///   - count: how many of the events have records; the search ends when it has found them.
  ///   - lastSequence: of the producer's newest record that may be concerned; the search goes backwards from it.
  package static func sequences(
    of numbers: Range<UInt64>, count: Int, origin: RecordOrigin, lastSequence: UInt64, in store: any RecordStore
  ) throws(StoreError) -> [UInt64] {
    let hub = Array(origin.hub.utf8)
    let producer = Array((origin.producer ?? "").utf8)
    var found: [UInt64] = []
    var end = lastSequence + 1
    var window: UInt64 = 1024
    let first = store.start.firstSequence
    var reachedBeginning = false
    while end > first, !reachedBeginning, found.count < count {
      let begin = max(first, end - min(end, window))
      var inWindow: [UInt64] = []
      let reader = RecordReader(store: store, from: begin)
      while let batch = try reader.next(before: end) {
        batch.forEachRecord { record in
          guard let (sequence, number) = numbered(record, hub: hub, producer: producer) else { return }
          if number <= numbers.lowerBound { reachedBeginning = true }
          if numbers.contains(number) { inWindow.append(sequence) }
        }
      }
      found = inWindow + found
      end = begin
      window *= 2
    }
    return found
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
