/// Counts the bytes of one kind that the connections of one event loop hold together, against the loop's share of the server's limit.
struct ByteBudget {
  let limit: Int
  private(set) var used = 0

  init(limit: Int) { self.limit = limit }

  var isExceeded: Bool { used > limit }

  /// Whether there is room for `bytes`. The first has room whatever its size.
  func admits(_ bytes: Int) -> Bool { used == 0 || used + bytes <= limit }

  mutating func take(_ bytes: Int) { used += bytes }

  mutating func giveBack(_ bytes: Int) {
    assert(bytes <= used, "more is given back than was taken")
    used -= bytes
  }

  /// One connection's part has changed.
  mutating func replace(_ before: Int, with now: Int) { used += now - before }
}
