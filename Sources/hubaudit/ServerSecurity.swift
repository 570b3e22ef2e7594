import AccessControl
import AdminHTTP
import AuditServer
import AuditTLS
import Foundation
import Logging
import Synchronization

/// Who may use the server, and its certificate: files that are read again while it runs.
final class ServerSecurity: Sendable {
  /// How often files are looked at for changes.
  private static let interval = Duration.seconds(10)

  let access: ServerAccess?
  let tls: ServerTLS?
  /// The access file that is in force; `nil`: everybody may do everything.
  private let table: Mutex<AccessTable?>
  /// What the files looked like when they were read last.
  private let seen: Mutex<[String: FileState]>
  private let files: [String]

  /// A change of any of these is a change of the file.
  private struct FileState: Equatable {
    var inode: UInt64
    var size: Int64
    var changed: [Int]

    init?(_ path: String) {
      var found = stat()
      guard stat(path, &found) == 0 else { return nil }
      inode = UInt64(found.st_ino)
      size = Int64(found.st_size)
      changed = [found.st_mtim.tv_sec, found.st_mtim.tv_nsec, found.st_ctim.tv_sec, found.st_ctim.tv_nsec]
    }
  }

  /// - Throws: `CommandFailure` with usage status for files that cannot be used.
  init(_ settings: ServerSettings) throws {
    let paths = [settings.access, settings.tls?.certificate, settings.tls?.key, settings.tls?.clientCA].compactMap(\.self)
    files = paths
    seen = Mutex(Self.states(paths))
    do {
      tls = try settings.tls.map { try ServerTLS($0) }
      let table = try settings.access.map { try AccessTable.load(path: $0) }
      self.table = Mutex(table)
      access = table.map { ServerAccess($0) }
    } catch {
      throw CommandFailure(.usage, "\(error)")
    }
  }

  /// `nil` without an access file.
  func adminAccess(_ server: AuditServer, isEvidencePublic: Bool, _ logger: Logger) -> AdminAccess? {
    guard let access else { return nil }
    return AdminAccess(
      judge: { access.judge }, isEvidencePublic: isEvidencePublic, logger: logger, unauthenticated: { server.refused($0) },
      denied: { server.refused($0, right: $1, request: $2) })
  }

  private static func states(_ paths: [String]) -> [String: FileState] {
    var states: [String: FileState] = [:]
    for path in paths { states[path] = FileState(path) }
    return states
  }

  /// Looks at the files every 10 s, and reads them again when one has changed.
  func watch(_ server: AuditServer, _ logger: Logger) -> Task<Void, Never> {
    Task { [self] in
      while !files.isEmpty, (try? await Task.sleep(for: Self.interval)) != nil {
        let now = Self.states(files)
        if seen.withLock({ $0 != now }) { reload(server, logger) }
      }
    }
  }

  /// Reads the files again. If one of them cannot be used, everything stays as it is.
  func reload(_ server: AuditServer, _ logger: Logger) {
    guard !files.isEmpty else { return }
    // As of before the reading: what is written meanwhile is a change.
    let states = Self.states(files)
    do {
      let new = try table.withLock { $0 }.map { try AccessTable.load(path: $0.path) }
      let change = try tls?.reload() ?? ServerTLS.Change()
      let isNew = table.withLock { table in
        defer { table = new }
        return new?.sha256 != table?.sha256
      }
      seen.withLock { $0 = states }
      if change.isRootRemoved || isNew { server.reload(isNew ? new : nil, isRootRemoved: change.isRootRemoved) }
      var what: [String] = []
      if isNew { what.append("access file") }
      if change.isCertificateNew { what.append("certificate") }
      if change.isClientCANew { what.append("clients' roots") }
      logger.notice("access and TLS were read again", metadata: ["changed": "\(what.isEmpty ? "nothing" : what.joined(separator: ", "))"])
    } catch {
      seen.withLock { $0 = states }
      logger.error("access and TLS cannot be read again; everything stays as it is", metadata: ["reason": "\(error)"])
    }
  }
}
