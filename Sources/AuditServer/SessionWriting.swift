import AuditSchema
import NIOCore

/// Writing to the peer, and when to read from it.
extension Session {
  /// Puts a frame to those that are written when the work at hand is done.
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
      // The channel counts them, so that a peer that asks much and reads little is not heard for a while.
      putFrames()
      updateReading()
    }
    markDirty()
  }

  /// Writes a batch behind its frame's beginning; the batch's bytes may be shared with others.
  func write(prefix: [UInt8], _ batch: ByteBuffer) {
    guard !isEnding else { return }
    frames.writeBytes(prefix)
    // Small ones are cheaper copied than as buffers of their own.
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
    unsent.wrote(buffer.readableBytes)
    shard.unsent.take(buffer.readableBytes)
    channel.write(buffer, promise: nil)
  }

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

  /// The channel says so in the middle of its own write or flush: what follows from it comes after.
  func writabilityChanged() {
    let reference = NIOLoopBound(self, eventLoop: shard.loop)
    shard.loop.execute {
      reference.value.proceed()
      reference.value.shard.flush()
    }
  }

  /// Goes on with what waited until the peer took something, or until there was room again.
  func proceed() {
    guard !isEnding else { return }
    updateReading()
    guard canWrite() else { return }
    pushAll()
    for read in reads.values { read.advance() }
  }

  /// A peer that does not take its answers, or has more appends under way than it may, is not read from.
  func updateReading() {
    let wanted =
      !canWrite() || numbers.isChecking || pendingBytes > Int(limits.pendingAppendBytes) || jobs > Int(limits.reads + limits.subscriptions)
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
