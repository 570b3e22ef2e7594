import Foundation
import Glibc

/// Sends service states to systemd: sd_notify(3) without libsystemd.
enum SystemdNotifier {
  /// How often the watchdog wants to hear of this process, halved so that one word may come late; `nil` where none waits for it
  /// (sd_watchdog_enabled(3)).
  static var watchdogInterval: Duration? {
    let environment = ProcessInfo.processInfo.environment
    guard let text = environment["WATCHDOG_USEC"], let microseconds = Int64(text), microseconds > 0 else { return nil }
    if let pid = environment["WATCHDOG_PID"], pid != "\(getpid())" { return nil }
    return .microseconds(max(1, microseconds / 2))
  }

  /// - Parameters:
  ///   - state: "READY=1", "WATCHDOG=1" or "STOPPING=1". No-op where nobody listens.
  ///   - isPatient: wait while the other side's queue is full.
  static func notify(_ state: String, isPatient: Bool = true) {
    guard let path = ProcessInfo.processInfo.environment["NOTIFY_SOCKET"], !path.isEmpty else { return }
    let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { return }
    defer { close(socket) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    // A leading @ stands for the abstract namespace.
    if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    let flags = Int32(MSG_NOSIGNAL) | (isPatient ? 0 : Int32(MSG_DONTWAIT))
    _ = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(socket, state, state.utf8.count, flags, $0, length) }
    }
  }
}
