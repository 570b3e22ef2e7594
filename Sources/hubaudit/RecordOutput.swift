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

  /// - Throws: `CommandFailure` for raw output to a terminal.
  func form(eachLine: Bool) throws -> OutputForm {
    let terminal = Terminal.standardOutput
    let format = output ?? (terminal == nil ? .json : .table)
    if format == .raw, terminal != nil {
      throw CommandFailure(.usage, "-o raw writes binary data, which a terminal does not show; send it to a file or a pipe")
    }
    return OutputForm(format: format, terminal: terminal, flushesEachRecord: eachLine)
  }
}

/// How records are printed.
struct OutputForm {
  var format: OutputFormat
  /// What standard output is; `nil` when it is no terminal.
  var terminal: Terminal?
  var flushesEachRecord: Bool
}

/// Prints records on standard output. Its memory is made once.
final class RecordPrinter {
  private let form: OutputForm
  private let renderer = RecordRenderer()
  private var line: [UInt8] = []
  private var text: [UInt8] = []
  private var hasHeader = false

  init(_ form: OutputForm) { self.form = form }

  /// - Throws: `CommandFailure` when nobody reads any more, or a record cannot be rendered.
  func print(_ record: Record) throws {
    line.removeAll(keepingCapacity: true)
    switch form.format {
    case .raw: line += Framing.delimited(record.encoded)
    case .json: try appendJSON(record)
    case .table:
      if !hasHeader { line += (RecordRow.header(form.terminal) + "\n").utf8 }
      hasHeader = true
      try render(record)
      line += (RecordRow.text(record, body: text.isEmpty ? nil : String(decoding: text, as: UTF8.self), form.terminal) + "\n").utf8
    }
    try StandardOutput.write(line, flush: form.flushesEachRecord)
  }

  /// - Throws: `CommandFailure` when what was printed could not be written.
  func finish() throws { try StandardOutput.flush() }

  /// Puts the record's own JSON into `text`, on one line; nothing when its body was erased.
  private func render(_ record: Record) throws {
    text.removeAll(keepingCapacity: true)
    _ = try renderer.append(jsonOf: record, to: &text)
  }

  /// {"at":…,"body_sha256":…,"hub":…,"kind":…,…,"record":{…},"sequence":…}. The body's hash ties the line to the record's header, and so to
  /// its receipt.
  private func appendJSON(_ record: Record) throws {
    try render(record)
    var object = ObjectWriter(appendingTo: line.taken())
    object.optional("at", record.at)
    object.hex("body_sha256", record.bodySHA256)
    object.literal("hub", record.hub)
    object.optional("kind", record.kind)
    if let producer = record.producer { object.literal("producer", producer) }
    if let number = record.producerSequence { object.number("producer_sequence", number) }
    object.time("received_at", record.receivedAt)
    object.value("record") { out in
      if text.isEmpty { out += "null".utf8 } else { JSONText.append(lineOf: text, to: &out, isForTerminal: form.terminal != nil) }
    }
    object.number("sequence", record.sequence)
    let unknown = record.unknownFields()
    if !unknown.isEmpty { object.json("unknown_fields", Self.list(unknown)) }
    line = object.finished()
    line.append(UInt8(ascii: "\n"))
  }

  /// [{"bytes": …, "message": …, "number": …}]: what a newer hub or server put in, which this version's schema does not know.
  private static func list(_ fields: [UnknownField]) -> [UInt8] {
    let objects = fields.map { field in
      var object = ObjectWriter()
      object.hex("bytes", field.bytes)
      object.literal("message", field.message)
      object.number("number", UInt64(field.number))
      return object.finished()
    }
    return [UInt8(ascii: "[")] + objects.joined(separator: Array(", ".utf8)) + [UInt8(ascii: "]")]
  }
}
