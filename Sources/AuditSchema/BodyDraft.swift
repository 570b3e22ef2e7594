import CAuditSchema

/// A record's body before it is encoded: a list of fields whose contents lie elsewhere, in the event or in the arena.
struct BodyDraft {
  /// Bytes of the salt.
  static let saltBytes = 16

  private struct Field {
    var number: UInt8
    /// The content of text, bytes or a message; `nil`: a number.
    var bytes: UnsafePointer<UInt8>?
    /// The number, or how many bytes.
    var value: UInt64
  }

  private let fields: UnsafeMutablePointer<Field>
  private let capacity: Int
  private var count = 0
  private var detailBytes = 0
  private var detailNumber = 0

  /// What the hub says of the time; absent where it says nothing.
  var at = caudit_field()
  /// The event as it came, where the schema does not know all of it.
  var event: UnsafeRawBufferPointer?

  /// - Parameter fields: how many the detail has at most.
  init(fields capacity: Int, in arena: DecodeArena) throws(SchemaError) {
    fields = try arena.allocate(Field.self, count: capacity)
    self.capacity = capacity
  }

  /// Begins the detail. Its fields follow in the order of their numbers, which are at most 15.
  mutating func begin(_ detail: Hubaudit__V1__RecordBody__DetailCase) {
    detailNumber = Int(detail.rawValue)
  }

  private mutating func add(_ field: Field, byteCount: Int) {
    precondition(count < capacity && field.number < 16, "a body has more fields than were allowed for")
    (fields + count).initialize(to: field)
    count += 1
    detailBytes += byteCount
  }

  /// Adds text or bytes; nothing where the field is absent.
  mutating func add(_ number: UInt8, _ field: caudit_field) {
    guard let bytes = field.bytes else { return }
    add(
      Field(number: number, bytes: bytes, value: field.value), byteCount: 1 + Framing.varintSize(field.value) + Int(field.value))
  }

  mutating func add(_ number: UInt8, _ texts: caudit_texts) {
    var next = texts.first
    while let text = next {
      add(number, text.pointee.field)
      next = text.pointee.next
    }
  }

  mutating func add(_ number: UInt8, value: UInt64) {
    add(Field(number: number, bytes: nil, value: value), byteCount: 1 + Framing.varintSize(value))
  }

  /// Adds a number; nothing where the field is absent.
  mutating func add(_ number: UInt8, number field: caudit_field) {
    if field.bytes != nil { add(number, value: field.value) }
  }

  /// Bytes of the encoded body.
  var byteCount: Int {
    var size = 2 + Self.saltBytes + 2 + Framing.varintSize(UInt64(detailBytes)) + detailBytes
    if at.bytes != nil { size += 1 + Framing.varintSize(at.value) + Int(at.value) }
    if let event { size += 1 + Framing.varintSize(UInt64(event.count)) + event.count }
    return size
  }

  /// Encodes the body as a `hubaudit.v1.RecordBody`.
  ///
  /// - Returns: where it ends.
  func write(salt: UnsafeRawPointer, to start: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    var p = start
    if let text = at.bytes { p = Self.write(1, text, Int(at.value), to: p) }
    p = Self.write(2, salt, Self.saltBytes, to: p)
    if let event { p = Self.write(3, event.baseAddress!, event.count, to: p) }
    p = Framing.writeVarint(UInt64(detailNumber << 3 | 2), to: p)
    p = Framing.writeVarint(UInt64(detailBytes), to: p)
    for index in 0..<count {
      let field = fields[index]
      if let bytes = field.bytes {
        p = Self.write(field.number, bytes, Int(field.value), to: p)
      } else {
        p.storeBytes(of: field.number << 3, as: UInt8.self)
        p = Framing.writeVarint(field.value, to: p + 1)
      }
    }
    return p
  }

  private static func write(
    _ number: UInt8, _ bytes: UnsafeRawPointer, _ count: Int, to pointer: UnsafeMutableRawPointer
  ) -> UnsafeMutableRawPointer {
    pointer.storeBytes(of: number << 3 | 2, as: UInt8.self)
    let content = Framing.writeVarint(UInt64(count), to: pointer + 1)
    content.copyMemory(from: bytes, byteCount: count)
    return content + count
  }
}

extension caudit_field {
  /// Text or bytes that lie in memory that lives as long as the draft is used.
  init(_ bytes: UnsafeRawBufferPointer) {
    self.init(bytes: bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), value: UInt64(bytes.count))
  }

  var isPresent: Bool { bytes != nil }

  /// Whether it is there and holds something.
  var isEmpty: Bool { bytes == nil || value == 0 }

  /// The content; empty where it is absent.
  var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : Int(value)) }
}
