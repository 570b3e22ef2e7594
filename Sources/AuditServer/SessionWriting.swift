import AuditSchema
import Logging
import NIOCore

/// Writing to the peer, and when to read from it.
extension Session {
  /// Collects a frame; `flushFrames` writes it.
  func write(_ frame: [UInt8]) {
    guard !isEnding else { return }
    frames.writeBytes(frame)
    wroteFrame()
  }

  func write(_ frame: AppendedFrame) {
    frames.writeWithUnsafeMutableBytes(minimumWritableBytes: AppendedFrame.maximumBytes) { frame.write(to: $0.baseAddress!) }
    wroteFrame()
  }

  func wroteFrame() {
    if frames.readableBytes > Self.heldFrameBytes {
      // Written to the channel, the bytes count as unsent, and reading stops if the peer does not keep up.
      putFrames()
      updateReading()
    }
    markDirty()
  }

  /// Writes a frame's prefix and its batch. Other subscriptions may share the batch's memory.
  func write(prefix: [UInt8], _ batch: ByteBuffer) {
    guard !isEnding else { return }
    frames.writeBytes(prefix)
    // Copying a small batch is cheaper than a write of its own.
    if batch.readableBytes < 1024 {
      frames.writeImmutableBuffer(batch)
    } else {
      putFrames()
      put(batch)
    }
    markDirty()
  }

  func putFrames() {
    let held = frames
    frames = ByteBuffer()
    put(held)
  }

  func put(_ buffer: ByteBuffer) {
    hasUnflushed = true
    shard.counters.sent(buffer.readableBytes)
    unsent.wrote(buffer.readableBytes)
    shard.unsent.take(buffer.readableBytes)
    guard isSecure else { return channel.write(buffer, promise: nil) }
    // The TLS handler keeps the memory of its largest flush for as long as the connection lives.
    var rest = buffer
    while rest.readableBytes > Self.secureBytes, let piece = rest.readSlice(length: Self.secureBytes) {
      channel.writeAndFlush(piece, promise: nil)
    }
    channel.write(rest, promise: nil)
  }

  /// Maximum bytes that the TLS handler gets before a flush.
  private static let secureBytes = 64 << 10

  func markDirty() {
    guard !isDirty else { return }
    isDirty = true
    shard.markDirty(self)
  }

  func flushFrames() {
    isDirty = false
    if frames.readableBytes > 0 { putFrames() }
    if hasUnflushed {
      hasUnflushed = false
      channel.flush()
    }
  }

  /// The channel calls this during its own write or flush, so the reaction is deferred.
  func writabilityChanged() {
    let reference = NIOLoopBound(self, eventLoop: shard.loop)
    shard.loop.execute {
      reference.value.proceed()
      reference.value.shard.flush()
    }
  }

  /// Continues reads and subscriptions that waited for the peer, or for room.
  func proceed() {
    guard !isEnding else { return }
    updateReading()
    guard canWrite() else { return }
    pushAll()
    for read in reads.values { read.advance() }
  }

  /// Stops reading from a peer that does not read its answers, or has too much under way; starts again when it may.
  func updateReading() {
    let wanted =
      waitsForTurn || !canWrite() || numbers.isChecking || pendingBytes > Int(limits.pendingAppendBytes)
      || jobs > Int(limits.reads + limits.subscriptions)
    guard state.stopReading(wanted) else { return }
    let stop = state.isReadingStopped
    channel.setOption(.autoRead, value: !stop).whenFailure { [logger] error in
      logger.debug("reading could not be switched", metadata: ["reason": "\(error)"])
    }
    if !stop {
      let reference = NIOLoopBound(self, eventLoop: shard.loop)
      shard.loop.execute { reference.value.handler?.resume() }
    }
  }
}
