import AuditSchema
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

/// Stands behind the TLS handler. It holds `channelActive` back until the handshake is done and the server is the right one, so nothing is
/// sent before, and turns TLS errors into sentences. Confined to the channel's event loop.
final class TLSHandshake: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private enum State {
    case handshaking(deadline: Scheduled<Void>?)
    /// The handshake is done. `hasHeard`: the server has sent something.
    case secured(hasHeard: Bool)
    case failed
  }

  private let address: ServerAddress
  private let name: ServerName
  private let timeout: TimeAmount
  private let showsCertificate: Bool
  private var state = State.handshaking(deadline: nil)

  /// - Parameters:
  ///   - timeout: for the handshake.
  ///   - showsCertificate: whether the client has one to show.
  init(address: ServerAddress, host: String, timeout: TimeAmount, showsCertificate: Bool) {
    self.address = address
    name = ServerName(host: host)
    self.timeout = timeout
    self.showsCertificate = showsCertificate
  }

  func channelActive(context: ChannelHandlerContext) {
    guard case .handshaking = state else { return }
    let deadline = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { [self] in
      fail(
        ClientError(
          .timeout, "\(address) did not finish the TLS handshake within \(timeout.seconds); does it speak TLS? set a longer timeout"),
        context)
    }
    state = .handshaking(deadline: deadline)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case TLSUserEvent.handshakeCompleted(let negotiated)? = event as? TLSUserEvent {
      handshakeCompleted(negotiated, context)
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }

  private func handshakeCompleted(_ negotiated: String?, _ context: ChannelHandlerContext) {
    guard case .handshaking(let deadline) = state else { return }
    guard negotiated == ClientTLS.applicationProtocol else {
      let other = negotiated.map { "chose \"\($0.terminalSafe)\"" } ?? "chose no protocol"
      return fail(
        ClientError(
          .tlsFailed,
          "\(address) speaks TLS but \(other) instead of \"\(ClientTLS.applicationProtocol)\"; is it the frame port of a hubaudit server?"),
        context)
    }
    guard let certificate = peerCertificate(context), name.isNamed(in: certificate) else {
      return fail(TLSFailure(address).otherName(name.host), context)
    }
    deadline?.cancel()
    state = .secured(hasHeard: false)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    // The TLS handler passes on what came with the end of a handshake, also of one that failed here.
    guard case .secured = state else { return }
    state = .secured(hasHeard: true)
    context.fireChannelRead(data)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let failure = TLSFailure(address)
    switch state {
    case .handshaking: fail(failure.ofHandshake(error, host: name.host, certificate: peerCertificate(context)), context)
    case .secured(let hasHeard):
      // Frames tell their length, so an end without close_notify hides nothing.
      if case NIOSSLError.uncleanShutdown = error, hasHeard { return }
      context.fireErrorCaught(failure.afterHandshake(error, hasHeard: hasHeard, showsCertificate: showsCertificate))
    case .failed: break
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    fail(TLSFailure(address).endedEarly, context)
    context.fireChannelInactive()
  }

  private func fail(_ error: ClientError, _ context: ChannelHandlerContext) {
    guard case .handshaking(let deadline) = state else { return }
    deadline?.cancel()
    state = .failed
    context.fireErrorCaught(error)
    context.channel.cut()
  }

  private func peerCertificate(_ context: ChannelHandlerContext) -> NIOSSLCertificate? {
    (try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self))?.peerCertificate
  }
}

extension Channel {
  /// Closes the socket at once. A plain close of a TLS channel waits for the peer's close_notify, and delivers what comes until then.
  func cut() {
    eventLoop.execute { [self] in
      if let tls = try? pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self) {
        tls.close(promise: nil)
      } else {
        close(promise: nil)
      }
    }
  }
}

extension String {
  /// Text of the peer's, with everything but printable ASCII replaced.
  var terminalSafe: String { String(decoding: utf8.prefix(64).map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self) }
}
