import AccessControl
import AdminHTTP
import AuditHTTP
import AuditLog
import AuditSchema
import AuditServer
import AuditWitness

/// The server's state as metrics.
enum ServerMetrics {
  static func current(
    _ server: AuditServer, _ cosignatures: CosignatureCollector?, _ disk: DiskRoom, _ refusals: HTTPRefusals
  ) -> [Metric] {
    let health = server.health()
    return condition(server, health) + load(server.load) + access(server, refusals) + files(health, disk.current())
      + (cosignatures.map(witnesses) ?? []) + ProcessMetrics.current()
  }

  private static func condition(_ server: AuditServer, _ health: Health) -> [Metric] {
    [
      Metric(.gauge, "hubaudit_build_info", "Version of the server.", 1, labels: [("version", Hubaudit.version)]),
      Metric(.gauge, "hubaudit_ready", "1 when the log takes appends.", health.status == .ok ? 1 : 0),
      Metric(.gauge, "hubaudit_uptime_seconds", "Time since the start.", Double(health.uptimeNanoseconds / 1_000_000) / 1000),
      Metric(.counter, "hubaudit_records_appended_total", "Records made durable since the start.", Double(health.recordsAppended)),
      Metric(.counter, "hubaudit_commits_total", "Commits (one write and one sync each) since the start.", Double(health.commits)),
      Metric("hubaudit_append_duration_seconds", "From an append's first event to its answer.", server.appendDurations),
      Metric("hubaudit_sync_duration_seconds", "The sync of a commit.", server.syncDurations),
      Metric(.gauge, "hubaudit_log_records", "Records in the log.", Double(health.nextSequence - health.firstSequence)),
      Metric(.gauge, "hubaudit_log_bytes", "Bytes of all segments.", Double(health.logBytes)),
      Metric(.gauge, "hubaudit_log_segments", "Segment files.", Double(health.segments)),
      Metric(.gauge, "hubaudit_torn_bytes", "Bytes that recovery cut from the torn end at the last start.", Double(health.tornBytes)),
      Metric(.counter, "hubaudit_scrubbed_records_total", "Records read again in the background.", Double(health.scrubbedRecords)),
      Metric(.counter, "hubaudit_scrubbed_bytes_total", "Bytes read again in the background.", Double(health.scrubbedBytes)),
      Metric(.counter, "hubaudit_scrub_rounds_total", "Whole rounds over all sealed segments.", Double(health.scrubRounds)),
      Metric(.gauge, "hubaudit_damaged_segments", "Sealed segments that the scrub found damaged.", Double(health.damage.count)),
      Metric(
        .gauge, "hubaudit_checkpoint_records", "Records that the newest signed checkpoint covers.", Double(health.checkpointSize ?? 0)),
      Metric(
        .counter, "hubaudit_clock_steps_total", "How often the machine's clock was found set since the start.",
        Double(health.clockSteps)),
      Metric(
        .gauge, "hubaudit_clock_step_seconds", "By how much it was set the last time; less than 0: back.",
        health.clockStep.map { (Double($0.to) - Double($0.from)) / 1e9 } ?? 0),
      Metric(.gauge, "hubaudit_connections", "Open connections.", Double(health.connections)),
      Metric(.gauge, "hubaudit_subscriptions", "Open subscriptions.", Double(health.subscriptions)),
    ]
  }

  private static func load(_ load: ServerLoad) -> [Metric] {
    // Every code from the start on, so that the first refusal is an increase.
    let codes = RequestError.Code.allCases.filter { !$0.endsConnection }
    return [
      Metric(
        .counter, "hubaudit_appends_refused_total", "Appends that were answered with an error, by its code.",
        samples: codes.map { ([("code", name($0))], Double(load.refusedAppends[$0] ?? 0)) }),
      Metric(
        .counter, "hubaudit_received_bytes_total", "Bytes that came over all connections; HTTP is not counted.", Double(load.receivedBytes)),
      Metric(
        .counter, "hubaudit_sent_bytes_total", "Bytes that were written to all connections; HTTP is not counted.", Double(load.sentBytes)),
      Metric(.counter, "hubaudit_stored_bytes_total", "Bytes of records made durable since the start.", Double(load.storedBytes)),
      Metric(.gauge, "hubaudit_append_queue_requests", "Appends that wait for the writer.", Double(load.queuedAppends)),
      Metric(
        .gauge, "hubaudit_append_queue_bytes", "Bytes of appends that wait for the writer (queue-bytes is the limit).",
        Double(load.queuedBytes)),
      Metric(
        .gauge, "hubaudit_lagging_subscriptions", "Subscriptions that have not looked at all records yet.",
        Double(load.laggingSubscriptions)),
      Metric(
        .gauge, "hubaudit_subscription_lag_records", "Records that the subscription furthest behind has not looked at yet.",
        Double(load.largestLag)),
    ]
  }

