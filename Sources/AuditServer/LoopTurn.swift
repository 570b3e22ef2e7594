import Glibc
import NIOCore
import NIOPosix

/// Calls work in the next turn of the event loop, after it has polled its sockets, by writing a byte to a pipe that the loop reads.
///
/// `EventLoop.execute` does not do this: tasks that a task submits run before the next poll, so long work would starve the sockets.
final class LoopTurn: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let descriptor: CInt
  private var isAsked = false
  /// `nil` when the loop shuts down.
  private var work: (() -> Void)?

  /// - Parameter descriptor: to write to. It is closed with the object.
  private init(descriptor: CInt, work: @escaping () -> Void) {
    self.descriptor = descriptor
    self.work = work
  }

  deinit { close(descriptor) }

  /// - Parameter work: called on the loop, once for each `ask`.
  /// - Throws: when the process may open no more files.
  static func open(on loop: any EventLoop, work: @escaping @Sendable () -> Void) throws -> EventLoopFuture<NIOLoopBound<LoopTurn>> {
    var ends: [CInt] = [-1, -1]
    guard pipe(&ends) == 0 else { throw IOError(errnoCode: errno, reason: "pipe") }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    let (input, output) = (ends[0], ends[1])
    return loop.flatSubmit {
      let turn = NIOLoopBound(LoopTurn(descriptor: output, work: work), eventLoop: loop)
      return NIOPipeBootstrap(group: loop)
        .channelOption(.maxMessagesPerRead, value: 1)
        .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64))
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(turn.value) }
        }
        .takingOwnershipOfDescriptor(input: input)
        .map { _ in turn }
    }
  }

  /// Has `work` called in the next turn of the loop. Call it on the loop.
  func ask() {
    guard !isAsked, work != nil else { return }
    isAsked = true
    var byte: UInt8 = 0
    // The pipe holds this byte at most.
    _ = write(descriptor, &byte, 1)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    isAsked = false
    work?()
  }

  func handlerRemoved(context: ChannelHandlerContext) { work = nil }
}
