/// The ranges of a record's fields in its encoded bytes. For a repeated field, the last one counts.
struct RecordPlaces: Sendable, Equatable {
  /// The content of one length-delimited field.
  struct Place: Sendable, Equatable {
    private var start: Int32 = -1
    private var end: Int32 = -1

    static let none = Place()

    private init() {}

    /// - Parameter start: offset of the message that contains the field.
    init(of field: WireReader.Field, from start: Int) {
      end = Int32(truncatingIfNeeded: start + field.end)
      self.start = end - Int32(truncatingIfNeeded: field.bytes.count)
    }

    /// `nil` for an absent field.
    var range: Range<Int>? { start < 0 ? nil : Int(start)..<Int(end) }

    /// The field's content in the encoded record; `nil` for an absent field.
    func bytes(in record: UnsafeRawBufferPointer) -> UnsafeBufferPointer<UInt8>? {
      range.map { UnsafeRawBufferPointer(rebasing: record[$0]).bindMemory(to: UInt8.self) }
    }
  }

  var header = Place.none
  var body = Place.none
  var hub = Place.none
  var producer = Place.none
  var kind = Place.none
  var bodySHA256 = Place.none
  var principal = Place.none
  var at = Place.none
  /// Whether the header has fields that the schema does not know.
  var hasUnknownHeaderFields = false
}
