import ArgumentParser
import AuditSchema
import Foundation

/// The forms in which records are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  /// Columns for people.
  case table
  /// One JSON object a line, keys sorted.
  case json
  /// Length-delimited `hubaudit.v1.Record`s.
  case raw
}

struct OutputOptions: ParsableArguments {
  @Option(
    name: [.short, .long], help: "table (default on a terminal), json (one object a line; default elsewhere) or raw (delimited protobuf).")
  var output: OutputFormat?

  func printer(eachLine: Bool) -> RecordPrinter {
    RecordPrinter(format: output ?? (isatty(STDOUT_FILENO) == 1 ? .table : .json), flushesEachRecord: eachLine)
  }
}

/// Prints records on standard output.
struct RecordPrinter {
  let format: OutputFormat
  let flushesEachRecord: Bool

  /// - Throws: `CommandFailure` when nobody reads any more, or a record cannot be rendered.
  func print(_ record: Record) throws {
    switch format {
    case .raw: try write(Framing.delimited(record.encoded))
    case .json: try write(try Self.json(record) + [UInt8(ascii: "\n")])
    case .table: try write(Array((try Self.row(record) + "\n").utf8))
    }
  }

  /// - Throws: `CommandFailure` when what was printed could not be written.
  func finish() throws { try StandardOutput.flush() }

  private func write(_ bytes: [UInt8]) throws { try StandardOutput.write(bytes, flush: flushesEachRecord) }

  /// {"at":…,"body_sha256":…,"hub":…,"kind":…,…,"record":{…},"sequence":…}. The body's hash ties the line to the record's header, and so to
  /// its receipt.
  static func json(_ record: Record) throws -> [UInt8] {
    var object = ObjectWriter()
    object.optional("at", record.at)
    object.hex("body_sha256", record.bodySHA256)
    object.literal("hub", record.hub)
    object.optional("kind", record.kind)
    if let producer = record.producer { object.literal("producer", producer) }
    if let number = record.producerSequence { object.token("producer_sequence", "\(number)") }
    object.literal("received_at", UTCTime.rfc3339(record.receivedAt))
    object.json("record", try record.json().map { JSONText.oneLine($0) } ?? Array("null".utf8))
    object.token("sequence", "\(record.sequence)")
    let unknown = record.unknownFields()
    if !unknown.isEmpty { object.json("unknown_fields", Self.list(unknown)) }
    return object.finished()
  }

  /// [{"bytes": …, "message": …, "number": …}]: what a newer hub or server put in, which this version's schema does not know.
  private static func list(_ fields: [UnknownField]) -> [UInt8] {
    let objects = fields.map { field in
      var object = ObjectWriter()
      object.hex("bytes", field.bytes)
      object.literal("message", field.message)
      object.token("number", "\(field.number)")
      return object.finished()
    }
    return [UInt8(ascii: "[")] + objects.joined(separator: Array(", ".utf8)) + [UInt8(ascii: "]")]
  }

  private static func row(_ record: Record) throws -> String {
    let time = UTCTime.rfc3339(record.receivedAt)
    let short = time.prefix(23) + "Z"
    let body = try record.json().map { String(decoding: JSONText.oneLine($0), as: UTF8.self) } ?? "(body erased)"
    let columns = [
      "\(record.sequence)".leftPadded(8), "\(short)", TerminalText.escaped(record.hub).padded(16),
      TerminalText.escaped(record.kind ?? "-").padded(20), TerminalText.escaped(body),
    ]
    return columns.joined(separator: "  ")
  }
}

extension String {
  fileprivate func padded(_ width: Int) -> String { count >= width ? self : self + String(repeating: " ", count: width - count) }
  fileprivate func leftPadded(_ width: Int) -> String { count >= width ? self : String(repeating: " ", count: width - count) + self }
}
