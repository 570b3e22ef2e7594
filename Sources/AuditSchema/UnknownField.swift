import CAuditSchema

/// A field of a record that this version's schema does not know, written by a newer hub or server.
public struct UnknownField: Sendable, Equatable {
  /// The message that contains it, such as "ChannelEvent".
  public var message: String
  /// The field's number.
  public var number: UInt32
  /// The encoded field, with its tag, and its length if it has one.
  public var bytes: [UInt8]

  public init(message: String, number: UInt32, bytes: [UInt8]) {
    self.message = message
    self.number = number
    self.bytes = bytes
  }
}

extension Record {
  /// The unknown fields of the record's header, its body, and the original event in it.
  public func unknownFields() -> [UnknownField] {
    var fields: [UnknownField] = []
    Self.collect(encodedHeader, headerDescriptor.pointer, into: &fields)
    guard let body = encodedBody else { return fields }
    Self.collect(body, bodyDescriptor.pointer, into: &fields)
    body.withUnsafeBytes { body in
      var parts = WireReader(body)
      while let part = parts.next() {
        if part.number == Fields.RecordBody.event.number { Self.collect(Array(part.bytes)[...], eventDescriptor.pointer, into: &fields) }
      }
    }
    return fields
  }

  private static func collect(
    _ message: ArraySlice<UInt8>, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, into fields: inout [UnknownField]
  ) {
    message.withUnsafeBufferPointer { bytes in
      _ = withUnsafeMutablePointer(to: &fields) { found in
        caudit_unknown_fields(
          descriptor, bytes.baseAddress, bytes.count,
          { context, message, number, field, size in
            context!.assumingMemoryBound(to: [UnknownField].self).pointee.append(
              UnknownField(
                message: String(cString: message!), number: number, bytes: Array(UnsafeBufferPointer(start: field, count: size))))
          }, found)
      }
    }
  }
}

private let headerDescriptor = MessageDescriptor(hubaudit__v1__record_header__descriptor)
private let bodyDescriptor = MessageDescriptor(hubaudit__v1__record_body__descriptor)
private let eventDescriptor = MessageDescriptor(hubaudit__v1__event__descriptor)
