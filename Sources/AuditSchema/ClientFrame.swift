import CAuditSchema
import Glibc

/// A frame from a client to the server.
package struct ClientFrame {
  /// The request's id, greater than 0. Every reply has it.
  package var id: UInt64
  package var request: ClientRequest

  /// Decodes a frame without its length prefix.
  ///
  /// - Parameters:
  ///   - limits: the limits of filters; `nil`: none.
  ///   - identified: set to the request's id as soon as it is known, so that an error can be sent as the reply.
  /// - Throws: why the frame is malformed or refused.
  package init(
    _ bytes: UnsafeRawBufferPointer, in arena: DecodeArena, limits: WireLimits? = nil, identified: inout UInt64?
  ) throws(RequestError) {
    let outline = Outline(bytes)
    identified = outline.id
    try check(descriptor.pointer, bytes)
    guard let id = outline.id else {
      throw RequestError(.invalidRequest, "the frame has no id; every request needs one that is greater than 0")
    }
    self.id = id
    if let append = outline.append {
      request = .append(try Self.append(append, of: bytes))
      return
    }
    guard let frame = unpack(CClientFrame.self, descriptor.pointer, bytes, in: arena) else {
      throw tooMuchToDecode(descriptor.pointer, bytes, arena)
    }
    request = try Self.request(&frame.pointee, limits)
  }

  /// Whether the frame is an append. `false` if it is too malformed to tell.
  package static func holdsAppend(_ bytes: UnsafeRawBufferPointer) -> Bool { Outline(bytes).append != nil }

  /// The top-level fields of a frame: the id, and the content of the request if it is an append.
  private struct Outline {
    var id: UInt64?
    var append: UnsafeRawBufferPointer?

    init(_ bytes: UnsafeRawBufferPointer) {
      var fields = WireReader(bytes)
      while let field = fields.next() {
        switch field.number {
        case Fields.ClientFrame.id.number: id = field.value > 0 ? field.value : nil
        case Fields.ClientFrame.append.number: append = field.bytes
        default: break
        }
      }
    }
  }

  private static func append(
    _ content: UnsafeRawBufferPointer, of frame: UnsafeRawBufferPointer
  ) throws(RequestError) -> AppendRequest {
    var producerSequence: UInt64?
    var count = 0
    var isProven = false
    var parts = WireReader(content)
    while let part = parts.next() {
      switch part.number {
      case Fields.Append.producerSequence.number: producerSequence = part.value
      case Fields.Append.events.number: count += 1
      case Fields.Append.proven.number: isProven = part.value != 0
      default: break
      }
    }
    guard count > 0 else { throw RequestError(.invalidRequest, "an append without events; send at least one") }
    return AppendRequest(
      producerSequence: producerSequence, count: count, isProven: isProven, content: content, frameStart: frame.baseAddress!)
  }

  private static func request(_ frame: inout CClientFrame, _ limits: WireLimits?) throws(RequestError) -> ClientRequest {
    switch frame.request_case {
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_HELLO:
      let hello = frame.hello.pointee
      return .hello(
        Hello(
          version: hello.has_version != 0 ? hello.version : nil, hub: text(hello.hub), producer: text(hello.producer),
          producerNext: hello.has_producer_next != 0 ? hello.producer_next : nil, client: text(hello.client),
          checkpoints: hello.has_checkpoints != 0 && hello.checkpoints != 0,
          sessionToken: hello.has_session_token != 0 ? bytes(hello.session_token) : nil, token: text(hello.token)))
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_AUTHENTICATE:
      guard let token = text(frame.authenticate.pointee.token) else {
        throw RequestError(.invalidRequest, "an authenticate without a token; send the new one")
      }
      return .authenticate(token: token)
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_READ:
      let read = frame.read.pointee
      return .read(
        ReadRequest(
          start: try start(read.start), history: try history(read.start), filter: try filter(read.filter, limits),
          limit: read.has_limit != 0 ? read.limit : nil,
          backwards: read.has_backwards != 0 && read.backwards != 0))
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_SUBSCRIBE:
      let subscribe = frame.subscribe.pointee
      return .subscribe(
        SubscribeRequest(
          start: try start(subscribe.start), history: try history(subscribe.start), filter: try filter(subscribe.filter, limits),
          credit: subscribe.has_credit != 0 ? subscribe.credit : 0))
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_UNSUBSCRIBE:
      guard frame.unsubscribe.pointee.has_subscription != 0 else {
        throw RequestError(.invalidRequest, "an unsubscribe names no subscription; give the id of its subscribe")
      }
      return .unsubscribe(subscription: frame.unsubscribe.pointee.subscription)
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_CREDIT:
      guard frame.credit.pointee.has_subscription != 0 else {
        throw RequestError(.invalidRequest, "credit names no subscription; give the id of its subscribe")
      }
      return .credit(subscription: frame.credit.pointee.subscription, bytes: frame.credit.pointee.bytes)
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_HEALTH: return .health
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_SETTINGS: return .settings
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_CHECKPOINT:
      return .checkpoint(size: frame.checkpoint.pointee.has_size != 0 ? frame.checkpoint.pointee.size : nil)
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_ERASE: return .erase(statement: bytes(frame.erase.pointee.statement))
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_PROOF:
      let proof = frame.proof.pointee
      let size = proof.has_size != 0 ? proof.size : nil
      switch proof.proof_case {
      case HUBAUDIT__V1__PROOF_REQUEST__PROOF_INCLUSION: return .proof(ProofRequest(.inclusion(proof.inclusion), size: size))
      case HUBAUDIT__V1__PROOF_REQUEST__PROOF_CONSISTENCY: return .proof(ProofRequest(.consistency(proof.consistency), size: size))
      default: throw RequestError(.invalidRequest, "the request does not say what to prove: inclusion or consistency")
      }
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_SCHEMA: return .schema
    case HUBAUDIT__V1__CLIENT_FRAME__REQUEST_PING: return .ping(payload: bytes(frame.ping.pointee.payload))
    default:
      throw RequestError(.unsupportedRequest, "the frame holds no request that this server knows (protocol version \(Hello.version))")
    }
  }

  private static func start(_ start: UnsafeMutablePointer<CStart>?) throws(RequestError) -> Start {
    switch start?.pointee.start_case {
    case HUBAUDIT__V1__START__START_EARLIEST:
      guard start!.pointee.earliest != 0 else { throw notChosen("earliest") }
      return .earliest
    case HUBAUDIT__V1__START__START_LATEST:
      guard start!.pointee.latest != 0 else { throw notChosen("latest") }
      return .latest
    case HUBAUDIT__V1__START__START_SEQUENCE: return .sequence(start!.pointee.sequence)
    case HUBAUDIT__V1__START__START_TIME: return .time(start!.pointee.time)
    case HUBAUDIT__V1__START__START_AFTER: return .after(start!.pointee.after)
    default: throw RequestError(.invalidRequest, "the request does not say where to start: earliest, latest, sequence, time or after")
    }
  }

  private static func notChosen(_ name: String) -> RequestError {
    RequestError(.invalidRequest, "the start is `\(name): false`, which says where not to start; send true, or another start")
  }

  private static func history(_ start: UnsafeMutablePointer<CStart>?) throws(RequestError) -> LogHistory? {
    guard let part = start?.pointee.history?.pointee else { return nil }
    let logID = part.has_log_id != 0 ? bytes(part.log_id) : []
    guard logID.count == 16, part.has_size != 0 else {
      throw RequestError(.invalidRequest, "the start's history needs the log's id, which has 16 bytes, and the size")
    }
    let leafHash = part.has_leaf_hash != 0 ? bytes(part.leaf_hash) : nil
    guard part.size <= Record.maximumSequence, leafHash.map({ $0.count == 32 && part.size > 0 }) ?? true else {
      throw RequestError(
        .invalidRequest,
        "the start's history has a size of \(part.size) and a leaf hash of \(leafHash?.count ?? 0) bytes; "
          + "a leaf hash has 32 bytes, and is that of record size - 1")
    }
    return LogHistory(logID: logID, size: part.size, leafHash: leafHash)
  }

  /// - Throws: `limitExceeded`, checked before any memory is allocated for the filter.
  private static func filter(_ filter: UnsafeMutablePointer<CFilter>?, _ limits: WireLimits?) throws(RequestError) -> RecordFilter {
    guard let filter = filter?.pointee else { return RecordFilter() }
    if let limits { try checkFilter(filter, limits) }
    func texts(_ list: UnsafeMutablePointer<CString?>?, _ count: Int) -> [String] { (0..<count).map { String(cString: list![$0]!) } }
    return RecordFilter(
      kinds: texts(filter.kinds, filter.n_kinds), hubs: texts(filter.hubs, filter.n_hubs), agents: texts(filter.agents, filter.n_agents),
      channels: texts(filter.channels, filter.n_channels), tasks: texts(filter.tasks, filter.n_tasks),
      since: filter.has_since != 0 ? filter.since : nil, until: filter.has_until != 0 ? filter.until : nil)
  }
}

