/// Suggestions for mistyped words.
package enum Spelling {
  /// The known word at an edit distance of one or two; `nil` if there is none, or the word is known.
  package static func nearest(to word: String, among known: [String], within limit: Int = 2) -> String? {
    let word = Array(word.prefix(64).unicodeScalars)
    let ranked = known.map { ($0, distance(word, Array($0.unicodeScalars))) }.filter { $0.1 <= min(limit, word.count / 2) }
    guard let best = ranked.min(by: { $0.1 < $1.1 }), best.1 > 0 else { return nil }
    return best.0
  }

  /// Edit distance: insertions, deletions, replacements and swaps of neighbours.
  private static func distance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    var rows = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
    for i in 0...a.count { rows[i][0] = i }
    for j in 0...b.count { rows[0][j] = j }
    for i in stride(from: 1, through: a.count, by: 1) {
      for j in stride(from: 1, through: b.count, by: 1) {
        let isSame = a[i - 1] == b[j - 1]
        rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (isSame ? 0 : 1))
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1) }
      }
    }
    return rows[a.count][b.count]
  }
}
