extension Settings {
  /// Every setting of the server: the one place that says its name, kind, range, default and meaning. Flags, variables, the configuration
  /// file, help, `config show` and the values that the server takes all come from here. A new one also needs its flag in `SettingOptions` and its use in
  /// `ServerSettings`. Rules between settings are in `checkRules`.
  package static let all: [Setting] = [
    Setting(name: "data", kind: .text, defaultValue: "hubaudit-data", help: "Data directory. Created if it is missing."),
    Setting(
      name: "listen", kind: .text, defaultValue: "127.0.0.1:7411",
      help: "Addresses for hubs and subscribers, separated by commas: host:port (0: any free port) or unix:PATH."),
    Setting(
      name: "unix-mode", kind: .choice(["0600", "0660", "0666"]), defaultValue: "0600",
      help: "Permissions of Unix sockets, octal. Who may write may connect."),
    Setting(name: "http-listen", kind: .text, defaultValue: "127.0.0.1:7412", help: "Address for health and metrics over HTTP, or off."),
    Setting(
      name: "http-hosts", kind: .text, defaultValue: "",
      help: "Host names that HTTP requests may use besides addresses and localhost, separated by commas."),
    Setting(
      name: "http-connections", kind: .count(1...100_000), defaultValue: "128",
      help: "Maximum HTTP connections. At the limit, the one that has waited longest makes room."),
    Setting(
      name: "public-evidence", kind: .flag, defaultValue: "false",
      help: "With access: everybody may have checkpoints and hash tiles over HTTP. They tell nothing of any record."),
    Setting(
      name: "insecure-listen", kind: .flag, defaultValue: "false", help: "Allow an address other than loopback without TLS and access."),
    Setting(
      name: "access", kind: .text, defaultValue: "",
      help:
        "File that says who may do what (hubaudit access). Empty: everybody may do everything. Read again when it changes, and at SIGHUP."),
    Setting(
      name: "audit-reads", kind: .choice(["best-effort", "required"]), defaultValue: "best-effort",
      help: "With access, reads are records of the log. best-effort: they go on when none can be stored; required: they are refused then."),
    Setting(
      name: "tls-cert", kind: .text, defaultValue: "",
      help: "File of the server's certificate chain (PEM): listen and http-listen speak TLS 1.3. Read again when it changes, and at SIGHUP."
    ),
    Setting(
      name: "tls-key", kind: .text, defaultValue: "", help: "File of the private key of tls-cert (PEM), readable for its owner only."),
    Setting(
      name: "client-ca", kind: .text, defaultValue: "", help: "File of the roots that sign clients' certificates (PEM). Needs access."),
    Setting(name: "log-format", kind: .choice(["auto", "json", "text"]), defaultValue: "auto", help: "auto: JSON unless on a terminal."),
    Setting(
      name: "log-level", kind: .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]), defaultValue: "info",
      help: "What is logged. SIGHUP reads it again."),
    Setting(
      name: "signing-key", kind: .text, defaultValue: "",
      help: "File of the key that signs checkpoints (hubaudit keygen). During a change of keys: old and new, separated by a comma."),
    Setting(
      name: "make-key", kind: .flag, defaultValue: "false",
      help: "Make the key file of signing-key if it is missing and the log is new: no records, never signed. Back it up."),
    Setting(
      name: "origin", kind: .text, defaultValue: "",
      help:
        "Name of the log and of its key, such as audit.example.com/hubs. Empty: the key's name; with make-key, the machine's name and a random part."
    ),
    Setting(
      name: "key-group-readable", kind: .flag, defaultValue: "false",
      help: "Accept a key file that its group may read (Kubernetes secrets, systemd's LoadCredential)."),
    Setting(
      name: "accept-new-key", kind: .flag, defaultValue: "false",
      help: "Sign even though none of the keys has signed the newest checkpoint: the old key is lost."),
    Setting(
      name: "checkpoint-interval", kind: .duration(atLeast: .milliseconds(1)), defaultValue: "900ms",
      help: "Maximum time from a record to a signed checkpoint that covers it."),
    Setting(
      name: "checkpoint-rate", kind: .count(1...10_000), defaultValue: "20",
      help: "Maximum checkpoints a second that are signed on request. Further requests wait and share one."),
    Setting(
      name: "checkpoints", kind: .text, defaultValue: "",
      help: "Directory for signed checkpoints, better on another disk. Empty: in the data directory."),
    Setting(
      name: "witnesses", kind: .text, defaultValue: "",
      help: "File with the policy (C2SP tlog-policy) that names the witnesses of checkpoints."),
    Setting(
      name: "witness-cacert", kind: .text, defaultValue: "",
      help: "File of the roots that sign the certificates of witnesses with https URLs (PEM). Empty: the system's."),
    Setting(
      name: "scrub-bytes", kind: .bytes(0...1 << 40), defaultValue: "8388608",
      help: "Bytes a second that the scrub reads to find damage; 0: no scrub."),
    Setting(name: "scrub-pause", kind: .duration(atLeast: .milliseconds(1)), defaultValue: "1h", help: "Pause between full scrubs."),
    Setting(
      name: "search-bytes", kind: .bytes(0...1 << 40), defaultValue: "33554432",
      help: "Bytes a second that are read to index full segments for filtered reads; 0: no indexing."),
    Setting(name: "segment-bytes", kind: .bytes(65_536...1 << 40), defaultValue: "67108864", help: "Size of a segment file."),
    Setting(name: "frame-bytes", kind: .bytes(524_288...33_554_432), defaultValue: "1048576", help: "Maximum size of a frame."),
    Setting(
      name: "record-bytes", kind: .bytes(1024...33_550_336), defaultValue: "1044480",
      help: "Maximum size of a record; at least 4096 less than frame-bytes."),
    Setting(name: "append-events", kind: .count(1...1_000_000), defaultValue: "10000", help: "Maximum events in one append."),
    Setting(
      name: "pending-append-bytes", kind: .bytes(65_536...1 << 30), defaultValue: "8388608",
      help: "Maximum bytes of one connection's appends that wait for the disk."),
    Setting(
      name: "queue-bytes", kind: .bytes(1 << 20...1 << 34), defaultValue: "16777216",
      help: "Maximum bytes of all appends that wait for the disk. Beyond it, appends are refused."),
    Setting(
      name: "decode-bytes", kind: .bytes(1 << 20...1 << 34), defaultValue: "16777216", help: "Maximum memory for decoding one frame."),
    Setting(
      name: "tail-bytes", kind: .bytes(65_536...1 << 34), defaultValue: "8388608",
      help: "Bytes of the newest records that are kept in memory for subscribers."),
    Setting(
      name: "producers", kind: .count(8...150_000), defaultValue: "65536",
      help: "Maximum producers without a connection that are remembered."),
    Setting(
      name: "hub-producers", kind: .count(1...150_000), defaultValue: "4096",
      help: "Maximum producers of one hub without a connection that are remembered."),
    Setting(
      name: "producer-jump", kind: .count(0...1 << 40), defaultValue: "100000", help: "How many numbers a producer may skip in its hello."),
    Setting(name: "connections", kind: .count(1...1_000_000), defaultValue: "10000", help: "Maximum connections."),
    Setting(
      name: "receive-bytes", kind: .bytes(2_097_152...1 << 40), defaultValue: "67108864",
      help: "Maximum bytes of unfinished frames of all connections."),
    Setting(
      name: "send-bytes", kind: .bytes(2_097_152...1 << 40), defaultValue: "268435456",
      help: "About the maximum bytes that the peers of all connections have not read."),
    Setting(name: "subscriptions", kind: .count(0...100_000), defaultValue: "64", help: "Maximum subscriptions of one connection."),
    Setting(name: "reads", kind: .count(0...10_000), defaultValue: "16", help: "Maximum reads under way on one connection."),
    Setting(name: "credit-bytes", kind: .bytes(65_536...1 << 40), defaultValue: "67108864", help: "Maximum credit of a subscription."),
    Setting(name: "filter-values", kind: .count(1...100_000), defaultValue: "1000", help: "Maximum values in all lists of one filter."),
    Setting(
      name: "filter-bytes", kind: .bytes(256...1 << 24), defaultValue: "65536",
      help: "Maximum bytes of one filter's values. One connection may hold four such filters."),
    Setting(
      name: "all-filter-bytes", kind: .bytes(1 << 20...1 << 40), defaultValue: "67108864",
      help: "Maximum memory of the filters of all connections."),
    Setting(
      name: "hello-timeout", kind: .duration(atLeast: .milliseconds(1)), defaultValue: "2s",
      help: "Maximum time from accept to a whole hello."),
    Setting(
      name: "frame-timeout", kind: .duration(atLeast: .milliseconds(1)), defaultValue: "30s",
      help: "Maximum time from a frame's first byte to its last."),
    Setting(
      name: "write-timeout", kind: .duration(atLeast: .milliseconds(1)), defaultValue: "10s",
      help: "How long a peer may read nothing while bytes wait for it."),
    Setting(
      name: "keepalive-timeout", kind: .duration(atLeast: .seconds(2), atMost: .seconds(18 * 3600)), defaultValue: "2m",
      help: "How long a silent peer's host may leave TCP keep-alive probes unanswered."),
    Setting(
      name: "credit-timeout", kind: .duration(atLeast: .milliseconds(1)), defaultValue: "60s",
      help: "How long a subscription may lack credit while records wait for it."),
    Setting(
      name: "drain-timeout", kind: .duration(atLeast: .milliseconds(1)), defaultValue: "10s",
      help: "How long a shutdown waits for appends under way."),
    Setting(name: "event-loops", kind: .count(1...256), defaultValue: "1", help: "Number of threads that serve connections."),
    Setting(
      name: "read-threads", kind: .count(1...256), defaultValue: "2",
      help: "Number of threads that read the disk for readers behind the tail."),
  ]
}
