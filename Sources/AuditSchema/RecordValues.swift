/// The fields of a filter, without times. The raw values are stored in search indexes and must never change.
package enum FilterField: UInt8, Sendable, CaseIterable {
  case kind = 1
  case hub = 2
  case agent = 3
  case channel = 4
  case task = 5
  /// Marks an erased body in a search index. No filter has this field.
  case erased = 6

  /// Whether erasing a record removes this field.
  var isInBody: Bool { self != .kind && self != .hub }
}

/// Finds the values of an encoded record that filters match, in place.
///
/// Filters and search indexes both use it, so that they always agree on a record's values.
enum RecordValues {
  /// Reads the header of the record at `fields`.
  @inline(__always)
  static func header(_ fields: inout WireReader) -> UnsafeRawBufferPointer? {
    guard let header = fields.next(), header.number == Fields.Record.header.number else { return nil }
    return header.bytes
  }

  /// Reads the body, after the header; `nil` if it is erased.
  @inline(__always)
  static func body(_ fields: inout WireReader) -> UnsafeRawBufferPointer? {
    guard let body = fields.next(), body.number == Fields.Record.body.number else { return nil }
    return body.bytes
  }

  /// Visits hub and kind. A record without a kind has an empty one here, so that filters can select such records.
  ///
  /// - Parameter receivedAt: gets the receipt time in Unix ns, and returns whether to continue.
  @inline(__always)
  static func forEach(
    inHeader header: UnsafeRawBufferPointer, _ body: (FilterField, UnsafeRawBufferPointer) -> Void, receivedAt: (UInt64) -> Bool
  ) {
    var fields = WireReader(header)
    var hasKind = false
    while let field = fields.next() {
      switch field.number {
      case Fields.RecordHeader.receivedAt.number: if !receivedAt(field.value) { return }
      case Fields.RecordHeader.hub.number: body(.hub, field.bytes)
      case Fields.RecordHeader.kind.number:
        hasKind = true
        body(.kind, field.bytes)
      default: break
      }
    }
    if !hasKind { body(.kind, UnsafeRawBufferPointer(start: nil, count: 0)) }
  }

  /// Visits agents, channels and tasks. In record.proto these have the same field numbers in every detail.
  @inline(__always)
  static func forEach(inBody body: UnsafeRawBufferPointer, _ visit: (FilterField, UnsafeRawBufferPointer) -> Void) {
    var parts = WireReader(body)
    while let part = parts.next() {
      // Field numbers below the details are the body's other fields.
      guard part.number >= Fields.RecordBody.agentRegistered.number else { continue }
      var fields = WireReader(part.bytes)
      while let field = fields.next(), field.number <= Fields.Custom.violators.number {
        switch field.number {
        case Fields.Custom.channelID.number: visit(.channel, field.bytes)
        case Fields.Custom.taskID.number: visit(.task, field.bytes)
        default: visit(.agent, field.bytes)
        }
      }
    }
  }
}
