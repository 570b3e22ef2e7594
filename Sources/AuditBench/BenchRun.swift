import AuditClient
import AuditSchema
import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// One run of a plan against a server.
public struct BenchRun: Sendable {
  private let name: String
  private let plan: BenchPlan
  private let configuration: ClientConfiguration
  private let threads: Int
  private let clock = BenchClock()

  /// - Parameters:
  ///   - name: of the run, for the report.
  ///   - threads: number of event loops of the process, for the report.
  public init(name: String, plan: BenchPlan, configuration: ClientConfiguration, threads: Int) {
    self.name = name
    self.plan = plan
    self.configuration = configuration
    self.threads = threads
  }

  /// All connections of a run.
  private struct Participants: Sendable {
    var clients: [AuditClient] = []
    var appenders: [Appender] = []
    var subscribers: [Subscriber] = []
    var readers: [Subscriber] = []
  }

  /// Runs the plan.
  ///
  /// - Parameter progress: called about twice per second with the elapsed time and the number of records answered, delivered and read.
  /// - Throws: `ClientError`, `BenchError`.
  public func run(progress: (@Sendable (Duration, UInt64) -> Void)? = nil) async throws -> BenchReport {
    guard plan.separatesAppenders else { return try await run(appendersOn: nil, progress) }
    let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let result: Result<BenchReport, any Error>
    do { result = .success(try await run(appendersOn: loop, progress)) } catch { result = .failure(error) }
    try await loop.shutdownGracefully()
    return try result.get()
  }

  /// - Parameter loop: the appenders' event loop; `nil`: the shared ones.
  private func run(
    appendersOn loop: (any EventLoopGroup)?, _ progress: (@Sendable (Duration, UInt64) -> Void)?
  ) async throws -> BenchReport {
    let control = try await AuditClient.connect(configuration)
    let before = try await control.health()
    if plan.readers > 0, plan.appenders == 0 {
      let stored = before.nextSequence - before.firstSequence
      let wanted = max(plan.records ?? 1, 1)
      guard stored >= wanted else {
        throw BenchError(description: "the log holds \(stored) records, fewer than the \(wanted) to be read; append some first")
      }
    }
    let start = BenchClock.now
    var participants = Participants()
    try await subscribe(&participants)
    // A filtered subscriber does not get all events, so it cannot set the pace.
    let isPaced = plan.rate == nil && plan.filters == 0 && !participants.subscribers.isEmpty
    let fanOut = isPaced ? FanOutWindow(participants.subscribers, limit: plan.inFlight * plan.appenders) : nil
    let schedule = try await prepareAppenders(&participants, fanOut, on: loop)
    try await prepareReaders(&participants)
    for subscriber in participants.subscribers { subscriber.measure(schedule.measuredFrom..<(schedule.end ?? .max), window: fanOut) }

    let cpu = Self.cpuSeconds
    let ticker = progress.map { progress in
      Task { [participants] in
        while (try? await Task.sleep(for: .milliseconds(500))) != nil {
          let done =
            participants.appenders.map { $0.recorded.load(ordering: .relaxed) }
            + (participants.subscribers + participants.readers).map { $0.records.load(ordering: .relaxed) }
          progress(.nanoseconds(Int64(BenchClock.now - start)), done.reduce(0, +))
        }
      }
    }
    defer { ticker?.cancel() }
    try await perform(participants, before: before)
    let after = try await control.health()
    try await awaitDeliveries(participants, position: after.nextSequence)
    let usedCPU = Self.cpuSeconds - cpu
    let last = try await control.health()
    for client in participants.clients { await client.close() }
    let server = server(control.welcome, before: before, after: last)
    await control.close()
    return report(participants, schedule: schedule, cpuSeconds: usedCPU, server: server)
  }

  // MARK: - Participants

  private func connect(hub: String? = nil, on loop: (any EventLoopGroup)? = nil, _ participants: inout Participants) async throws
    -> AuditClient
  {
    var configuration = configuration
    configuration.hub = hub
    configuration.eventLoops = loop
    let client = try await AuditClient.connect(configuration)
    participants.clients.append(client)
    return client
  }

