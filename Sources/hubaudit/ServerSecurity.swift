import AccessControl
import AdminHTTP
import AuditServer
import AuditTLS
import Foundation
import Logging
import Synchronization

/// Who may use the server, and its certificate: files that are read again while it runs.
final class ServerSecurity: Sendable {
  let access: ServerAccess?
  let tls: ServerTLS?
  /// The access file that is in force; `nil`: everybody may do everything.
  private let table: Mutex<AccessTable?>
  private let files: WatchedFiles

  /// - Throws: `CommandFailure` with usage status for files that cannot be used.
  init(_ settings: ServerSettings) throws {
    files = WatchedFiles([settings.access, settings.tls?.certificate, settings.tls?.key, settings.tls?.clientCA].compactMap(\.self))
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

  /// Looks at the files every 10 s, and reads them again when one has changed.
  func watch(_ server: AuditServer, _ logger: Logger) -> Task<Void, Never> {
    files.watch { [self] in reload(server, logger) }
  }

  /// Reads the files again. If one of them cannot be used, everything stays as it is.
  func reload(_ server: AuditServer, _ logger: Logger) {
    guard !files.isEmpty else { return }
    files.reading { read(server, logger) }
  }

  private func read(_ server: AuditServer, _ logger: Logger) {
    do {
      let new = try table.withLock { $0 }.map { try AccessTable.load(path: $0.path) }
      let change = try tls?.reload() ?? ServerTLS.Change()
      let isNew = table.withLock { table in
        defer { table = new }
        return new?.sha256 != table?.sha256
      }
      if change.isRootRemoved || isNew { server.reload(isNew ? new : nil, isRootRemoved: change.isRootRemoved) }
      var what: [String] = []
      if isNew { what.append("access file") }
      if change.isCertificateNew { what.append("certificate") }
      if change.isClientCANew { what.append("clients' roots") }
      logger.notice("access and TLS were read again", metadata: ["changed": "\(what.isEmpty ? "nothing" : what.joined(separator: ", "))"])
    } catch {
      logger.error("access and TLS cannot be read again; everything stays as it is", metadata: ["reason": "\(error)"])
    }
  }
}
