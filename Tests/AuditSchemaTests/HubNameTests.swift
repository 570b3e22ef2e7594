import AuditSchema
import Testing

/// What a hub may be called.
@Suite struct HubNameTests {
  private func refusal(_ name: String) -> String? {
    do {
      _ = try RecordOrigin(hub: name)
      return nil
    } catch {
      return error.message
    }
  }

  @Test(
    "names of printable characters are taken as they are",
    arguments: ["hub", "hub-1", "Bank of Łódź", "交易", "בנק", "hubaudit2", "my hubaudit", "hubaudits", "audit", "🙂", "a=b", "x  y", "HUB"])
  func good(name: String) throws { #expect(try RecordOrigin(hub: name).hub == name) }

  @Test(
    "what cannot be printed or seen is refused and named by its number, never repeated",
    arguments: [
      ("a\u{0}b", "U+0000"), ("a\nb", "U+000A"), ("\u{1B}[2J", "U+001B"), ("a\u{7F}", "U+007F"), ("a\u{9B}b", "U+009B"),
      ("a\u{202E}b", "U+202E"),
      ("hub\u{200B}", "U+200B"), ("hub\u{FEFF}", "U+FEFF"), ("a\u{A0}b", "U+00A0"), ("a\u{2028}b", "U+2028"), ("a\u{3000}b", "U+3000"),
      ("a\u{E000}b", "U+E000"), ("a\u{FFFF}b", "U+FFFF"), ("a\u{3164}b", "U+3164"), ("a\u{FE0F}b", "U+FE0F"), ("a\u{E0041}", "U+E0041"),
    ])
  func unprintable(name: String, number: String) throws {
    let message = try #require(refusal(name))
    #expect(message.contains(number + " ") && !message.contains(name))
  }

  @Test("a space at either end is refused", arguments: [" hub", "hub ", " "])
  func spaces(name: String) { #expect(refusal(name)?.contains("space") == true) }

  @Test(
    "what could be taken for the log's own name is refused",
    arguments: [
      "hubaudit", "Hubaudit", "HUBAUDIT", "hubаudit", "hubaudıt", "hubaudİt", "hubaudlt", "hubaud1t", "ʜubaudit", "ｈｕｂａｕｄｉｔ", "𝐡𝐮𝐛𝐚𝐮𝐝𝐢𝐭",
      "hubaudi\u{323}t", "hubaudịt",
      "húbaudit", "ⓗⓤⓑⓐⓤⓓⓘⓣ", "НUВАUDIТ", "hubauԁit",
    ])
  func confusable(name: String) { #expect(refusal(name)?.contains("log's own") == true) }
}
