import CAuditSchema

/// A record's body before it is encoded: a list of fields whose contents are in the event or in the arena.
struct BodyDraft {
  /// Bytes of the salt.
  static let saltBytes = 16

  private struct Field {
    /// Number and wire type: one byte.
    var tag: UInt8
    /// The content of text, bytes or a message; `nil`: a number.
    var bytes: UnsafePointer<UInt8>?
    /// The number, or the number of bytes.
    var value: UInt64
  }

  private let fields: UnsafeMutablePointer<Field>
  private let capacity: Int
  private var count = 0
  private var detailBytes = 0
  private var detail = Fields.RecordBody.custom

  /// The time given by the hub, if any.
  var at = caudit_field()
  /// The original event, if it has fields that the schema does not know.
  var event: UnsafeRawBufferPointer?

  /// - Parameter fields: maximum number of fields of the detail.
  init(fields capacity: Int, in arena: DecodeArena) throws(RequestError) {
    fields = try arena.allocate(Field.self, count: capacity)
    self.capacity = capacity
  }

  /// Begins the detail. Its fields must be added in the order of their numbers, which are at most 15.
  mutating func begin(_ detail: WireField) { self.detail = detail }

  private mutating func add(_ field: Field, byteCount: Int) {
    precondition(count < capacity, "a body has more fields than were allowed for")
    (fields + count).initialize(to: field)
    count += 1
    detailBytes += byteCount
  }

  /// Adds text or bytes. Does nothing if `content` is absent.
  mutating func add(_ field: WireField, _ content: caudit_field) {
    guard let bytes = content.bytes else { return }
    assert(field.type == .bytes)
    add(Field(tag: field.tagByte, bytes: bytes, value: content.value), byteCount: field.byteCount(contentBytes: Int(content.value)))
  }

  mutating func add(_ field: WireField, _ texts: caudit_texts) {
    var next = texts.first
    while let text = next {
      add(field, text.pointee.field)
      next = text.pointee.next
    }
  }

  mutating func add(_ field: WireField, value: UInt64) {
    assert(field.type == .varint)
    add(Field(tag: field.tagByte, bytes: nil, value: value), byteCount: field.byteCount(value))
  }

  /// Adds a number. Does nothing if it is absent.
  mutating func add(_ field: WireField, number: caudit_field) {
    if number.bytes != nil { add(field, value: number.value) }
  }

  /// Size of the encoded body, in bytes.
  var byteCount: Int {
    var size = Fields.RecordBody.salt.byteCount(contentBytes: Self.saltBytes) + detail.byteCount(contentBytes: detailBytes)
    if at.bytes != nil { size += Fields.RecordBody.at.byteCount(contentBytes: Int(at.value)) }
    if let event { size += Fields.RecordBody.event.byteCount(contentBytes: event.count) }
    return size
  }

  /// Encodes the body as a `hubaudit.v1.RecordBody` of `byteCount` bytes.
  @inline(__always)
  func write(salt: UnsafeRawPointer, to writer: inout WireWriter) {
    if at.isPresent { writer.write(Fields.RecordBody.at, at.buffer) }
    writer.write(Fields.RecordBody.salt, UnsafeRawBufferPointer(start: salt, count: Self.saltBytes))
    if let event { writer.write(Fields.RecordBody.event, event) }
    writer.begin(detail, contentBytes: detailBytes)
    for index in 0..<count {
      let field = fields[index]
      writer.varint(UInt64(field.tag))
      writer.varint(field.value)
      if let bytes = field.bytes { writer.raw(UnsafeRawBufferPointer(start: bytes, count: Int(field.value))) }
    }
  }
}

extension caudit_field {
  /// Text or bytes. The memory must outlive the draft.
  init(_ bytes: UnsafeRawBufferPointer) {
    self.init(bytes: bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), value: UInt64(bytes.count))
  }

  var isPresent: Bool { bytes != nil }

  /// Whether the field is absent or has no content.
  var isEmpty: Bool { bytes == nil || value == 0 }

  /// The content; empty if the field is absent.
  var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : Int(value)) }
}
