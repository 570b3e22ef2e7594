import ArgumentParser
import AuditBench
import AuditClient
import AuditSchema
import Foundation

/// `hubaudit bench`: loads a running server and measures it.
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure a running server.",
    discussion: """
      hubaudit bench append --clients 8 --in-flight 1000     how many events a second, all of them on disk before they are answered
      hubaudit bench append --rate 5000                      an open loop: latency counts from when an append was due
      hubaudit bench tail --subscribers 100 --rate 5000      from append to delivery
      hubaudit bench read --records 1000000                  how fast the log is replayed
      hubaudit bench mixed --clients 2 --subscribers 10 --readers 2 --rate 2000

      Beside subscribers or readers, what appends has a thread of its own, as a hub has a process of its own: its latencies are the server's, and \
      not the time that this program takes to receive what the subscribers are sent.

      What is appended stays in the log: use a server of its own. Latencies are percentiles of a histogram with three significant digits. \
      --json prints one object with everything, the server's limits and what its answers promise included.
      """,
    subcommands: [Append.self, Tail.self, Read.self, Mixed.self])

  struct Append: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Append events; measure from sending to the answer.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var options: BenchRunOptions
    @OptionGroup var appending: BenchAppendOptions

    func run() async throws {
      var plan = BenchPlan()
      try appending.fill(&plan)
      try await options.run("append", &plan, connection)
    }
  }

  struct Tail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Append events and follow the log with subscribers; measure from append to delivery too.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var options: BenchRunOptions
    @OptionGroup var appending: BenchAppendOptions
    @OptionGroup var subscribing: BenchSubscribeOptions

    func run() async throws {
      var plan = BenchPlan()
      try appending.fill(&plan)
      try subscribing.fill(&plan)
      try await options.run("tail", &plan, connection)
    }
  }

  struct Read: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Replay the log from its start, by --clients at the same time.")
    @OptionGroup var connection: ConnectionOptions
    @Option(parsing: .unconditional, help: "Connections that read.") var clients = 1
    @Option(parsing: .unconditional, help: "Records for each of them; default: all that the log holds.") var records: UInt64?
    @Flag(help: "Print one JSON object.") var json = false
    @Option(parsing: .unconditional, help: "Threads of this program that serve connections; default: one for each processor.") var threads:
      Int?

    func run() async throws {
      var plan = BenchPlan()
      plan.readers = try BenchOptions.number("--clients", clients, in: 1...10_000)
      plan.records = try records.map { try BenchOptions.number("--records", $0, in: 1...UInt64(Int.max)) }
      try await BenchOptions.run("read", plan, connection, threads: threads, json: json)
    }
  }

  struct Mixed: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "All at once: append, follow the log, and replay it from its start.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var options: BenchRunOptions
    @OptionGroup var appending: BenchAppendOptions
    @OptionGroup var subscribing: BenchSubscribeOptions
    @Option(parsing: .unconditional, help: "Connections that replay what the log holds when the run begins.") var readers = 1

    func run() async throws {
      var plan = BenchPlan()
      try appending.fill(&plan)
      try subscribing.fill(&plan)
      plan.readers = try BenchOptions.number("--readers", readers, in: 0...10_000)
      try await options.run("mixed", &plan, connection)
    }
  }
}
