import AuditLog
import AuditSchema
import Foundation
import Logging
import SegmentStore

/// A data directory of a test's own, and what a test does with it.
final class StoreFixture {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("segment-store-\(UUID().uuidString)").path
  var configuration = SegmentStoreConfiguration()
  var fileSystem: any FileSystem = PosixFileSystem()

  init(segmentBytes: UInt64 = 4096, zeroAheadBytes: Int = 1024) {
    configuration.segmentBytes = segmentBytes
    configuration.zeroAheadBytes = zeroAheadBytes
    configuration.indexSpacingBytes = 256
    // Tests count calls, and let any one of them fail.
    configuration.placeCheckInterval = .zero
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func open() throws -> SegmentStore {
    try SegmentStore(
      directory: path, configuration: configuration, fileSystem: fileSystem,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  func segment(_ first: UInt64) -> String { "\(path)/segments/\(name(first)).seg" }
  func index(_ first: UInt64) -> String { "\(path)/index/\(name(first)).idx" }
  private func name(_ first: UInt64) -> String { String(repeating: "0", count: 20 - String(first).count) + String(first) }

  /// First sequences of the segments on disk.
  func segments() throws -> [UInt64] {
    try FileManager.default.contentsOfDirectory(atPath: path + "/segments").filter { $0.hasSuffix(".seg") }
      .map { UInt64($0.dropLast(4))! }.sorted()
  }

  func torn() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path + "/torn").sorted() }

  func bytes(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }
  func write(_ bytes: [UInt8], to path: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
  func edit(_ path: String, _ change: (inout [UInt8]) -> Void) throws {
    var content = try bytes(path)
    change(&content)
    try write(content, to: path)
  }
  func remove(_ path: String) throws { try FileManager.default.removeItem(atPath: path) }

  /// Where commits begin in a segment without state in its header, and where the last one ends.
  func commits(in path: String) throws -> (commitHeaders: [Int], end: Int) {
    let content = try bytes(path)
    var commitHeaders: [Int] = []
    var at = Self.headerBytes
    while at + 39 <= content.count, content[at] == 0x12 {
      commitHeaders.append(at)
      at += 39 + Int(content[(at + 26)..<(at + 30)].reversed().reduce(0) { $0 << 8 | UInt32($1) })
    }
    return (commitHeaders, at)
  }

  /// Size of a segment's header without state.
  static let headerBytes = 79

  /// Every file of the directory with its content.
  func snapshot() throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    guard FileManager.default.fileExists(atPath: path) else { return files }
    for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
      var isDirectory: ObjCBool = false
      if FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isDirectory), !isDirectory.boolValue, name != "server.pid"
      {
        files[name] = try bytes("\(path)/\(name)")
      }
    }
    return files
  }

  /// Makes the directory what it was at the time of `snapshot`.
  func restore(_ files: [String: [UInt8]]) throws {
    for name in try snapshot().keys where files[name] == nil { try remove("\(path)/\(name)") }
    for (name, content) in files { try write(content, to: "\(path)/\(name)") }
  }

  /// Fills a new log with `commits` commits of two records each, and closes it. Returns the records.
  @discardableResult
  func fill(_ commits: Int, textBytes: Int = 20, close: Bool = true) throws -> [[UInt8]] {
    let store = try open()
    for _ in 0..<commits { try store.append(2, textBytes: textBytes) }
    let records = try store.records()
    if close { try store.close() }
    return records
  }
}

extension SegmentStore {
  /// Time of the commit that begins with `sequence`, unless a test says otherwise.
  static func time(_ sequence: UInt64) -> UInt64 { 1_000 + sequence * 10 }

  func append(_ count: Int, textBytes: Int = 20, state: [UInt8] = []) throws {
    let first = nextSequence
    let bytes = RecordFixture.records(first..<first + UInt64(count), receivedAt: Self.time(first), textBytes: textBytes)
    try append(bytes, count: count, first: first, receivedAt: Self.time(first), state: state)
  }

  func append(
    _ bytes: [UInt8], count: Int, first: UInt64, receivedAt: UInt64, stepsBack: Bool = false, state: [UInt8] = []
  ) throws {
    try bytes.withUnsafeBytes {
      try append(
        Commit(firstSequence: first, count: count, receivedAt: receivedAt, stepsBack: stepsBack, bytes: $0), state: { state })
    }
  }

  /// All records from `sequence` on with tag and length, by reads of at most `bufferBytes` unless one record takes more.
  func records(from sequence: UInt64 = 0, before end: UInt64 = .max, bufferBytes: Int = 700) throws -> [[UInt8]] {
    var records: [[UInt8]] = []
    try read(into: &records, from: sequence, before: end, bufferBytes: bufferBytes)
    return records
  }

  /// The same; what was read before an error is kept.
  func read(into records: inout [[UInt8]], from sequence: UInt64 = 0, before end: UInt64 = .max, bufferBytes: Int = 700) throws {
    var position = ReadPosition(sequence: sequence)
    var size = bufferBytes
    while true {
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
      defer { buffer.deallocate() }
      switch try read(from: position, before: end, into: buffer) {
      case .end: return
      case .bufferTooSmall(let needed):
        guard needed > size else { throw FixtureError("a buffer of \(size) bytes was too small for \(needed)") }
        size = needed
      case .records(let range, let count, let next):
        let stretch = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[range])
        let before = records.count
        RecordBatchBytes(stretch).forEachRange { records.append(Array(stretch[$1])) }
        guard records.count - before == count, next.sequence == position.sequence + UInt64(count) else {
          throw FixtureError("a read says \(count) records and holds \(records.count - before)")
        }
        position = next
        size = bufferBytes
      }
    }
  }
}

struct FixtureError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// What `body` throws; anything but a `StoreError` is a failed test.
func storeError(_ body: () throws -> Void) throws -> StoreError {
  do { try body() } catch let error as StoreError { return error }
  throw FixtureError("nothing was thrown")
}
