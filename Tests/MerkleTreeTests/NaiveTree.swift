import MerkleTree

/// RFC 6962 section 2.1 as it is written there: the definition that everything else is compared with.
struct NaiveTree {
  var leaves: [TreeHash]

  static func split(_ count: Int) -> Int {
    var power = 1
    while power * 2 < count { power *= 2 }
    return power
  }

  func root(_ range: Range<Int>) -> TreeHash {
    if range.isEmpty { return .emptyTree }
    if range.count == 1 { return leaves[range.lowerBound] }
    let middle = range.lowerBound + NaiveTree.split(range.count)
    return .node(root(range.lowerBound..<middle), root(middle..<range.upperBound))
  }

  func path(_ index: Int, _ range: Range<Int>) -> [TreeHash] {
    if range.count <= 1 { return [] }
    let middle = range.lowerBound + NaiveTree.split(range.count)
    return index < middle
      ? path(index, range.lowerBound..<middle) + [root(middle..<range.upperBound)]
      : path(index, middle..<range.upperBound) + [root(range.lowerBound..<middle)]
  }

  func proof(_ old: Int, _ new: Int) -> [TreeHash] {
    old == 0 || old == new ? [] : subproof(old, 0..<new, true)
  }

  private func subproof(_ old: Int, _ range: Range<Int>, _ isKnown: Bool) -> [TreeHash] {
    if old == range.upperBound { return isKnown ? [] : [root(range)] }
    let middle = range.lowerBound + NaiveTree.split(range.count)
    return old <= middle
      ? subproof(old, range.lowerBound..<middle, isKnown) + [root(middle..<range.upperBound)]
      : subproof(old, middle..<range.upperBound, false) + [root(range.lowerBound..<middle)]
  }
}
