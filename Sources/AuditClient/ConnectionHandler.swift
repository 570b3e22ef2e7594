import AuditSchema
import NIOCore
import NIOPosix

/// Splits the bytes of a socket into frames and passes them to the connection. Confined to the channel's event loop.
final class ConnectionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let connection: ClientConnection
  private let frameLimit: Int
  private let arena = DecodeArena(limitBytes: 16 << 20)
  /// The start of a frame whose end has not arrived; less than `frameLimit` bytes and a length, plus one read.
  private var pending = ByteBuffer()
  private var failure: ClientError?
  private var hasHeard = false

  /// - Parameter frameLimit: maximum bytes of a frame. Checked against the length prefix, before the body arrives.
  init(connection: ClientConnection, frameLimit: Int) {
    self.connection = connection
    self.frameLimit = frameLimit
  }

  func channelActive(context: ChannelHandlerContext) { connection.opened(context.channel) }

  func channelInactive(context: ChannelHandlerContext) {
    connection.closed(failure ?? ClientError(.connectionLost, "the connection to \(connection.address) was closed by the server"))
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard failure == nil else { return }
    connection.heardFromServer()
    var bytes = unwrapInboundIn(data)
    if !hasHeard {
      hasHeard = true
      if Self.isTLSAlert(bytes) { return fail(connection.isTLSServer, context) }
    }
    if pending.readableBytes == 0 {
      process(&bytes, context)
      pending = bytes.readableBytes > 0 ? bytes : ByteBuffer()
    } else {
      pending.writeBuffer(&bytes)
      process(&pending, context)
      if pending.readableBytes == 0 { pending = ByteBuffer() } else { pending.discardReadBytes() }
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let error = error as? ClientError { return fail(error, context) }
    let reason = (error as? IOError).map { ClientError.reason(errno: $0.errnoCode) } ?? "\(error)"
    fail(ClientError(.connectionLost, "the connection to \(connection.address) was lost: \(reason)"), context)
  }

  private func fail(_ error: ClientError, _ context: ChannelHandlerContext) {
    if failure == nil { failure = error }
    context.channel.cut()
  }

  /// Whether the bytes begin a TLS alert (RFC 8446, section 5.1). No frame does: its body would begin with field number 0.
  private static func isTLSAlert(_ bytes: ByteBuffer) -> Bool { bytes.readableBytesView.starts(with: [21, 3]) }

  private func process(_ buffer: inout ByteBuffer, _ context: ChannelHandlerContext) {
    let outcome = buffer.withUnsafeReadableBytes { bytes -> (used: Int, error: ClientError?) in
      var offset = 0
      while offset < bytes.count {
        do throws(RequestError) {
          guard case .frame(let range) = try Framing.next(in: bytes, at: offset, limit: frameLimit) else { break }
          do throws(ClientError) {
            try connection.receive(UnsafeRawBufferPointer(rebasing: bytes[range]), in: arena)
          } catch {
            return (bytes.count, error)
          }
          offset = range.upperBound
        } catch {
          return (
            bytes.count,
            ClientError(.protocolViolation, "\(connection.address) broke the protocol: \(error.message) (is it a hubaudit server?)")
          )
        }
      }
      return (offset, nil)
    }
    buffer.moveReaderIndex(forwardBy: outcome.used)
    if let error = outcome.error { fail(error, context) }
  }
}