  private func subscribe(_ participants: inout Participants) async throws {
    for index in 0..<plan.subscribers {
      let filter = plan.filters == 0 ? RecordFilter() : RecordFilter(channels: [EventSupply.channelID(index % plan.filters)])
      let subscriber = try Subscriber(
        client: try await connect(&participants), order: plan.filters == 0 ? .everyRecord : .filtered, plan: plan, isLatencyMeasured: true,
        clock: clock)
      try await subscriber.open(from: .latest, filter: filter)
      participants.subscribers.append(subscriber)
    }
    for subscriber in participants.subscribers { try await subscriber.untilCaughtUp() }
  }

  private func prepareAppenders(
    _ participants: inout Participants, _ fanOut: FanOutWindow?, on loop: (any EventLoopGroup)?
  ) async throws -> Appender.Schedule {
    var clients: [(AuditClient, EventSupply)] = []
    for index in 0..<plan.appenders {
      let supply = try EventSupply(
        batch: plan.batch, eventBytes: plan.eventBytes, channels: plan.filters == 0 ? EventSupply.channels : plan.filters, seed: index,
        rareEvery: plan.rareEvery)
      clients.append((try await connect(hub: "bench-\(index)", on: loop, &participants), supply))
    }
    // All are connected. They start together, 20 ms from now.
    let start = BenchClock.now + 20_000_000
    var schedule = Appender.Schedule(start: start, measuredFrom: start, end: nil, interval: nil)
    if plan.records == nil {
      schedule.measuredFrom = start + UInt64(plan.warmUp.nanoseconds)
      schedule.end = schedule.measuredFrom + UInt64(plan.duration.nanoseconds)
    }
    for (index, (client, supply)) in clients.enumerated() {
      var own = schedule
      if let rate = plan.rate {
        let interval = 1e9 * Double(plan.batch) * Double(plan.appenders) / rate
        own.interval = interval
        own.start += UInt64(interval * Double(index) / Double(plan.appenders))
      }
      let appends = plan.records.map { records in
        let whole = (records + UInt64(plan.batch) - 1) / UInt64(plan.batch)
        return whole / UInt64(plan.appenders) + (UInt64(index) < whole % UInt64(plan.appenders) ? 1 : 0)
      }
      participants.appenders.append(
        try Appender(client: client, supply: supply, plan: plan, appends: appends, schedule: own, fanOut: fanOut, clock: clock))
    }
    return schedule
  }

  private func prepareReaders(_ participants: inout Participants) async throws {
    for _ in 0..<plan.readers {
      participants.readers.append(
        try Subscriber(client: try await connect(&participants), order: .everyRecord, plan: plan, isLatencyMeasured: false, clock: clock))
    }
  }

  // MARK: - The run

