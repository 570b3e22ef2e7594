import CAuditSchema

/// The sequencer's producer table, part of a segment's header. With it, a re-sent event is stored only once.
package struct SequencerState: Equatable {
  package struct Producer: Equatable {
    package var hub: String
    package var name: String
    /// The number of the producer's next event.
    package var nextNumber: UInt64
    package var lastSequence: UInt64?
    /// Approximate number of its records.
    package var records: UInt64
    /// The principal that has it; `nil`: nobody yet.
    package var principal: String?

    package init(
      hub: String, name: String, nextNumber: UInt64, lastSequence: UInt64?, records: UInt64 = 1, principal: String? = nil
    ) {
      self.hub = hub
      self.name = name
      self.nextNumber = nextNumber
      self.lastSequence = lastSequence
      self.records = records
      self.principal = principal
    }
  }

  package var producers: [Producer]
  /// Whether other producers were forgotten.
  package var hasForgotten: Bool

  package init(producers: [Producer], hasForgotten: Bool = false) {
    self.producers = producers
    self.hasForgotten = hasForgotten
  }

  /// Decodes a `hubaudit.v1.SequencerState`.
  ///
  /// - Throws: if it is malformed.
  package init(encoded: [UInt8]) throws(RequestError) {
    producers = []
    hasForgotten = false
    let arena = DecodeArena(limitBytes: 256 << 20)
    let state = try encoded.withUnsafeBufferPointer { (bytes) throws(RequestError) in
      try decode(Hubaudit__V1__SequencerState.self, descriptor.pointer, UnsafeRawBufferPointer(bytes), in: arena)
    }
    hasForgotten = state.pointee.forgotten != 0
    for index in 0..<state.pointee.n_producers {
      let part = state.pointee.producers[index]!.pointee
      producers.append(
        Producer(
          hub: text(part.hub) ?? "", name: text(part.producer) ?? "", nextNumber: part.next_number,
          lastSequence: part.has_last_sequence != 0 ? part.last_sequence : nil, records: part.records,
          principal: text(part.principal)))
    }
  }

  package func encoded() -> [UInt8] {
    typealias Part = Fields.ProducerState
    let sizes = producers.map { producer in
      Part.hub.byteCount(contentBytes: producer.hub.utf8.count) + Part.producer.byteCount(contentBytes: producer.name.utf8.count)
        + Part.nextNumber.byteCount(producer.nextNumber) + (producer.lastSequence.map { Part.lastSequence.byteCount($0) } ?? 0)
        + Part.records.byteCount(producer.records)
        + (producer.principal.map { Part.principal.byteCount(contentBytes: $0.utf8.count) } ?? 0)
    }
    let field = Fields.SequencerState.producers
    let capacity = sizes.reduce(Fields.SequencerState.forgotten.byteCount(1)) { $0 + field.byteCount(contentBytes: $1) }
    return [UInt8](wireCapacity: capacity) { writer in
      for (producer, size) in zip(producers, sizes) {
        writer.begin(field, contentBytes: size)
        writer.write(Part.hub, Array(producer.hub.utf8))
        writer.write(Part.producer, Array(producer.name.utf8))
        writer.write(Part.nextNumber, producer.nextNumber)
        if let lastSequence = producer.lastSequence { writer.write(Part.lastSequence, lastSequence) }
        writer.write(Part.records, producer.records)
        if let principal = producer.principal { writer.write(Part.principal, Array(principal.utf8)) }
      }
      if hasForgotten { writer.write(Fields.SequencerState.forgotten, 1) }
    }
  }
}

private let descriptor = MessageDescriptor(hubaudit__v1__sequencer_state__descriptor)
