extension JSONText {
  /// The same JSON on one line: line ends between tokens become spaces. Unless `keepsNonFinite`, NaN and Infinity become strings and
  /// unpaired surrogates become U+FFFD, so that every JSON reader accepts it.
  ///
  /// - Parameter text: JSON text that was checked before.
  package static func oneLine(_ text: [UInt8], keepsNonFinite: Bool = false) -> [UInt8] {
    let out = TextBuffer(capacity: text.count)
    text.withUnsafeBufferPointer { append(lineOf: $0, to: out, keepsNonFinite: keepsNonFinite) }
    return Array(out.bytes)
  }

  /// - Parameter isForTerminal: escape the characters of strings that a terminal acts on (`TerminalCharacters`). The value stays the same.
  package static func append(
    lineOf text: UnsafeBufferPointer<UInt8>, to out: TextBuffer, keepsNonFinite: Bool = false, isForTerminal: Bool = false
  ) {
    var inString = false
    var index = 0
    /// Start of the bytes that are copied unchanged next.
    var begin = 0
    func copy() { out.append(UnsafeBufferPointer(rebasing: text[begin..<index])) }
    while index < text.count {
      let byte = text[index]
      if inString {
        switch byte {
        case UInt8(ascii: "\\"):
          if !keepsNonFinite, let pair = surrogates(text, at: index) {
            if !pair.isWhole {
              copy()
              out.append(#"\ufffd"# as StaticString)
              begin = index + pair.bytes
            }
            index += pair.bytes
          } else {
            index = min(index + 2, text.count)
          }
          continue
        case UInt8(ascii: "\""): inString = false
        case 0x7F... where isForTerminal:
          let (scalar, count) = scalar(text, at: index)
          if let scalar, !TerminalCharacters.isHarmless(scalar) {
            copy()
            for unit in String(scalar).utf16 { ObjectWriter.append(escapeOf: unit, to: out) }
            begin = index + count
          }
          index += count
          continue
        default: break
        }
      } else {
        switch byte {
        case UInt8(ascii: "\""): inString = true
        case 0x0A, 0x0D, 0x09:
          copy()
          out.append(0x20)
          begin = index + 1
        case UInt8(ascii: "N") where !keepsNonFinite, UInt8(ascii: "I") where !keepsNonFinite:
          copy()
          let isNegative = out.last == UInt8(ascii: "-")
          let word = byte == UInt8(ascii: "N") ? "NaN" : "Infinity"
          if isNegative { out.removeLast() }
          out.append("\"\(isNegative ? "-" : "")\(word)\"")
          index += word.utf8.count
          begin = index
          continue
        default: break
        }
      }
      index += 1
    }
    copy()
  }

  /// The character at `index` and its number of bytes; `nil` and 1 if there is none.
  private static func scalar(_ text: UnsafeBufferPointer<UInt8>, at index: Int) -> (Unicode.Scalar?, Int) {
    var decoder = UTF8()
    var bytes = text[index..<min(index + 4, text.count)].makeIterator()
    guard case .scalarValue(let scalar) = decoder.decode(&bytes) else { return (nil, 1) }
    return (scalar, UTF8.width(scalar))
  }

  /// Whether the escape at `index` begins a whole surrogate pair or is an unpaired surrogate; `nil`: neither.
  private static func surrogates(_ text: UnsafeBufferPointer<UInt8>, at index: Int) -> (isWhole: Bool, bytes: Int)? {
    func unit(_ start: Int) -> UInt32? {
      guard start + 6 <= text.count, text[start] == UInt8(ascii: "\\"), text[start + 1] == UInt8(ascii: "u") else { return nil }
      return text[start + 2..<start + 6].reduce(0) { $0 << 4 | (hexDigit($1) ?? 0) }
    }
    guard let first = unit(index), (0xD800...0xDFFF).contains(first) else { return nil }
    if first < 0xDC00, let second = unit(index + 6), (0xDC00...0xDFFF).contains(second) { return (true, 12) }
    return (false, 6)
  }
}