  private func perform(_ participants: Participants, before: Health) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for appender in participants.appenders { group.addTask { try await appender.run() } }
      for reader in participants.readers {
        group.addTask {
          try await reader.open(from: .earliest)
          // Readers read only the records from before the run.
          try await reader.untilRecords(plan.records ?? before.nextSequence - before.firstSequence)
        }
      }
      try await group.waitForAll()
    }
  }

  /// Waits until all answered events are delivered.
  private func awaitDeliveries(_ participants: Participants, position: UInt64) async throws {
    let deadline = Task {
      try await Task.sleep(for: .seconds(30))
      for client in participants.clients { await client.close() }
    }
    defer { deadline.cancel() }
    for subscriber in participants.subscribers { try await subscriber.untilPosition(position) }
  }

  private static var cpuSeconds: Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }

  // MARK: - The report

  private func report(_ participants: Participants, schedule: Appender.Schedule, cpuSeconds: Double, server: BenchReport.Server)
    -> BenchReport
  {
    func present(_ number: Int) -> Int? { number == 0 ? nil : number }
    let appends = plan.appenders > 0
    return BenchReport(
      bench: name,
      load: .init(
        clients: present(plan.appenders), subscribers: present(plan.subscribers), filters: present(plan.filters),
        readers: present(plan.readers), inFlight: appends ? plan.inFlight : nil, batch: appends ? plan.batch : nil, rate: plan.rate,
        eventBytes: appends ? plan.eventBytes : nil, threads: threads),
      appended: appends ? appending(participants.appenders, schedule) : nil,
      delivered: participants.subscribers.isEmpty ? nil : delivery(participants.subscribers, schedule),
      read: participants.readers.isEmpty ? nil : reading(participants.readers),
      clientCPUSeconds: (cpuSeconds * 1000).rounded() / 1000, server: server)
  }

  private func appending(_ appenders: [Appender], _ schedule: Appender.Schedule) -> BenchReport.Appending {
    let last = appenders.map { $0.lastAnswer.load(ordering: .relaxed) }.max() ?? 0
    var end = schedule.end ?? last
    // An open loop lasts longer if the server cannot keep up.
    if plan.rate != nil { end = max(end, last) }
    let seconds = Double(max(end, schedule.measuredFrom + 1) - schedule.measuredFrom) / 1e9
    let measured = appenders.reduce(0) { $0 + $1.measured.load(ordering: .relaxed) }
    return .init(
      records: appenders.reduce(0) { $0 + $1.recorded.load(ordering: .relaxed) },
      refused: appenders.reduce(0) { $0 + $1.refused.load(ordering: .relaxed) }, seconds: seconds,
      perSecond: (Double(measured) / seconds).rounded(), latencyMicroseconds: Latencies.summary(appenders.map(\.latencies)))
  }

  private func delivery(_ subscribers: [Subscriber], _ schedule: Appender.Schedule) -> BenchReport.Delivery {
    let end = schedule.end ?? subscribers.map { $0.lastArrival.load(ordering: .relaxed) }.max() ?? 0
    let seconds = Double(max(end, schedule.measuredFrom + 1) - schedule.measuredFrom) / 1e9
    let measured = subscribers.reduce(0) { $0 + $1.measured.load(ordering: .relaxed) }
    return .init(
      records: subscribers.reduce(0) { $0 + $1.records.load(ordering: .relaxed) },
      disorder: subscribers.reduce(0) { $0 + $1.disorder.load(ordering: .relaxed) }, seconds: seconds,
      perSecond: (Double(measured) / seconds).rounded(), latencyMicroseconds: Latencies.summary(subscribers.map(\.latencies)))
  }

  private func reading(_ readers: [Subscriber]) -> BenchReport.Reading {
    let start = readers.map { $0.opened.load(ordering: .relaxed) }.min() ?? 0
    let end = readers.map { $0.lastArrival.load(ordering: .relaxed) }.max() ?? 0
    let seconds = Double(max(end, start + 1) - start) / 1e9
    let first = Latencies()
    for reader in readers {
      first.record(
        microseconds: (reader.firstArrival.load(ordering: .relaxed) - reader.opened.load(ordering: .relaxed)) / 1000, count: 1)
    }
    let records = readers.reduce(0) { $0 + $1.records.load(ordering: .relaxed) }
    return .init(
      records: records, bytes: readers.reduce(0) { $0 + $1.bytes.load(ordering: .relaxed) },
      disorder: readers.reduce(0) { $0 + $1.disorder.load(ordering: .relaxed) }, seconds: seconds,
      perSecond: (Double(records) / seconds).rounded(), firstRecordMicroseconds: Latencies.summary([first]))
  }

  private func server(_ welcome: Welcome, before: Health, after: Health) -> BenchReport.Server {
    let records = after.recordsAppended - min(before.recordsAppended, after.recordsAppended)
    let commits = after.commits - min(before.commits, after.commits)
    let bytes = after.logBytes - min(before.logBytes, after.logBytes)
    func ratio(_ number: UInt64, _ count: UInt64) -> Double? { count == 0 ? nil : (Double(number) / Double(count) * 10).rounded() / 10 }
    return .init(
      address: "\(configuration.address)", software: welcome.server,
      durability: "protocol \(welcome.version): synced before answered, answered before pushed",
      limits: .init(welcome.limits), records: records, commits: commits, recordsPerCommit: ratio(records, commits),
      bytesPerRecord: ratio(bytes, records), recordsBefore: before.nextSequence - before.firstSequence)
  }
}

extension Duration {
  var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
