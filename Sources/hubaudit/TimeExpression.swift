import AuditSchema
import Foundation
import HubauditSettings

/// Points in time as people write them: RFC 3339, "-15m", "now", "today", "yesterday". UTC throughout.
enum TimeExpression {
  /// Unix time in nanoseconds.
  ///
  /// - Throws: `CommandFailure` with usage status that lists the allowed forms.
  static func parse(_ text: String, now: UInt64 = UTCTime.now()) throws -> UInt64 {
    let day: UInt64 = 86_400_000_000_000
    switch text {
    case "now": return now
    case "today": return now / day * day
    case "yesterday": return max(now / day, 1) * day - day
    default: break
    }
    if text.hasPrefix("-"), let ago = Amount.duration(String(text.dropFirst())) {
      let nanoseconds = UInt64(ago / .nanoseconds(1))
      return now - min(now, nanoseconds)
    }
    if let time = rfc3339(text) { return time }
    throw CommandFailure(
      .usage, "\"\(text)\" is not a time from 1970 to 2540; write 2026-11-23, 2026-11-23T10:00:00Z, -15m, now, today or yesterday (UTC)")
  }

  /// `nil` if the text is no RFC 3339 time.
  static func rfc3339(_ text: String) -> UInt64? {
    let pattern = /(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|z|[+-]\d{2}:\d{2})?)?/
    guard let match = text.wholeMatch(of: pattern) else { return nil }
    var fields = tm()
    fields.tm_year = Int32(match.1)! - 1900
    fields.tm_mon = Int32(match.2)! - 1
    fields.tm_mday = Int32(match.3)!
    fields.tm_hour = Int32(match.4 ?? "0")!
    fields.tm_min = Int32(match.5 ?? "0")!
    fields.tm_sec = Int32(match.6 ?? "0")!
    guard (0..<12).contains(fields.tm_mon), (1...31).contains(fields.tm_mday), fields.tm_hour < 24, fields.tm_min < 60, fields.tm_sec < 61
    else {
      return nil
    }
    var seconds = timegm(&fields)
    if let zone = match.8, zone.lowercased() != "z" {
      let offset = Int(zone.dropFirst().prefix(2))! * 3600 + Int(zone.suffix(2))! * 60
      seconds -= zone.hasPrefix("-") ? -offset : offset
    }
    // 64 bits of nanoseconds end in the year 2554.
    guard (0..<18_000_000_000).contains(seconds) else { return nil }
    let fraction = (match.7.map(String.init) ?? "").padding(toLength: 9, withPad: "0", startingAt: 0)
    return UInt64(seconds) * 1_000_000_000 + UInt64(fraction)!
  }
}
