/// The header fields that all records of a connection share (hub, producer, principal), encoded once.
package final class RecordOrigin: Sendable {
  /// Maximum bytes of a hub's name, and of a kind.
  package static let maximumNameBytes = HubName.maximumBytes
  package static let maximumProducerBytes = 64

  package let hub: String
  package let producer: String?
  /// The authenticated identity; `nil` for an anonymous connection.
  package let principal: String?

  /// The encoded fields hub and producer of a `RecordHeader`.
  let leading: [UInt8]
  /// The encoded field principal.
  let trailing: [UInt8]

  /// The hub's name in the log's own records. No hub may use it.
  package static let logName = HubName.ofTheLog

  /// The origin of the log's own records.
  package static let log = RecordOrigin(checked: logName, producer: nil, principal: nil)

  /// - Throws: `invalidRequest` for a name that is empty, too long, not printable, or looks like the log's own.
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
