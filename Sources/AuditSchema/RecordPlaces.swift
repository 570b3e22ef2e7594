/// Where the parts of a record lie in its encoded bytes. What comes twice is where it comes last.
struct RecordPlaces: Sendable, Equatable {
  /// The content of one length-delimited field.
  struct Place: Sendable, Equatable {
    private var start: Int32 = -1
    private var end: Int32 = -1

    static let none = Place()

    private init() {}

    /// - Parameter start: of the message that the field stands in.
    init(of field: WireReader.Field, from start: Int) {
      end = Int32(truncatingIfNeeded: start + field.end)
      self.start = end - Int32(truncatingIfNeeded: field.bytes.count)
    }

    /// `nil` when there is no such field.
    var range: Range<Int>? { start < 0 ? nil : Int(start)..<Int(end) }

    /// What is there in the bytes of the record.
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
  /// Fields that the schema does not know.
  var hasUnknownHeaderFields = false
}
