/// Where the records of a connection come from: the header fields that are the same for all of them, encoded once.
package final class RecordOrigin: Sendable {
  /// Bytes of a hub's name, of a kind.
  package static let maximumNameBytes = HubName.maximumBytes
  package static let maximumProducerBytes = 64

  package let hub: String
  package let producer: String?
  /// The authenticated identity; `nil` for an anonymous connection.
  package let principal: String?

  /// Fields 3 (hub) and 4 (producer) of a RecordHeader.
  let leading: [UInt8]
  /// Field 9 (principal).
  let trailing: [UInt8]

  /// The hub's name in records that the log makes itself. Nobody else may use it.
  package static let logName = HubName.ofTheLog

  /// Of the log's own records.
  package static let log = RecordOrigin(checked: logName, producer: nil, principal: nil)

  /// - Throws: `invalidRequest` for a name that is empty, over-long, not printable, or could be taken for the log's own.
  package convenience init(hub: String, producer: String? = nil, principal: String? = nil) throws(SchemaError) {
    try HubName.check(hub)
    if let producer, producer.isEmpty || producer.utf8.count > Self.maximumProducerBytes {
      throw SchemaError(
        .invalidRequest, "the producer's name has \(producer.utf8.count) bytes; 1 to \(Self.maximumProducerBytes) are allowed")
    }
    self.init(checked: hub, producer: producer, principal: principal)
  }

  private init(checked hub: String, producer: String?, principal: String?) {
    self.hub = hub
    self.producer = producer
    self.principal = principal
    leading = Self.field(3, hub) + Self.field(4, producer)
    trailing = Self.field(9, principal)
  }

  private static func field(_ number: UInt8, _ text: String?) -> [UInt8] {
    guard let text else { return [] }
    return [number << 3 | 2] + Framing.delimited(Array(text.utf8))
  }
}
