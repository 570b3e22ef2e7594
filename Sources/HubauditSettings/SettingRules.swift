extension Settings {
  /// Checks what must hold between settings.
  ///
  /// - Throws: a sentence that names the setting to change.
  func checkRules() throws(SettingError) {
    try checkSizes()
    try checkFiles()
  }

  private func checkSizes() throws(SettingError) {
    let frameBytes = number("frame-bytes")
    try check("record-bytes", atMost: frameBytes - 4096, "4096 less than frame-bytes")
    // The answer to a re-sent append may have to name a sequence of 8 bytes for each event, in one frame.
    try check("append-events", atMost: (frameBytes - 4096) / 8, "so many that frame-bytes holds their answer")
    // Each event loop's share must have room for whole frames.
    for name in ["receive-bytes", "send-bytes"] {
      try check(name, atLeast: 4 * frameBytes * number("event-loops"), "4 frames for each event loop")
    }
  }

  private func checkFiles() throws(SettingError) {
    switch (path("tls-cert"), path("tls-key")) {
    case (nil, nil), (.some, .some): break
    case (.some, nil): throw SettingError("\(origin("tls-cert")): a certificate needs its private key; give --tls-key too")
    case (nil, .some): throw SettingError("\(origin("tls-key")): a private key needs its certificate; give --tls-cert too")
    }
    if path("client-ca") != nil {
      guard path("tls-cert") != nil else {
        throw SettingError("\(origin("client-ca")): clients show certificates over TLS only; give --tls-cert and --tls-key too")
      }
      guard path("access") != nil else {
        throw SettingError("\(origin("client-ca")): without an access file nobody asks whose a certificate is; give --access too")
      }
    }
    if path("witnesses") != nil, path("signing-key") == nil {
      throw SettingError("\(origin("witnesses")): witnesses cosign what the log has signed; give --signing-key too")
    }
    let keys = list("signing-key").count
    if flag("make-key"), keys != 1 {
      throw SettingError("\(origin("make-key")) goes with one key file (--signing-key), and \(keys) are named")
    }
  }

  private func check(_ name: String, atMost limit: Int, _ reason: String) throws(SettingError) {
    guard number(name) > limit else { return }
    throw SettingError("\(origin(name)): \(name) is \(text(name)), and may be \(limit) at most: \(reason)")
  }

  private func check(_ name: String, atLeast limit: Int, _ reason: String) throws(SettingError) {
    guard number(name) < limit else { return }
    throw SettingError("\(origin(name)): \(name) is \(text(name)), and must be \(limit) at least: \(reason)")
  }
}
