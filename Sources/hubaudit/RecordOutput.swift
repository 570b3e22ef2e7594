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
  /// The terminal on standard output; `nil` if it is none.
  var terminal: Terminal?
  var flushesEachRecord: Bool
}

/// Prints records on standard output, with buffers that are used again.
final class RecordPrinter {
  private let form: OutputForm
  private let renderer = RecordRenderer()
  private let line = TextBuffer()
  private var hasHeader = false

  init(_ form: OutputForm) {
    self.form = form
    if !form.flushesEachRecord { StandardOutput.useLargeBuffer() }
  }

  /// - Throws: `CommandFailure` if the reader is gone, or a record cannot be rendered.
  func print(_ record: Record) throws {
    line.removeAll()
    switch form.format {
    case .raw: return try StandardOutput.write(Framing.delimited(record.encoded), flush: form.flushesEachRecord)
    case .json: try renderer.append(lineOf: record, to: line, isForTerminal: form.terminal != nil)
    case .table:
      let body = try renderer.json(of: record).flatMap { $0.isEmpty ? nil : String(decoding: $0, as: UTF8.self) }
      if !hasHeader { line.append(RecordRow.header(form.terminal) + "\n") }
      hasHeader = true
      line.append(RecordRow.text(record, body: body, form.terminal) + "\n")
    }
    try StandardOutput.write(line.bytes, flush: form.flushesEachRecord)
  }

  /// - Throws: `CommandFailure` if buffered output could not be written.
  func finish() throws { try StandardOutput.flush() }
}
