import ArgumentParser
import AuditBench
import AuditClient
import Foundation
import HubauditSettings
import NIOCore

struct BenchAppendOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Connections that append, each as a hub of its own.") var clients = 1
  @Option(
    parsing: .unconditional, help: "Events that each of them may have under way: unanswered, or not yet delivered to every subscriber.")
  var inFlight: Int?
  @Option(parsing: .unconditional, help: "Events in one append.") var batch = 1
  @Option(parsing: .unconditional, help: "Events a second of all clients together: an open loop. Default: as fast as the answers come.")
  var rate: Double?
  @Option(parsing: .unconditional, help: "Bytes of an event as it is sent.") var size = 200
  @Option(help: .init("One event in so many is of the agent \(BenchPlan.rareAgent); a multiple of --batch.", visibility: .hidden))
  var rareEvery: Int?

  func fill(_ plan: inout BenchPlan) throws {
    plan.appenders = try BenchOptions.number("--clients", clients, in: 1...10_000)
    plan.batch = try BenchOptions.number("--batch", batch, in: 1...100_000)
    plan.eventBytes = try BenchOptions.number("--size", size, in: 1...1 << 24)
    if let rareEvery {
      guard rareEvery > 0, rareEvery % plan.batch == 0 else {
        throw CommandFailure(.usage, "--rare-every: \(rareEvery) is not a multiple of --batch, \(plan.batch)")
      }
      plan.rareEvery = rareEvery
    }
    if let rate {
      guard rate > 0, rate <= 1e8 else {
        throw CommandFailure(.usage, "--rate: \(rate) is not more than 0 and at most 100000000 events a second")
      }
      plan.rate = rate
    }
    // With a rate, appends are sent when they are due, however many are unanswered.
    plan.inFlight = try BenchOptions.number("--in-flight", inFlight ?? (rate == nil ? plan.batch : 1_000_000), in: plan.batch...10_000_000)
  }
}

struct BenchSubscribeOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Connections that follow the log.") var subscribers = 1
  @Option(parsing: .unconditional, help: "Different filters that they share, each for one channel of so many; 0: no filter.") var filters =
    0

  func fill(_ plan: inout BenchPlan) throws {
    plan.subscribers = try BenchOptions.number("--subscribers", subscribers, in: 1...10_000)
    plan.filters = try BenchOptions.number("--filters", filters, in: 0...10_000)
  }
}

struct BenchRunOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Events to append in all, in whole appends; instead of --duration.") var records: UInt64?
  @Option(parsing: .unconditional, help: "How long to measure, such as 500ms or 10s.") var duration: String?
  @Option(parsing: .unconditional, help: "How long to run before that.") var warmUp = "500ms"
  @Option(parsing: .unconditional, help: "Threads of this program that serve connections; default: one for each processor.") var threads:
    Int?
  @Flag(help: "Print one JSON object.") var json = false

  func run(_ name: String, _ plan: inout BenchPlan, _ connection: ConnectionOptions) async throws {
    if let records {
      guard duration == nil else { throw CommandFailure(.usage, "give --records or --duration, not both") }
      plan.records = try BenchOptions.number("--records", records, in: 1...UInt64(Int.max))
    }
    plan.duration = try BenchOptions.duration("--duration", duration ?? "5s")
    plan.warmUp = try BenchOptions.duration("--warm-up", warmUp)
    try await BenchOptions.run(name, plan, connection, threads: threads, json: json)
  }
}

/// Options of all benchmarks.
enum BenchOptions {
  static func number<Number: BinaryInteger>(_ option: String, _ value: Number, in range: ClosedRange<Number>) throws -> Number {
    guard range.contains(value) else {
      throw CommandFailure(.usage, "\(option): \(value) is not between \(range.lowerBound) and \(range.upperBound)")
    }
    return value
  }

  static func duration(_ option: String, _ text: String) throws -> Duration {
    guard let duration = Amount.duration(text), duration <= .seconds(86_400) else {
      throw CommandFailure(.usage, "\(option): \"\(text)\" is not a time such as 500ms or 10s, a day at most")
    }
    return duration
  }

  static func run(_ name: String, _ plan: BenchPlan, _ connection: ConnectionOptions, threads: Int?, json: Bool) async throws {
    let threads = try number("--threads", threads ?? System.coreCount, in: 1...1024)
    // Before the first connection, which makes the event loops.
    NIOSingletons.groupLoopCountSuggestion = threads
    let connections = plan.appenders + plan.subscribers + plan.readers
    let loops = threads + (plan.separatesAppenders ? 1 : 0)
    try FileLimit.require(FileLimit.client + loops * FileLimit.eventLoop + connections)
    let bench = BenchRun(name: name, plan: plan, configuration: try connection.configuration(), threads: threads)
    let isTerminal = isatty(STDERR_FILENO) == 1
    let report = try await ConnectionOptions.reporting {
      do {
        return try await bench.run(progress: isTerminal ? BenchOutput.progress : nil)
      } catch let error as BenchError {
        throw CommandFailure(.failure, error.description)
      }
    }
    if isTerminal { StandardError.clearLine() }
    if json {
      let encoder = JSONEncoder.sorted
      encoder.keyEncodingStrategy = .convertToSnakeCase
      try StandardOutput.json([UInt8](try encoder.encode(report)))
    } else {
      BenchOutput.print(report)
    }
    if (report.delivered?.disorder ?? 0) + (report.read?.disorder ?? 0) > 0 {
      throw CommandFailure(.failure, "the server sent records out of order, twice or not at all")
    }
  }
}
