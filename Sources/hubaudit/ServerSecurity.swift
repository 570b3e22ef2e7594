import AccessControl
import AuditLog
import AuditSchema
import AdminHTTP
import AuditServer
import AuditTLS
import Foundation
import Logging
import MerkleTree
import Synchronization

/// Who may use the server, and its certificate: files that are read again while it runs.
final class ServerSecurity: Sendable {
  let access: ServerAccess?
  let tls: ServerTLS?
  /// The access file that is in force; `nil`: everybody may do everything.
  private let table: Mutex<AccessTable?>
  private let files: WatchedFiles
  private let tlsFiles: [String]

  /// - Throws: `CommandFailure` with usage status for files that cannot be used.
  init(_ settings: ServerSettings) async throws {
    tlsFiles = [settings.tls?.certificate, settings.tls?.key, settings.tls?.clientCA].compactMap(\.self)
    do {
      tls = try settings.tls.map { try ServerTLS($0) }
      var table: AccessTable?
      if let path = settings.access { table = try await AccessTable.load(path: path) }
      self.table = Mutex(table)
      files = WatchedFiles(tlsFiles + (table?.files ?? []))
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
      denied: { server.refused($0, right: $1, request: $2) }, mayRead: { try server.mayRead() },
      haveRead: { server.recordRead($0, $1, isWhole: $2) })
  }

  /// Records what is in force at the start.
  func recordStart(_ log: AuditLog, _ settings: ServerSettings, _ logger: Logger) async throws {
    do {
      if let table = table.withLock({ $0 }) {
        try await log.trail.accessChanged(sha256: Hex.encode(table.sha256), added: table.names, removed: [], changed: [])
      }
      for address in settings.insecureAddresses {
        logger.warning(
          "everybody who reaches this address may read and append", metadata: ["listen": "\(address)", "setting": "insecure-listen"])
        try await log.trail.insecureListen(address: address)
      }
    } catch let error as RequestError where error.isRetryable || error.code == .logFailed {
      // A full disk keeps nobody from reading the log.
      logger.error("how the server may be used could not be recorded", metadata: ["reason": "\(error)"])
    }
  }

  /// Looks at the files every 10 s, and reads them again when one has changed.
  func watch(_ server: AuditServer, _ logger: Logger) -> Task<Void, Never> {
    files.watch { [self] in await reload(server, logger) }
  }

  /// Reads the files again. If one of them cannot be used, or a new access file cannot be recorded, everything stays as it is.
  func reload(_ server: AuditServer, _ logger: Logger) async {
    guard !files.isEmpty else { return }
    await files.reading { await read(server, logger) }
  }

  private func read(_ server: AuditServer, _ logger: Logger) async {
    do {
      let old = table.withLock { $0 }
      var new = old
      if let old { new = try await AccessTable.load(path: old.path) }
      let isNew = new?.fingerprint != old?.fingerprint
      if isNew, let new, let old {
        let (before, after) = (Set(old.names), Set(new.names))
        try await server.log.trail.accessChanged(
          sha256: Hex.encode(new.sha256), added: Array(after.subtracting(before)), removed: Array(before.subtracting(after)),
          changed: before.intersection(after).filter { !new.isSame($0, as: old) })
      }
      let change = try tls?.reload() ?? ServerTLS.Change()
      table.withLock { $0 = new }
      files.paths = tlsFiles + (new?.files ?? [])
      if change.isRootRemoved || isNew { await server.reload(isNew ? new : nil, isRootRemoved: change.isRootRemoved) }
      var what: [String] = []
      if isNew { what.append("access file") }
      if change.isCertificateNew { what.append("certificate") }
      if change.isClientCANew { what.append("clients' roots") }
      if !change.isNone { try? await server.log.trail.credentialsReloaded(what.filter { $0 != "access file" }) }
      logger.notice("access and TLS were read again", metadata: ["changed": "\(what.isEmpty ? "nothing" : what.joined(separator: ", "))"])
    } catch {
      logger.error("access and TLS cannot be read again; everything stays as it is", metadata: ["reason": "\(error)"])
    }
  }
}
