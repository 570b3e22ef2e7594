import AuditSchema
import Glibc
import NIOCore

/// Cuts frames out of what a socket gives and hands them to its session, in place where a read holds whole frames.
final class SessionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let server: AuditServer
  private let lane: Lane
  private var session: Session?
  /// What is left of earlier reads.
  private var pending = ByteBuffer()

  init(server: AuditServer, lane: Lane) {
    self.server = server
    self.lane = lane
  }

  func channelActive(context: ChannelHandlerContext) {
    let session = Session(server: server, lane: lane, channel: context.channel)
    self.session = session
    session.resume = { [weak self, weak session] in
      guard let self, let session else { return }
      process(&pending, session)
      lane.flush()
    }
    session.opened()
    lane.flush()
  }

  func channelInactive(context: ChannelHandlerContext) {
    session?.closed()
    session?.resume = {}
    session = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let session else { return }
    var bytes = unwrapInboundIn(data)
    if pending.readableBytes == 0 {
      process(&bytes, session)
      // The read's buffer is kept as it is; the next read continues in it.
      pending = bytes.readableBytes > 0 ? bytes : ByteBuffer()
    } else {
      pending.writeBuffer(&bytes)
      process(&pending, session)
      if pending.readableBytes == 0 { pending = ByteBuffer() } else { pending.discardReadBytes() }
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) { lane.flush() }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    session?.writabilityChanged()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A peer that goes away with answers unread resets the connection; that is its way of closing.
    let isReset = (error as? IOError)?.errnoCode == ECONNRESET
    session?.abort(isReset ? "reset by the peer" : "\(error)", level: isReset ? .debug : .notice)
    context.close(promise: nil)
  }

  private func process(_ buffer: inout ByteBuffer, _ session: Session) {
    var isWaiting = false
    var hasFrame = false
    let used = buffer.withUnsafeReadableBytes { bytes in
      var offset = 0
      while !session.isPaused, offset < bytes.count {
        do throws(SchemaError) {
          switch try Framing.next(in: bytes, at: offset, limit: session.frameLimit) {
          case .incomplete:
            isWaiting = true
            return offset
          case .frame(let range):
            hasFrame = true
            session.receive(UnsafeRawBufferPointer(rebasing: bytes[range]))
            offset = range.upperBound
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
