import ArgumentParser

/// The flags of `serve` and `config show`: one for every `Setting`.
struct SettingOptions: ParsableArguments {
  @Option(help: "Configuration file: name = value lines (or HUBAUDIT_CONFIG).", completion: .file()) var config: String?
  @Option(help: "Data directory.", completion: .directory) var data: String?
  @Option(help: "Address for hubs and subscribers: host:port (0: any free port) or unix:PATH.") var listen: String?
  @Option(help: "Address for health and metrics over HTTP, or off.") var httpListen: String?
  @Option(help: "Names by which HTTP may be asked for besides addresses and localhost, with commas between.") var httpHosts: String?
  @Option(parsing: .unconditional, help: "HTTP connections at a time.") var httpConnections: String?
  @Flag(help: "Allow an address other than loopback without TLS.") var insecureListen = false
  @Option(help: "auto, json or text.") var logFormat: String?
  @Option(help: "trace, debug, info, notice, warning, error or critical.") var logLevel: String?
  @Option(
    help: "File of the key that signs checkpoints (hubaudit keygen); two, with a comma between, while a key is changed.",
    completion: .file())
  var signingKey: String?
  @Flag(help: "Make that key file where it is missing and the log is new; back it up.") var makeKey = false
  @Option(help: "The log's name, which its key has, such as audit.example.com/hubs.") var origin: String?
  @Flag(help: "Take a key file that its group may read (a Kubernetes secret, LoadCredential).") var keyGroupReadable = false
  @Flag(help: "Sign although none of the keys has signed the newest checkpoint: the old one is lost.") var acceptNewKey = false
  @Option(help: "How long a record waits for a signed checkpoint, at most.") var checkpointInterval: String?
  @Option(parsing: .unconditional, help: "Checkpoints a second that are signed on request.") var checkpointRate: String?
  @Option(help: "Directory of the signed checkpoints.", completion: .directory) var checkpoints: String?
  @Option(help: "File with the policy that names the witnesses of checkpoints.", completion: .file()) var witnesses: String?
  @Option(parsing: .unconditional, help: "Bytes a second that are read again in the background to find damage; 0: none.") var scrubBytes:
    String?
  @Option(parsing: .unconditional, help: "Rest between two rounds of it over the whole log.") var scrubPause: String?
  @Option(
    parsing: .unconditional, help: "Bytes a second that are read in the background to index full segments for filtered reads; 0: none.")
  var searchBytes: String?
  @Option(parsing: .unconditional, help: "Size at which a segment file is full.") var segmentBytes: String?
  @Option(parsing: .unconditional, help: "Largest frame, in bytes.") var frameBytes: String?
  @Option(parsing: .unconditional, help: "Largest record, in bytes.") var recordBytes: String?
  @Option(parsing: .unconditional, help: "Events in one append.") var appendEvents: String?
  @Option(parsing: .unconditional, help: "Bytes of one connection's appends that wait for the disk.") var pendingAppendBytes: String?
  @Option(parsing: .unconditional, help: "Bytes of all appends that wait for the disk.") var queueBytes: String?
  @Option(parsing: .unconditional, help: "Memory that decoding one frame may take.") var decodeBytes: String?
  @Option(parsing: .unconditional, help: "Newest records kept in memory for subscribers.") var tailBytes: String?
  @Option(parsing: .unconditional, help: "Producers without a connection whose next number is remembered.") var producers: String?
  @Option(parsing: .unconditional, help: "The same of one hub.") var hubProducers: String?
  @Option(parsing: .unconditional, help: "Numbers that a producer may skip in its hello.") var producerJump: String?
  @Option(parsing: .unconditional, help: "Connections at a time.") var connections: String?
  @Option(parsing: .unconditional, help: "Bytes of unfinished frames of all connections.") var receiveBytes: String?
  @Option(parsing: .unconditional, help: "Bytes that the peers of all connections have not read, about.") var sendBytes: String?
  @Option(parsing: .unconditional, help: "Subscriptions of one connection.") var subscriptions: String?
  @Option(parsing: .unconditional, help: "Reads under way on one connection.") var reads: String?
  @Option(parsing: .unconditional, help: "Credit that a subscription may hold.") var creditBytes: String?
  @Option(parsing: .unconditional, help: "Values in all lists of one filter.") var filterValues: String?
  @Option(parsing: .unconditional, help: "Bytes of one filter's values.") var filterBytes: String?
  @Option(parsing: .unconditional, help: "Memory of the filters of all connections.") var allFilterBytes: String?
  @Option(parsing: .unconditional, help: "From accept to a whole hello.") var helloTimeout: String?
  @Option(parsing: .unconditional, help: "From a frame's first byte to its last.") var frameTimeout: String?
  @Option(parsing: .unconditional, help: "How long a peer may read nothing of what is written to it.") var writeTimeout: String?
  @Option(parsing: .unconditional, help: "How long a peer's host may answer nothing; at least 2s.") var keepaliveTimeout: String?
  @Option(parsing: .unconditional, help: "How long a subscription may lack credit while records wait.") var creditTimeout: String?
  @Option(parsing: .unconditional, help: "How long a shutdown waits for appends under way.") var drainTimeout: String?
  @Option(parsing: .unconditional, help: "Threads that serve connections.") var eventLoops: String?
  @Option(parsing: .unconditional, help: "Threads that read the disk.") var readThreads: String?

  /// The settings whose flags were given, with their values.
  var given: [String: String] {
    let all: [String: String?] = [
      "data": data, "listen": listen, "http-listen": httpListen, "http-hosts": httpHosts, "http-connections": httpConnections,
      "insecure-listen": insecureListen ? "true" : nil, "log-format": logFormat,
      "log-level": logLevel, "signing-key": signingKey, "accept-new-key": acceptNewKey ? "true" : nil,
      "make-key": makeKey ? "true" : nil, "origin": origin, "key-group-readable": keyGroupReadable ? "true" : nil,
      "checkpoint-interval": checkpointInterval, "checkpoint-rate": checkpointRate, "checkpoints": checkpoints, "witnesses": witnesses,
      "scrub-bytes": scrubBytes,
      "scrub-pause": scrubPause, "search-bytes": searchBytes,
      "segment-bytes": segmentBytes, "frame-bytes": frameBytes, "record-bytes": recordBytes, "append-events": appendEvents,
      "pending-append-bytes": pendingAppendBytes, "queue-bytes": queueBytes, "decode-bytes": decodeBytes, "tail-bytes": tailBytes,
      "producers": producers, "hub-producers": hubProducers, "producer-jump": producerJump, "connections": connections,
      "receive-bytes": receiveBytes, "send-bytes": sendBytes, "subscriptions": subscriptions, "reads": reads, "credit-bytes": creditBytes,
      "filter-values": filterValues, "filter-bytes": filterBytes, "all-filter-bytes": allFilterBytes,
      "hello-timeout": helloTimeout, "frame-timeout": frameTimeout, "write-timeout": writeTimeout,
      "keepalive-timeout": keepaliveTimeout, "credit-timeout": creditTimeout,
      "drain-timeout": drainTimeout, "event-loops": eventLoops, "read-threads": readThreads,
    ]
    return all.compactMapValues { $0 }
  }

  /// Flags over environment over file over defaults.
  func settings() throws -> Settings { try Settings(flags: given, file: config) }
}
