import Foundation
import Testing

/// Every input of the corpus, and mutations of it, through the target it is for. `make fuzz` finds new ones.
@Suite(.serialized) struct ReplayTests {
  private static let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "corpus")
  /// Of each target.
  private static let mutations = 20_000

  private func inputs(of target: String) throws -> [(name: String, bytes: [UInt8])] {
    let folder = Self.corpus.appending(path: target)
    return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
      ($0, Array(try Data(contentsOf: folder.appending(path: $0))))
    }
  }

  /// After a crash: with this in the environment, the last line printed names the input.
  private static let names = ProcessInfo.processInfo.environment["HUBAUDIT_FUZZ_NAMES"] != nil

  private func run(_ target: FuzzTarget, _ bytes: [UInt8], _ name: String) {
    if Self.names { FileHandle.standardError.write(Data("\(target.name), \(name)\n".utf8)) }
    do {
      try bytes.withUnsafeBytes { try target.run($0) }
    } catch {
      Issue.record("\(target.name), \(name): \(error)\nthe input in base64: \(Data(bytes).base64EncodedString())")
    }
  }

  @Test("inputs of the corpus, and mutations of them, crash nothing and break no promise", arguments: FuzzTarget.names)
  func replay(_ name: String) throws {
    let make = try #require(FuzzTarget.all[name])
    let target = make()
    let inputs = try inputs(of: name)
    try #require(!inputs.isEmpty)
    for (file, bytes) in inputs { run(target, bytes, file) }
    // The same ones in every run.
    for seed in 0..<UInt64(Self.mutations) {
      var mutation = Mutation(seed: seed)
      let (file, bytes) = inputs[Int(seed % UInt64(inputs.count))]
      let other = inputs[Int(seed / 7 % UInt64(inputs.count))].bytes
      run(target, mutation.changed(bytes, with: other), "\(file), mutation \(seed)")
    }
  }

  @Test("each target has a corpus, and each corpus a target")
  func completeness() throws {
    #expect(try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path).sorted() == FuzzTarget.names)
  }
}
