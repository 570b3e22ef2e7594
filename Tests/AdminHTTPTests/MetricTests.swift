import AuditLog
import Testing

import AdminHTTP

/// The text that Prometheus reads.
@Suite struct MetricTests {
  @Test("samples have their labels, quoted; whole numbers have no point")
  func samples() {
    let text = Metric.text(of: [
      Metric(.gauge, "a_bytes", "Bytes.", 5), Metric(.counter, "b_total", "Of each.", 1.5, labels: [("path", "a\\b\"c\nd")]),
      Metric(.gauge, "c_seconds", "Both.", samples: [([("x", "1"), ("y", "2")], -1), ([], .infinity)]),
    ])
    #expect(
      text == """
        # HELP a_bytes Bytes.
        # TYPE a_bytes gauge
        a_bytes 5
        # HELP b_total Of each.
        # TYPE b_total counter
        b_total{path="a\\\\b\\"c\\nd"} 1.5
        # HELP c_seconds Both.
        # TYPE c_seconds gauge
        c_seconds{x="1",y="2"} -1
        c_seconds +Inf

        """)
  }

  @Test("a number too large for whole numbers of a Double stays a Double")
  func large() {
    #expect(Metric.text(of: [Metric(.gauge, "a", "A.", 1e16)]).hasSuffix("a 1e+16\n"))
  }

  @Test("a histogram has every bound, the sum and the count")
  func histogram() throws {
    var durations = DurationHistogram.Snapshot()
    durations.counts[durations.counts.count - 1] = 3
    durations.total = 4
    durations.seconds = 2.5
    let lines = Metric.text(of: [Metric("h_seconds", "H.", durations)]).split(separator: "\n").map(String.init)
    #expect(lines.count == 2 + DurationHistogram.bounds.count + 3)
    #expect(lines[1] == "# TYPE h_seconds histogram")
    let last = try #require(DurationHistogram.bounds.last)
    #expect(
      lines.suffix(4) == [
        "h_seconds_bucket{le=\"\(last)\"} 3", "h_seconds_bucket{le=\"+Inf\"} 4", "h_seconds_sum 2.5", "h_seconds_count 4",
      ])
  }
}
