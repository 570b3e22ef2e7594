/// The kinds of the log's own records. The table in PROTOCOL.md lists exactly these.
package enum OwnRecordKind: String, Encodable, CaseIterable {
  /// A hello skipped the numbers from `from` up to `to`: either many, or by a client that did not have the producer before.
  case producerJumped = "producer_jumped"
  /// A hello without the right token took the producer from an open connection. `from` was expected before, `to` is expected now.
  case producerTakenOver = "producer_taken_over"
  /// A hello with its token took the producer back from a younger client, which may have used numbers from `from` up to `to`.
  case producerTakenBack = "producer_taken_back"
  case logKeyAdded = "log_key_added"
  case recordErased = "record_erased"
  case accessChanged = "access_changed"
  case accessDenied = "access_denied"
  case credentialExpired = "credential_expired"
  case credentialsReloaded = "credentials_reloaded"
  case eraseOrdered = "erase_ordered"
  case insecureListen = "insecure_listen"
  case readClosed = "read_closed"
  case settingsChanged = "settings_changed"
  case clockStepped = "clock_stepped"
}
