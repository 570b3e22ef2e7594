import AuditLog

/// One metric with its samples, as Prometheus counts: base units, `_total`, `_seconds`, `_bytes`, no ids as labels.
public struct Metric: Sendable {
  public enum Kind: String, Sendable { case counter, gauge, histogram }

  public var name: String
  public var help: String
  public var kind: Kind
  public var samples: [(labels: [(name: String, value: String)], value: Double)]
  private var durations: DurationHistogram.Snapshot?

  /// A histogram in seconds.
  public init(_ name: String, _ help: String, _ durations: DurationHistogram.Snapshot) {
    self.init(.histogram, name, help, samples: [])
    self.durations = durations
  }

  public init(_ kind: Kind, _ name: String, _ help: String, _ value: Double, labels: [(name: String, value: String)] = []) {
    self.name = name
    self.help = help
    self.kind = kind
    samples = [(labels, value)]
  }

  public init(_ kind: Kind, _ name: String, _ help: String, samples: [(labels: [(name: String, value: String)], value: Double)]) {
    self.name = name
    self.help = help
    self.kind = kind
    self.samples = samples
  }

  /// Text exposition format 0.0.4.
  package static func text(of metrics: [Metric]) -> String {
    var out = ""
    for metric in metrics {
      out += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.kind.rawValue)\n"
      if let durations = metric.durations {
        for (bound, count) in zip(DurationHistogram.bounds, durations.counts) { out += "\(metric.name)_bucket{le=\"\(bound)\"} \(count)\n" }
        out += "\(metric.name)_bucket{le=\"+Inf\"} \(durations.total)\n"
        out += "\(metric.name)_sum \(durations.seconds)\n\(metric.name)_count \(durations.total)\n"
      }
      for (labels, value) in metric.samples {
        let inner = labels.map { "\($0.name)=\"\(escaped($0.value))\"" }.joined(separator: ",")
        out += metric.name + (labels.isEmpty ? "" : "{\(inner)}") + " \(number(value))\n"
      }
    }
    return out
  }

  private static func escaped(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }

  private static func number(_ value: Double) -> String {
    if value == .infinity { return "+Inf" }
    return value == value.rounded() && abs(value) < 9e15 ? "\(Int64(value))" : "\(value)"
  }
}
