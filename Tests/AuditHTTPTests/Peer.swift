import Glibc

/// A TCP connection to loopback that blocks, for a minute at most.
final class Peer {
  private let descriptor: Int32

  init(port: Int, source: String = "127.0.0.1") {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var limit = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var from = Self.address(source, port: 0)
    precondition(Self.with(&from) { bind(descriptor, $0, $1) } == 0, "bind: \(errno)")
    var to = Self.address("127.0.0.1", port: port)
    precondition(Self.with(&to) { connect(descriptor, $0, $1) } == 0, "connect: \(errno)")
  }

  deinit { close(descriptor) }

  private static func address(_ host: String, port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    inet_pton(AF_INET, host, &address.sin_addr)
    return address
  }

  private static func with(_ address: inout sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
  }

  /// - Returns: whether the kernel took all of it.
  @discardableResult
  func send(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
  }

  /// Says that nothing more is sent.
  func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// The next bytes; empty at the end of the connection, `nil` where it was reset or nothing came for a minute.
  func receivePart() -> String? {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
  }

  /// All that comes until it ends with `end`, or up to the end of the connection.
  func receive(to end: String? = nil) -> String {
    var text = ""
    while let more = receivePart(), !more.isEmpty {
      text += more
      if let end, text.hasSuffix(end) { break }
    }
    return text
  }
}
