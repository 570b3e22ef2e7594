import AdminHTTP
import Foundation
import Glibc

/// The process itself, under the names that all Prometheus clients use. What cannot be found out here is left out.
enum ProcessMetrics {
  static func current() -> [Metric] {
    var metrics: [Metric] = []
    func add(_ kind: Metric.Kind, _ name: String, _ help: String, _ value: Double?) {
      if let value { metrics.append(Metric(kind, name, help, value)) }
    }
    let pages = numbers("/proc/self/statm")
    add(.counter, "process_cpu_seconds_total", "Processor time of all threads, of user and system.", cpuSeconds)
    add(.gauge, "process_resident_memory_bytes", "Memory that is resident.", pages.dropFirst().first.map { $0 * Double(getpagesize()) })
    add(.gauge, "process_virtual_memory_bytes", "Memory that is mapped.", pages.first.map { $0 * Double(getpagesize()) })
    add(.gauge, "process_open_fds", "Files and sockets that are open.", openFiles)
    add(.gauge, "process_max_fds", "Files and sockets that may be open.", fileLimit)
    add(.gauge, "process_start_time_seconds", "Start of the process, Unix time.", startTime)
    return metrics
  }

  private static var cpuSeconds: Double? {
    var usage = rusage()
    guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return nil }
    return [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
  }

  /// Without the one that looks.
  private static var openFiles: Double? {
    var directory = stat()
    // Since Linux 6.2 the size of this directory is their number: no list of thousands of connections has to be made.
    if stat("/proc/self/fd", &directory) == 0, directory.st_size > 0 { return Double(directory.st_size) }
    return (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")).map { Double(max(0, $0.count - 1)) }
  }

  private static var fileLimit: Double? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
    return limit.rlim_cur == rlim_t.max ? .infinity : Double(limit.rlim_cur)
  }

  /// Once: it must not move with the machine's clock. /proc/stat, which has the time of boot, is hidden from a service (ProcSubset=pid).
  private static let startTime: Double? = {
    var now = timespec()
    var sinceBoot = timespec()
    guard let text = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8), let name = text.lastIndex(of: ")"),
      clock_gettime(CLOCK_REALTIME, &now) == 0, clock_gettime(CLOCK_BOOTTIME, &sinceBoot) == 0
    else { return nil }
    // Field 22 of proc(5), in ticks since boot; the name in brackets is the second.
    let fields = text[name...].split(separator: " ")
    guard fields.count > 20, let ticks = Double(fields[20]) else { return nil }
    func seconds(_ time: timespec) -> Double { Double(time.tv_sec) + Double(time.tv_nsec) / 1e9 }
    return seconds(now) - seconds(sinceBoot) + ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
  }()

  private static func numbers(_ path: String) -> [Double] {
    ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: " ").compactMap { Double($0) }
  }
}
