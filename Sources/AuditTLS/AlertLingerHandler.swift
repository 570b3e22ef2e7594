import NIOCore

/// Lets a client read why its handshake was refused. It stands before the TLS handler, which closes the socket right after the alert: with bytes
/// of the client unread, the kernel would then reset the connection, and the alert would be lost.
///
/// While it lingers, the sending side is closed, and what arrives is dropped. Whoever made it closes the channel in the end; so does the peer.
public final class AlertLingerHandler: ChannelDuplexHandler {
  public typealias InboundIn = ByteBuffer
  public typealias OutboundIn = ByteBuffer

  private enum Phase {
    case open
    /// The next close is that of the TLS handler.
    case refusing
    case lingering
  }

  private var phase = Phase.open

  public init() {}

  /// The handshake has failed, and the TLS handler is about to close the socket.
  public func refuse() { if phase == .open { phase = .refusing } }

  public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if phase == .open { context.fireChannelRead(data) }
  }

  public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if phase != .open, case ChannelEvent.inputClosed? = event as? ChannelEvent { return context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  public func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    guard phase == .refusing, mode == .all else { return context.close(mode: mode, promise: promise) }
    phase = .lingering
    context.close(mode: .output, promise: promise)
  }
}
