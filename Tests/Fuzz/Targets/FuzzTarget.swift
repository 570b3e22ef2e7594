/// One of the program's doors for bytes from outside, and what must hold whatever comes in.
///
/// `make test` replays the corpus and mutations of it; `make fuzz` lets libFuzzer look for inputs that reach more code. A crash, a hang, or
/// a `Violation` is a find: the input goes into `corpus/<target>/`, so that it is tried for ever.
struct FuzzTarget {
  let name: String
  /// - Throws: `Violation`.
  let run: (UnsafeRawBufferPointer) throws -> Void

  static let all: [String: @Sendable () -> FuzzTarget] = [
    "frames": frames, "requests": requests, "replies": replies, "records": records, "segment": segment, "json": json, "evidence": evidence,
    "bloom": bloom, "cosigned": cosigned,
  ]

  static var names: [String] { all.keys.sorted() }
}

/// Something that must hold did not, for this input.
struct Violation: Error, CustomStringConvertible {
  let description: String
}

func require(_ condition: Bool, _ what: @autoclosure () -> String) throws {
  if !condition { throw Violation(description: what()) }
}

/// What `body` returns, whatever it throws being a violation.
func must<Value>(_ what: String, _ body: () throws -> Value) throws -> Value {
  do { return try body() } catch { throw Violation(description: "\(what): \(error)") }
}
