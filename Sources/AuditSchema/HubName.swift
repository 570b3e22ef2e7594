/// The rules for hub names, which are shown to people and used in filters.
package enum HubName {
  /// Maximum bytes of a hub's name, and of a kind.
  package static let maximumBytes = 256
  /// The hub's name in the log's own records. No hub may use it, or a name that looks like it.
  package static let ofTheLog = "hubaudit"

  /// - Throws: `invalidRequest` for an invalid name. The message does not repeat unprintable characters.
  package static func check(_ name: String) throws(RequestError) {
    guard !name.isEmpty, name.utf8.count <= maximumBytes else {
      throw RequestError(.invalidRequest, "the hub's name has \(name.utf8.count) bytes; 1 to \(maximumBytes) are allowed")
    }
    for (index, scalar) in name.unicodeScalars.enumerated() where !isPrintable(scalar) {
      throw RequestError(
        .invalidRequest,
        "the hub's name has U+\(hex(scalar)) at character \(index), which cannot be printed or not be seen; letters, digits, marks, "
          + "punctuation, symbols and spaces are allowed")
    }
    guard name.unicodeScalars.first != " ", name.unicodeScalars.last != " " else {
      throw RequestError(.invalidRequest, "the hub's name begins or ends with a space; leave it out")
    }
    guard skeleton(name) != skeleton(ofTheLog) else {
      let which = name == ofTheLog ? "is that" : "could be taken for \"\(ofTheLog)\", that"
      throw RequestError(.invalidRequest, "the hub's name \(which) of the log's own records; take another")
    }
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    if scalar == " " { return true }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: return false
    default: return !scalar.properties.isDefaultIgnorableCodePoint
    }
  }

  private static func hex(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }

  /// A name reduced to its look: look-alikes become lower-case Latin letters, and marks are removed. Names with equal skeletons look alike.
  static func skeleton(_ name: String) -> String {
    var skeleton = ""
    for scalar in name.unicodeScalars {
      switch scalar.properties.generalCategory {
      case .nonspacingMark, .enclosingMark, .spacingMark: continue
      default: break
      }
      let lower = scalar.properties.lowercaseMapping.unicodeScalars.first ?? scalar
      if let letter = lookAlikes[lower] ?? lookAlikes[scalar] {
        skeleton.unicodeScalars.append(letter)
      } else {
        skeleton.unicodeScalars.append(latin(lower) ?? lower)
      }
    }
    return skeleton
  }

  /// The base letter of a Latin letter with a stroke, mark or circle, or of another typeface, by its Unicode name.
  private static func latin(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
    guard !scalar.isASCII, let words = scalar.properties.name?.split(separator: " "), words.contains("LATIN") || words[0] == "MATHEMATICAL",
      let letter = words.prefix(while: { $0 != "WITH" }).last(where: { $0.count == 1 })
    else { return nil }
    let small = Unicode.Scalar(letter.lowercased())
    return small.flatMap { lookAlikes[$0] ?? $0 }
  }

  /// Letters and digits of other scripts that look like a letter of `ofTheLog` in lower or upper case.
  private static let lookAlikes: [Unicode.Scalar: Unicode.Scalar] = {
    let alike: [(Unicode.Scalar, String)] = [
      ("h", "һհнηɦꮋꮒᏂᎻᕼⱨ"), ("u", "սυʋᴜᥙ∪ᑌ"), ("b", "вьβƅꮟᏏᏴᗷᑲᖯɓ8"), ("a", "аɑα⍺ꭺᎪᗅ@4"), ("d", "ԁɗꮷᏧꭰᎠᑯᗪ"),
      ("i", "іıιɩɪӏꭵᎥl1|!¡ا"), ("t", "тτᴛꭲᎢ⊤7"),
    ]
    return Dictionary(
      alike.flatMap { letter, others in others.unicodeScalars.map { ($0, letter) } }, uniquingKeysWith: { first, _ in first })
  }()
}
