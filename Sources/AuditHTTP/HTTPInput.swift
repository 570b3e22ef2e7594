import NIOCore

/// Closes a connection whose first byte is not one of TLS. Before the TLS handler in the pipeline.
final class PlaintextGuard: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// Type of a handshake record, with which TLS begins (RFC 8446, 5.1). No method of HTTP begins with it.
  private static let handshakeRecord: UInt8 = 22

  private let connection: HTTPConnection
  private var isChecked = false

  init(_ connection: HTTPConnection) { self.connection = connection }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if !isChecked {
      let bytes = unwrapInboundIn(data)
      guard let first = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) else { return }
      isChecked = true
      guard first == Self.handshakeRecord else { return connection.sentPlaintext() }
    }
    context.fireChannelRead(data)
  }
}

/// Passes received bytes on to the decoder in small pieces, and only while the connection waits for a request's bytes.
///
/// TLS decrypts records of up to 16 KiB. Decoded all at once, one would become hundreds of requests with a multiple of its memory. Nothing is
/// read from the socket while bytes wait here, so they are at most what one read has decrypted.
final class HTTPInput: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = IOData

  private let connection: HTTPConnection
  private let pieceBytes: Int
  private var context: ChannelHandlerContext?
  private var waiting = ByteBuffer()
  private var isPassing = false
  /// Whether the peer has closed its sending side, after the waiting bytes.
  private var isInputClosed = false
  /// Whether a read was asked for while bytes waited.
  private var isReadWanted = false

  init(_ connection: HTTPConnection, pieceBytes: Int) {
    self.connection = connection
    self.pieceBytes = pieceBytes
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    waiting = ByteBuffer()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    if waiting.readableBytes == 0 { waiting = bytes } else { waiting.writeBuffer(&bytes) }
    pass()
  }

  func read(context: ChannelHandlerContext) {
    if waiting.readableBytes > 0 { isReadWanted = true } else { context.read() }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if waiting.readableBytes > 0, case .some(.inputClosed) = event as? ChannelEvent {
      isInputClosed = true
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }

  /// Passes on what waits. To be called when the connection begins to wait for a request.
  func pass() {
    guard let context, !isPassing else { return }
    isPassing = true
    while connection.takesInput, let piece = waiting.readSlice(length: min(pieceBytes, waiting.readableBytes)), piece.readableBytes > 0 {
      connection.bytesArrived()
      context.fireChannelRead(wrapInboundOut(piece))
    }
    isPassing = false
    guard waiting.readableBytes == 0 else { return }
    waiting = ByteBuffer()
    if isInputClosed {
      isInputClosed = false
      context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    }
    if isReadWanted {
      isReadWanted = false
      context.read()
    }
  }
}