  private static func access(_ server: AuditServer, _ refusals: HTTPRefusals) -> [Metric] {
    let failures = server.access?.failureCounts ?? [:]
    let denials = server.access?.denialCounts ?? [:]
    let trail = server.accessRecords
    let certificate = server.certificateExpiresAt.map { expiresAt in
      Metric(
        .gauge, "hubaudit_certificate_expiry_timestamp_seconds", "When the server's certificate expires, in Unix time.",
        Double(expiresAt / 1_000_000_000))
    }
    return [
      Metric(.counter, "hubaudit_access_records_written_total", "Records of the log about access.", Double(trail.written)),
      Metric(
        .counter, "hubaudit_access_records_suppressed_total", "Refusals without a record of their own; they are counted in another.",
        Double(trail.suppressed)),
      Metric(
        .counter, "hubaudit_access_records_lost_total", "Records about access that could not be stored.", Double(trail.lost)),
      Metric(
        .counter, "hubaudit_ended_total", "Connections and subscriptions that the server ended, or that broke, by reason.",
        samples: server.endedPeers.map { ([("reason", $0.reason)], Double($0.count)) }),
      Metric(
        .counter, "hubaudit_http_refused_total", "HTTP connections and requests that were refused whoever sent them, by cause.",
        samples: refusals.all.map { ([("cause", $0.cause)], Double($0.count)) }),
      Metric(
        .counter, "hubaudit_unauthenticated_total", "Connections and HTTP requests whose credentials were refused, by cause.",
        samples: AuthenticationFailure.Cause.allCases.map { ([("cause", $0.rawValue)], Double(failures[$0] ?? 0)) }),
      Metric(
        .counter, "hubaudit_denied_total", "Requests that were refused for want of a right, by the right.",
        samples: ["publish", "read", "prove", "erase", "operate"].map { ([("right", $0)], Double(denials[$0] ?? 0)) }),
    ] + [certificate].compactMap(\.self)
  }

  /// As PROTOCOL.md writes it: producerGap is PRODUCER_GAP.
  private static func name(_ code: RequestError.Code) -> String {
    var name = ""
    var isAfterLowercase = false
    for character in "\(code)" {
      if character.isUppercase, isAfterLowercase { name += "_" }
      isAfterLowercase = character.isLowercase
      name += character.uppercased()
    }
    return name
  }

  private static func files(_ health: Health, _ freeBytes: UInt64?) -> [Metric] {
    var metrics: [Metric] = []
    // What was removed, replaced or unmounted is told by hubaudit_ready.
    if let freeBytes {
      metrics.append(
        Metric(
          .gauge, "hubaudit_data_free_bytes", "Bytes that the server may still take on the data directory's file system.",
          Double(freeBytes)))
    }
    if let storedAt = health.checkpointStoredAt {
      // The machine's clock may have been set back since.
      let age = health.now - min(storedAt, health.now)
      metrics.append(
        Metric(.gauge, "hubaudit_checkpoint_age_seconds", "Time since the newest signed checkpoint was stored.", Double(age) / 1e9))
    }
    return metrics
  }

  private static func witnesses(_ collector: CosignatureCollector) -> [Metric] {
    let statuses = collector.statuses
    func metric(_ kind: Metric.Kind, _ name: String, _ help: String, _ value: (WitnessStatus) -> Double) -> Metric {
      Metric(kind, name, help, samples: statuses.map { ([("witness", $0.name)], value($0.status)) })
    }
    return [
      Metric(
        .gauge, "hubaudit_cosigned_records", "Records covered by the newest checkpoint that was served with a quorum of witnesses.",
        Double(collector.quorumSize)),
      metric(.gauge, "hubaudit_witness_cosigned_records", "Records that the newest checkpoint a witness has cosigned covers.") {
        Double($0.cosignedSize)
      },
      metric(.gauge, "hubaudit_witness_failing", "1 while the last submission to a witness was of no use.") { $0.failure == nil ? 0 : 1 },
      metric(.gauge, "hubaudit_witness_contradicts", "1 while a witness says that this log is not the one it cosigned.") {
        $0.isContradicted ? 1 : 0
      },
      metric(.counter, "hubaudit_witness_failures_total", "Submissions to a witness that were of no use.") { Double($0.failures) },
    ]
  }
}
