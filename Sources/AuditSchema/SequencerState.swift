import CAuditSchema

/// What the sequencer must know to append a re-sent event once: part of a segment's header.
package struct SequencerState: Equatable {
  package struct Producer: Equatable {
    package var hub: String
    package var name: String
    /// The number that the producer's next event must have.
    package var nextNumber: UInt64
    package var lastSequence: UInt64?
    /// How many records it has, about.
    package var records: UInt64

    package init(hub: String, name: String, nextNumber: UInt64, lastSequence: UInt64?, records: UInt64 = 1) {
      self.hub = hub
      self.name = name
      self.nextNumber = nextNumber
      self.lastSequence = lastSequence
      self.records = records
    }
  }

  package var producers: [Producer]
  /// There were other producers, which were forgotten.
  package var hasForgotten: Bool

  package init(producers: [Producer], hasForgotten: Bool = false) {
    self.producers = producers
    self.hasForgotten = hasForgotten
  }

  /// - Throws: when the bytes are not an encoded `hubaudit.v1.SequencerState`.
  package init(encoded: [UInt8]) throws(SchemaError) {
    producers = []
    hasForgotten = false
    let arena = DecodeArena(limitBytes: 256 << 20)
    let state = try encoded.withUnsafeBufferPointer { (bytes) throws(SchemaError) in
      try decode(Hubaudit__V1__SequencerState.self, descriptor, UnsafeRawBufferPointer(bytes), in: arena)
    }
    hasForgotten = state.pointee.forgotten != 0
    for index in 0..<state.pointee.n_producers {
      let part = state.pointee.producers[index]!.pointee
      producers.append(
        Producer(
          hub: text(part.hub) ?? "", name: text(part.producer) ?? "", nextNumber: part.next_number,
          lastSequence: part.has_last_sequence != 0 ? part.last_sequence : nil, records: part.records))
    }
  }

  package func encoded() -> [UInt8] {
    var out: [UInt8] = []
    for producer in producers {
      var part = Self.textField(1, producer.hub) + Self.textField(2, producer.name) + Self.numberField(3, producer.nextNumber)
      if let lastSequence = producer.lastSequence { part += Self.numberField(4, lastSequence) }
      part += Self.numberField(5, producer.records)
      out.append(0x0A)
      out += Framing.delimited(part)
    }
    if hasForgotten { out += Self.numberField(2, 1) }
    return out
  }

  private static func textField(_ number: UInt8, _ text: String) -> [UInt8] { [number << 3 | 2] + Framing.delimited(Array(text.utf8)) }

  private static func numberField(_ number: UInt8, _ value: UInt64) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 11) { buffer, count in
      buffer[0] = number << 3
      count =
        Framing.writeVarint(value, to: UnsafeMutableRawPointer(buffer.baseAddress!) + 1) - UnsafeMutableRawPointer(buffer.baseAddress!)
    }
  }
}

nonisolated(unsafe) private let descriptor = address(of: hubaudit__v1__sequencer_state__descriptor)
