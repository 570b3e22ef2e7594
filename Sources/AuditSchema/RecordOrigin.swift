/// Where the records of a connection come from: the header fields that are the same for all of them, encoded once.
package final class RecordOrigin: Sendable {
  /// Bytes of a hub's name, of a kind.
  package static let maximumNameBytes = HubName.maximumBytes
  package static let maximumProducerBytes = 64

  package let hub: String
  package let producer: String?
  /// The authenticated identity; `nil` for an anonymous connection.
  package let principal: String?

  /// The fields hub and producer of a RecordHeader.
  let leading: [UInt8]
  /// Its field principal.
  let trailing: [UInt8]

  /// The hub's name in records that the log makes itself. Nobody else may use it.
  package static let logName = HubName.ofTheLog

  /// Of the log's own records.
  package static let log = RecordOrigin(checked: logName, producer: nil, principal: nil)

  /// - Throws: `invalidRequest` for a name that is empty, over-long, not printable, or could be taken for the log's own.
  package convenience init(hub: String, producer: String? = nil, principal: String? = nil) throws(RequestError) {
    try HubName.check(hub)
    if let producer, producer.isEmpty || producer.utf8.count > Self.maximumProducerBytes {
      throw RequestError(
        .invalidRequest, "the producer's name has \(producer.utf8.count) bytes; 1 to \(Self.maximumProducerBytes) are allowed")
    }
    self.init(checked: hub, producer: producer, principal: principal)
  }

  private init(checked hub: String, producer: String?, principal: String?) {
    self.hub = hub
    self.producer = producer
    self.principal = principal
    leading = Self.encoded(Fields.RecordHeader.hub, hub) + Self.encoded(Fields.RecordHeader.producer, producer)
    trailing = Self.encoded(Fields.RecordHeader.principal, principal)
  }

  private static func encoded(_ field: WireField, _ text: String?) -> [UInt8] {
    guard let text else { return [] }
    let content = Array(text.utf8)
    return [UInt8](wireCapacity: field.byteCount(contentBytes: content.count)) { $0.write(field, content) }
  }
}
