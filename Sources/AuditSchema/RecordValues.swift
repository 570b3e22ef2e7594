/// What a filter may name, apart from times. The numbers are part of what a search index holds: they never change.
package enum FilterField: UInt8, Sendable, CaseIterable {
  case kind = 1
  case hub = 2
  case agent = 3
  case channel = 4
  case task = 5
  /// No value, and no filter names it: the mark of an erased body in a search index.
  case erased = 6

  /// Whether an erased record does not hold it any more.
  var isInBody: Bool { self != .kind && self != .hub }
}

/// The values in an encoded record that a filter may name, found in place.
///
/// The one reading of them: a filter matches against what this finds, and a search index is made of what this finds, so that neither can
/// know a value that the other does not.
enum RecordValues {
  /// The header of a record that begins at `fields`.
  @inline(__always)
  static func header(_ fields: inout WireReader) -> UnsafeRawBufferPointer? {
    guard let header = fields.next(), header.number == Fields.Record.header.number else { return nil }
    return header.bytes
  }

  /// The body, behind the header; `nil` when it was erased.
  @inline(__always)
  static func body(_ fields: inout WireReader) -> UnsafeRawBufferPointer? {
    guard let body = fields.next(), body.number == Fields.Record.body.number else { return nil }
    return body.bytes
  }

  /// Hub and kind; an empty kind for a record that has none, so that one can ask for these.
  ///
  /// - Parameter receivedAt: told the record's time, Unix ns; whether to go on.
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

  /// Agents, channels and tasks. Subjects have the same field numbers in every detail as in `Custom`: record.proto.
  @inline(__always)
  static func forEach(inBody body: UnsafeRawBufferPointer, _ visit: (FilterField, UnsafeRawBufferPointer) -> Void) {
    var parts = WireReader(body)
    while let part = parts.next() {
      // The body's other fields come before its details.
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
