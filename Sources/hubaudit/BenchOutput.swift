import AuditBench

/// A report as text.
enum BenchOutput {
  static func print(_ report: BenchReport) {
    if let appended = report.appended {
      row("appended", "\(grouped(appended.perSecond))/s for \(seconds(appended.seconds)), \(grouped(appended.records)) records in all")
      if appended.refused > 0 { row("refused", "\(grouped(appended.refused)) events") }
      row("answered", latency(appended.latencyMicroseconds))
    }
    if let delivered = report.delivered {
      row("delivered", "\(grouped(delivered.perSecond))/s for \(seconds(delivered.seconds)) to \(report.load.subscribers ?? 0) subscribers")
      row("after", latency(delivered.latencyMicroseconds))
    }
    if let read = report.read {
      row(
        "read", "\(grouped(read.perSecond))/s, \(grouped(read.records)) records of \(grouped(read.bytes)) bytes in \(seconds(read.seconds))"
      )
      row("first after", latency(read.firstRecordMicroseconds))
    }
    let server = report.server
    row("load", load(report.load) + ", \(seconds(report.clientCPUSeconds)) of CPU here")
    row("server", "\(TerminalText.escaped(server.software)) at \(server.address), \(grouped(server.recordsBefore)) records before")
    row("durability", server.durability)
    if let perCommit = server.recordsPerCommit, let bytes = server.bytesPerRecord {
      row("commits", "\(grouped(server.commits)), \(perCommit) records and one sync each; \(bytes) bytes a record on disk")
    }
  }

  /// Progress: one line that is written over.
  @Sendable static func progress(_ time: Duration, _ records: UInt64) {
    StandardError.write("\r\(grouped(records)) records in \(time.components.seconds) s ")
  }

  private static func row(_ name: String, _ text: String) {
    hubaudit.print(name + String(repeating: " ", count: max(1, 12 - name.count)) + text)
  }

  private static func load(_ load: BenchReport.Load) -> String {
    var parts: [String] = []
    if let clients = load.clients, let inFlight = load.inFlight, let batch = load.batch, let bytes = load.eventBytes {
      let pace = load.rate.map { "\(grouped($0))/s asked for" } ?? "\(grouped(inFlight)) in flight each"
      parts.append("\(clients) clients, \(pace), \(grouped(batch)) an append, \(grouped(bytes)) bytes an event")
    }
    if let subscribers = load.subscribers {
      parts.append("\(subscribers) subscribers" + (load.filters.map { " with \($0) filters" } ?? ""))
    }
    if let readers = load.readers { parts.append("\(readers) readers") }
    return parts.joined(separator: ", ") + ", \(load.threads) threads"
  }

  private static func latency(_ summary: LatencySummary?) -> String {
    guard let summary else { return "nothing measured" }
    return
      "p50 \(time(summary.p50))  p90 \(time(summary.p90))  p99 \(time(summary.p99))  p99.9 \(time(summary.p999))  max \(time(summary.max))"
  }

  private static func time(_ microseconds: UInt64) -> String {
    microseconds < 10_000 ? "\(microseconds) µs" : "\(Double(microseconds / 100) / 10) ms"
  }

  private static func seconds(_ seconds: Double) -> String { "\((seconds * 100).rounded() / 100) s" }

  static func grouped(_ value: some BinaryInteger) -> String {
    let digits = String(value)
    var out = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { out += "," }
      out.append(digit)
    }
    return out
  }

  static func grouped(_ value: Double) -> String { grouped(UInt64(max(0, value.rounded()))) }
}
