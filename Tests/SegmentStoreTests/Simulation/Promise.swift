import AuditSchema

/// What the users of a log have been told, and may rely on whatever happens.
struct Promise {
  /// Records that were acknowledged or that a reader has seen, one behind the other.
  var records: [UInt8] = []
  var count: UInt64 = 0
  /// The commit that is on its way: it may be there after a crash, whole, or not.
  var underway: (records: [UInt8], count: UInt64)?
  var evidence = PromisedEvidence()
  var logID: [UInt8]?
  /// The erasure that is on its way. Once its order is stored it is carried out, whatever happens.
  var erasure: (sequence: UInt64, isOrdered: Bool)?

  /// What a log that was opened may hold.
  var possible: [(records: [UInt8], count: UInt64)] {
    var whole = [records]
    if let erasure {
      if erasure.isOrdered { whole = [] }
      whole.append(Self.erasing(erasure.sequence, of: records))
    }
    return whole.flatMap { records in [(records, count)] + (underway.map { [(records + $0.records, count + $0.count)] } ?? []) }
  }

  /// What a reader may see of the acknowledged records from a sequence on.
  func visible(from sequence: UInt64) -> [ArraySlice<UInt8>] {
    ([records] + (erasure.map { [Self.erasing($0.sequence, of: records)] } ?? [])).map { records in
      records[(Self.places(of: records).dropFirst(Int(sequence)).first?.lowerBound ?? records.count)...]
    }
  }

  /// Whether a record still has its body.
  func hasBody(_ sequence: UInt64) -> Bool {
    let place = Self.places(of: records)[Int(sequence)]
    return records[place.lowerBound + (Self.framing(records[place])?.header.upperBound ?? 0)] == RecordFraming.bodyTag
  }

  static func erasing(_ sequence: UInt64, of records: [UInt8]) -> [UInt8] {
    let place = places(of: records)[Int(sequence)]
    var record = Array(records[place])
    guard let framing = framing(records[place]), framing.erase(in: &record) else { return records }
    return records[..<place.lowerBound] + record + records[place.upperBound...]
  }

  private static func places(of records: [UInt8]) -> [Range<Int>] {
    var places: [Range<Int>] = []
    records.withUnsafeBytes { RecordBatchBytes($0).forEachRange { places.append($1) } }
    return places
  }

  private static func framing(_ record: ArraySlice<UInt8>) -> RecordFraming? { record.withUnsafeBytes { RecordFraming(head: $0) } }
}
