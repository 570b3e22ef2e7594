import AuditSchema

extension FuzzTarget {
  /// The bytes of a connection, in whatever pieces they come. The first two bytes choose the limit and the size of the pieces.
  static func frames() -> FuzzTarget {
    let request = RequestCheck()
    let reply = ReplyCheck()
    return FuzzTarget(name: "frames") { input in
      guard input.count >= 2 else { return }
      let limit = [16, 300, 4096, 1 << 20][Int(input[0] & 3)]
      let stream = UnsafeRawBufferPointer(rebasing: input[2...])
      let whole = try cut(stream, limit: limit, piece: stream.count)
      let pieces = try cut(stream, limit: limit, piece: Int(input[1] % 16) + 1)
      try require(whole == pieces, "in one piece \(whole), in pieces \(pieces)")
      for range in whole.frames {
        let frame = UnsafeRawBufferPointer(rebasing: stream[range])
        try require(frame.count <= limit, "a frame of \(frame.count) bytes got past the limit of \(limit)")
        if input[0] & 4 == 0 { try request.run(frame) } else { try reply.run(frame) }
      }
    }
  }

  private struct Frames: Equatable {
    var frames: [Range<Int>] = []
    var error: RequestError?
  }

  private static func cut(_ stream: UnsafeRawBufferPointer, limit: Int, piece: Int) throws -> Frames {
    var found = Frames()
    var offset = 0
    var arrived = 0
    while arrived < stream.count {
      arrived = min(arrived + piece, stream.count)
      let bytes = UnsafeRawBufferPointer(rebasing: stream[..<arrived])
      var isWaiting = false
      while !isWaiting {
        do {
          switch try Framing.next(in: bytes, at: offset, limit: limit) {
          case .frame(let range):
            try require(range.lowerBound > offset && range.upperBound <= arrived, "a frame at \(range) of \(arrived) bytes")
            found.frames.append(range)
            offset = range.upperBound
          case .incomplete(let needed):
            try require(needed > arrived - offset && needed <= limit + 5, "it waits for \(needed) bytes with a limit of \(limit)")
            isWaiting = true
          }
        } catch let error as RequestError {
          found.error = error
          return found
        }
      }
    }
    return found
  }

  /// One frame to the server, without its length.
  static func requests() -> FuzzTarget {
    let check = RequestCheck()
    return FuzzTarget(name: "requests", run: check.run)
  }

  /// One frame to a client, without its length.
  static func replies() -> FuzzTarget {
    let check = ReplyCheck()
    return FuzzTarget(name: "replies", run: check.run)
  }
}

/// The content of a frame that carries its length.
func undelimited(_ frame: [UInt8]) throws -> [UInt8] {
  try frame.withUnsafeBytes { bytes in
    guard case .frame(let range) = try Framing.next(in: bytes, at: 0, limit: .max), range.upperBound == bytes.count else {
      throw Violation(description: "what was encoded is not one frame")
    }
    return Array(bytes[range])
  }
}
