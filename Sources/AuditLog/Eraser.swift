import AuditSchema
import Foundation
import Logging
import MerkleTree

/// Erases bodies, on orders that one of the log's keys has signed.
///
/// The steps: store the order durably; append a record that says who, when and why; overwrite the body and sync; remove the order. After a crash
/// at any point the next start finishes the rest.
package actor Eraser {
  private let evidence: any EvidenceStore
  private let store: any RecordStore
  private let tail: LogTail
  private let own: LocalAppender
  private let verifiers: [VerifierKey]
  private let logger: Logger
  private var underWay: Set<UInt64> = []
  /// Waits for the disk, so that no thread of the cooperative pool does.
  private let queue = DispatchQueue(label: "hubaudit.erasure")

  init(
    store: any RecordStore, evidence: any EvidenceStore, tail: LogTail, own: LocalAppender, verifiers: [VerifierKey], logger: Logger
  ) {
    self.store = store
    self.evidence = evidence
    self.tail = tail
    self.own = own
    self.verifiers = verifiers
    self.logger = logger
  }

  /// - Parameter note: a signed `ErasureStatement`.
  /// - Returns: the sequence of the record about the erasure.
  /// - Throws: `RequestError`: `notPermitted` when none of the log's keys has signed, or for another record than the log has; `invalidRequest` for a record that is not there or has
  ///   no body any more; `StoreError` when the disk cannot be written.
  ///
  /// - Parameter recordOrder: called before anything is erased, with who orders it and for which record. If it throws, nothing is erased.
  package func erase(
    _ note: [UInt8], recordOrder: (@Sendable (_ by: String, _ sequence: UInt64) async throws -> Void)? = nil
  ) async throws -> UInt64 {
    let statement = try check(note)
    guard underWay.insert(statement.sequence).inserted else {
      throw RequestError(.overloaded, "record \(statement.sequence) is being erased; ask again in a moment")
    }
    defer { underWay.remove(statement.sequence) }
    try await onQueue { [store] in try Self.confirm(statement, in: store) }
    try await recordOrder?(statement.by, statement.sequence)
    let erasure = Erasure(sequence: statement.sequence, logSize: store.nextSequence, note: note)
    try await onQueue { [evidence] in try evidence.order(erasure) }
    return try await carryOut(erasure)
  }

  /// Carries out the orders that a crash interrupted.
  package func finishPending() async throws {
    for erasure in evidence.pendingErasures {
      do {
        let statement = try check(erasure.note)
        guard statement.sequence == erasure.sequence else {
          throw RequestError(.notPermitted, "its statement is about another record")
        }
        try await onQueue { [store] in try Self.confirm(statement, in: store) }
      } catch {
        throw StoreError(
          .tampered,
          "there is an order to erase record \(erasure.sequence), and none of the log's keys has given it for this record (\(error)); if a key was changed since, "
            + "give the old one too; otherwise keep the file in erasures/ as evidence elsewhere, remove it and start again")
      }
      logger.notice("finishing an erasure that was under way when the server stopped", metadata: ["sequence": "\(erasure.sequence)"])
      _ = try await carryOut(erasure)
    }
  }

  private func check(_ note: [UInt8]) throws -> ErasureStatement {
    do {
      let signed = try SignedNote(note)
      _ = try signed.verify(with: verifiers)
      let statement = try ErasureStatement(text: signed.text)
      guard statement.logID == store.start.logID, statement.origin == verifiers[0].name else {
        throw RequestError(.notPermitted, "the statement is about another log")
      }
      return statement
    } catch let error as EvidenceError {
      throw RequestError(.notPermitted, "erasing a record takes a statement signed with one of the log's own keys: \(error)")
    }
  }

  /// Checks that the order's leaf hash is that of the log's record. The store reports a record that does not exist.
  private static func confirm(_ statement: ErasureStatement, in store: any RecordStore) throws {
    let reader = RecordReader(store: store, from: statement.sequence)
    guard statement.sequence < store.nextSequence,
      let record = try reader.next(before: statement.sequence &+ 1).flatMap({ try Record.records(inBatch: $0.bytes).first })
    else { return }
    if record.hub == RecordOrigin.logName {
      throw RequestError(.notPermitted, "record \(statement.sequence) is the log's own, and evidence of what was done to it: it stays")
    }
    let leaf = TreeHash.leaf(Array(record.encodedHeader))
    guard leaf.bytes == statement.leafHash else {
      throw RequestError(
        .notPermitted,
        "the order is about another record than this log's \(statement.sequence), whose leaf hash is \(leaf): it was given for a log that went on "
          + "differently from here on; nothing was erased")
    }
  }

  private func carryOut(_ erasure: Erasure) async throws -> UInt64 {
    let sequence = try await recorded(erasure)
    try await onQueue { [evidence, tail] in
      // From here on the record is read from the disk only.
      tail.forget(through: erasure.sequence)
      try evidence.erase(erasure)
      tail.forget(through: erasure.sequence)
    }
    logger.notice("a record's body was erased", metadata: ["sequence": "\(erasure.sequence)", "recorded_as": "\(sequence)"])
    return sequence
  }

  /// The sequence of the record about an erasure. Appends it if it is not there yet.
  private func recorded(_ erasure: Erasure) async throws -> UInt64 {
    let statement = try ErasureStatement(text: try SignedNote(erasure.note).text)
    let json = try JSONEncoder.sorted.encode(
      OwnRecord(
        kind: .recordErased, erased_sequence: statement.sequence, by: statement.by, reason: statement.reason,
        statement: String(decoding: erasure.note, as: UTF8.self)))
    let found = try await onQueue { [store] in try Self.find(json: json, in: store, from: erasure.logSize) }
    if let found { return found }
    let appended = try await own.append([.custom(json: Array(json))])
    guard let sequence = appended.firstSequence else { throw RequestError(.internal, "the record about the erasure was not stored") }
    return sequence
  }

  private struct OwnRecord: Encodable {
    var kind: OwnRecordKind
    var erased_sequence: UInt64
    var by: String
    var reason: String
    var statement: String
  }

  private static func find(json: Data, in store: any RecordStore, from first: UInt64) throws -> UInt64? {
    let reader = RecordReader(store: store, from: first)
    while let batch = try reader.next() {
      for record in try Record.records(inBatch: batch.bytes) where record.hub == RecordOrigin.logName {
        if let text = try record.json(), text == Array(json) { return record.sequence }
      }
    }
    return nil
  }

  private func onQueue<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      queue.async { continuation.resume(with: Result(catching: body)) }
    }
  }
}

extension JSONEncoder {
  fileprivate static var sorted: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return encoder
  }
}