extension ClientFrame {
  private static func checkFilter(_ filter: CFilter, _ limits: WireLimits) throws(RequestError) {
    let lists = [
      UnsafeBufferPointer(start: filter.kinds, count: filter.n_kinds), UnsafeBufferPointer(start: filter.hubs, count: filter.n_hubs),
      UnsafeBufferPointer(start: filter.agents, count: filter.n_agents),
      UnsafeBufferPointer(start: filter.channels, count: filter.n_channels),
      UnsafeBufferPointer(start: filter.tasks, count: filter.n_tasks),
    ]
    let values = lists.reduce(0) { $0 + $1.count }
    guard values <= Int(limits.filterValues) else {
      throw RequestError(
        .limitExceeded,
        "the filter has \(values) values; \(limits.filterValues) are the limit (filter_values); ask for less, or filter what you receive")
    }
    let bytes = lists.joined().reduce(0) { $0 + strlen($1!) }
    guard bytes <= Int(limits.filterBytes) else {
      throw RequestError(
        .limitExceeded,
        "the filter's values have \(bytes) bytes; \(limits.filterBytes) are the limit (filter_bytes); ask for less, or filter what you receive"
      )
    }
  }
}

private let descriptor = MessageDescriptor(hubaudit__v1__client_frame__descriptor)
