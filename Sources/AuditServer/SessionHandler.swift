import AuditSchema
import AuditTLS
import Glibc
import Logging
import NIOCore
import NIOSSL
import NIOTLS

/// Cuts frames out of received bytes and hands them to the session: in place where one read holds whole frames.
final class SessionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let server: AuditServer
  private let shard: EventLoopShard
  private var session: Session?
  private var context: ChannelHandlerContext?
  /// Whether the TLS handshake is under way.
  private var isHandshaking = false
  /// The rest of earlier reads: an unfinished frame, or frames of a paused session.
  private var pending = ByteBuffer()
  /// Whether frames are being processed: then more may follow.
  private var isProcessing = false

  /// Of a connection with TLS.
  private let linger: AlertLingerHandler?

  init(server: AuditServer, shard: EventLoopShard, linger: AlertLingerHandler?) {
    self.server = server
    self.shard = shard
    self.linger = linger
  }

  func channelActive(context: ChannelHandlerContext) {
    let session = Session(server: server, shard: shard, channel: context.channel, isSecure: linger != nil)
    self.session = session
    self.context = context
    session.handler = self
    if session.isSecure {
      isHandshaking = true
      shard.handshakeBegan()
    }
    session.opened()
    shard.flush()
  }

  func channelInactive(context: ChannelHandlerContext) {
    endHandshake()
    session?.closed()
    session = nil
    self.context = nil
    pending = ByteBuffer()
  }

  private func endHandshake() {
    guard isHandshaking else { return }
    isHandshaking = false
    shard.handshakes -= 1
  }

  /// Closes the socket without a farewell of TLS.
  func cut() {
    guard let context else { return }
    let secure = try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)
    (secure ?? context).close(promise: nil)
  }

  /// Processes the bytes that were received while the session was paused.
  func resume() {
    guard let session else { return }
    // Moved out of `pending` first: a frame may end the connection, and that clears `pending`.
    var bytes = pending
    pending = ByteBuffer()
    process(&bytes, session)
    pending = rest(of: bytes)
    session.hold(pending)
    session.finishIfDone()
    shard.flush()
  }

  /// Whether a whole frame, or a malformed one, waits to be processed.
  var holdsFrame: Bool {
    if isProcessing { return true }
    guard let session, pending.readableBytes > 0 else { return false }
    return pending.withUnsafeReadableBytes { bytes in
      do throws(RequestError) {
        if case .incomplete = try Framing.next(in: bytes, at: 0, limit: session.frameLimit) { return false }
        return true
      } catch { return true }
    }
  }

  /// Frees the unprocessed bytes of an ended session.
  func dropPending() { pending = ByteBuffer() }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let session else { return }
    var bytes = unwrapInboundIn(data)
    shard.counters.received(bytes.readableBytes)
    if pending.readableBytes > 0 {
      pending.writeBuffer(&bytes)
      swap(&pending, &bytes)
      pending = ByteBuffer()
    }
    process(&bytes, session)
    pending = rest(of: bytes)
    session.hold(pending)
  }

  /// The part of a buffer that is kept until the next read.
  private func rest(of buffer: ByteBuffer) -> ByteBuffer {
    guard buffer.readableBytes > 0 else { return ByteBuffer() }
    var rest = buffer
    if buffer.readableBytes < buffer.storageCapacity / 4 {
      // A peer that sends a few bytes and waits must not hold a whole receive buffer.
      rest = shard.allocator.buffer(capacity: buffer.readableBytes)
      rest.writeImmutableBuffer(buffer)
    } else {
      rest.discardReadBytes()
    }
    return rest
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case NIOCore.ChannelEvent.inputClosed? = event as? NIOCore.ChannelEvent {
      session?.inputClosed()
      shard.flush()
    }
    if case .handshakeCompleted(let agreed)? = event as? TLSUserEvent {
      endHandshake()
      let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()?.toDERBytes()
      session?.secured(agreed: agreed, certificate: certificate)
      shard.flush()
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelReadComplete(context: ChannelHandlerContext) { shard.flush() }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    session?.writabilityChanged()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch (error as? IOError)?.errnoCode {
    // A peer that closes with unread answers resets the connection: a normal way to close.
    case ECONNRESET: session?.abort(.reset, "reset by the peer", level: .debug)
    case ETIMEDOUT: session?.abort(.hostGone, "the peer's host answered nothing for \(server.configuration.keepaliveTimeout)")
    case nil where (error as? NIOSSLError).map(Self.isPlainEnd) == true:
      session?.abort(.noFarewell, "the peer closed without a farewell of TLS", level: .debug)
    default:
      if isHandshaking {
        // The TLS handler closes, and the peer gets some time to read why.
        linger?.refuse()
        session?.handshakeFailed(error)
        return
      }
      session?.abort(.broken, "\(error)")
    }
    cut()
  }

  /// Many clients just close the socket.
  private static func isPlainEnd(_ error: NIOSSLError) -> Bool { if case .uncleanShutdown = error { true } else { false } }

  private func process(_ buffer: inout ByteBuffer, _ session: Session) {
    isProcessing = true
    defer { isProcessing = false }
    var isWaiting = false
    var hasFrame = false
    session.turnCost = 0
    let used = buffer.withUnsafeReadableBytes { bytes in
      var offset = 0
      while !session.isPaused, offset < bytes.count {
        do throws(RequestError) {
          switch try Framing.next(in: bytes, at: offset, limit: session.frameLimit) {
          case .incomplete:
            isWaiting = true
            return offset
          case .frame(let range):
            hasFrame = true
            session.receive(UnsafeRawBufferPointer(rebasing: bytes[range]))
            offset = range.upperBound
            session.turnCost += max(range.count, Session.appendCost)
            if session.turnCost >= Session.turnLimit, offset < bytes.count { session.endTurn() }
          }
        } catch {
          session.fail(error)
        }
      }
      return session.isEnding ? bytes.count : offset
    }
    buffer.moveReaderIndex(forwardBy: used)
    session.frameIsIncomplete(isWaiting, isNew: hasFrame)
  }
}
