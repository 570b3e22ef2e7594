import CAuditSchema

/// Memory for decoding one frame, with a hard limit. `reset` frees all of it.
///
/// A reset invalidates everything decoded into the arena. For one thread at a time.
package final class DecodeArena {
  let arena: UnsafeMutablePointer<caudit_arena>

  /// - Parameter limitBytes: maximum bytes of a decoded frame. Reserves that much address space; memory is used as needed.
  package init(limitBytes: Int) {
    guard let arena = caudit_arena_new(limitBytes) else {
      preconditionFailure("cannot reserve \(limitBytes) bytes of address space for decoding")
    }
    self.arena = arena
  }

  deinit { caudit_arena_free(arena) }

  package var limitBytes: Int { arena.pointee.limit }

  package func reset() { caudit_arena_reset(arena) }

  var allocator: UnsafeMutablePointer<ProtobufCAllocator> {
    UnsafeMutableRawPointer(arena).assumingMemoryBound(to: ProtobufCAllocator.self)
  }

  /// - Throws: `limitExceeded` if the arena is full.
  func allocate<T>(_ type: T.Type, count: Int) throws(RequestError) -> UnsafeMutablePointer<T> {
    guard let memory = caudit_arena_alloc(arena, max(1, count * MemoryLayout<T>.stride)) else { throw exhausted }
    return memory.bindMemory(to: type, capacity: count)
  }

  func new<T>(_ value: T) throws(RequestError) -> UnsafeMutablePointer<T> {
    let memory = try allocate(T.self, count: 1)
    memory.initialize(to: value)
    return memory
  }

  func bytes(_ content: some Collection<UInt8>) throws(RequestError) -> ProtobufCBinaryData {
    let count = content.count
    let memory = try allocate(UInt8.self, count: count)
    _ = UnsafeMutableBufferPointer(start: memory, count: count).initialize(from: content)
    return ProtobufCBinaryData(len: count, data: memory)
  }

  func copy(_ content: some Collection<UInt8>) throws(RequestError) -> UnsafeRawBufferPointer {
    let copy = try bytes(content)
    return UnsafeRawBufferPointer(start: copy.data, count: copy.len)
  }

  /// - Throws: `invalidText` for a string with a NUL character, which the C strings of protobuf-c cannot hold.
  func string(present text: String, field: StaticString) throws(RequestError) -> CString {
    let utf8 = text.utf8
    guard !utf8.contains(0) else {
      throw RequestError(.invalidText, "\(field) holds a NUL character, which text fields cannot carry; remove it")
    }
    let memory = try allocate(CChar.self, count: utf8.count + 1)
    var end = memory
    for byte in utf8 {
      end.initialize(to: CChar(bitPattern: byte))
      end += 1
    }
    end.initialize(to: 0)
    return memory
  }

  func string(_ text: String?, field: StaticString) throws(RequestError) -> CString? {
    guard let text else { return nil }
    return try string(present: text, field: field)
  }

  func strings(_ texts: [String], field: StaticString) throws(RequestError) -> UnsafeMutablePointer<CString?>? {
    guard !texts.isEmpty else { return nil }
    let list = try allocate(CString?.self, count: texts.count)
    for (index, text) in texts.enumerated() { (list + index).initialize(to: try string(present: text, field: field)) }
    return list
  }

  private var exhausted: RequestError {
    RequestError(.limitExceeded, "decoding needs more than \(limitBytes) bytes of memory; send smaller frames")
  }
}

/// Checks `bytes` and decodes them as a message of the schema.
///
/// - Parameter lenient: allow unknown fields everywhere, not only inside events.
func decode<Message>(
  _ type: Message.Type, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, _ bytes: UnsafeRawBufferPointer, lenient: Bool = false,
  in arena: DecodeArena
) throws(RequestError) -> UnsafeMutablePointer<Message> {
  var hasUnknown = false
  return try decode(type, descriptor, bytes, lenient: lenient, hasUnknown: &hasUnknown, in: arena)
}

/// - Parameter hasUnknown: set to whether there are unknown fields.
func decode<Message>(
  _ type: Message.Type, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, _ bytes: UnsafeRawBufferPointer, lenient: Bool,
  hasUnknown: inout Bool, in arena: DecodeArena
) throws(RequestError) -> UnsafeMutablePointer<Message> {
  hasUnknown = try check(descriptor, bytes, lenient: lenient)
  guard let message = unpack(type, descriptor, bytes, in: arena) else { throw tooMuchToDecode(descriptor, bytes, arena) }
  return message
}

/// The address of a copy of a descriptor: protobuf-c needs an address, and Swift gives none for an imported constant. Never freed, so make it
/// once for each constant.
///
/// `@unchecked Sendable`: the memory is never changed.
struct MessageDescriptor: @unchecked Sendable {
  let pointer: UnsafePointer<ProtobufCMessageDescriptor>

  init(_ descriptor: ProtobufCMessageDescriptor) {
    let memory = UnsafeMutablePointer<ProtobufCMessageDescriptor>.allocate(capacity: 1)
    memory.initialize(to: descriptor)
    pointer = UnsafePointer(memory)
  }
}

/// Checks what protobuf-c does not: UTF-8, wire types, ranges of numbers, repeated and unknown fields, and groups.
///
/// - Returns: whether there are unknown fields.
@discardableResult
func check(
  _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, _ bytes: UnsafeRawBufferPointer, lenient: Bool = false
) throws(RequestError) -> Bool {
  var problem = caudit_problem()
  let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
  guard caudit_check(descriptor, start, bytes.count, lenient ? 1 : 0, &problem) == CAUDIT_OK else { throw RequestError(problem) }
  return problem.has_unknown_fields != 0
}

/// Decodes bytes that `check` has passed; `nil` if the arena is full.
func unpack<Message>(
  _ type: Message.Type, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, _ bytes: UnsafeRawBufferPointer, in arena: DecodeArena
) -> UnsafeMutablePointer<Message>? {
  let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
  let message = protobuf_c_message_unpack(descriptor, arena.allocator, bytes.count, start)
  return UnsafeMutableRawPointer(message)?.assumingMemoryBound(to: type)
}

func tooMuchToDecode(
  _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, _ bytes: UnsafeRawBufferPointer, _ arena: DecodeArena
) -> RequestError {
  RequestError(
    .limitExceeded,
    "a \(String(cString: descriptor.pointee.short_name)) of \(bytes.count) bytes takes more than \(arena.limitBytes) bytes when decoded; "
      + "send fewer or smaller parts")
}

/// Encodes a message whose parts are in an arena.
func encodeMessage(_ message: UnsafeMutableRawPointer) -> [UInt8] {
  let base = message.assumingMemoryBound(to: ProtobufCMessage.self)
  let size = protobuf_c_message_get_packed_size(base)
  return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
    count = size == 0 ? 0 : protobuf_c_message_pack(base, buffer.baseAddress)
  }
}
