import AuditLog
import AuditSchema
import Foundation
import MerkleTree
import TestSupport

/// The ways in which a log is tampered with.
enum Tampering: String, CaseIterable {
  case flip = "flip a bit"
  case drop = "drop"
  case swap = "swap"
  case insert = "insert"
  case truncate = "truncate at the end"
  case rollBack = "roll back to an older copy"
  case resign = "sign again with another key"
  case editBody = "edit a body"
  case editHeader = "edit a header"
  case replaceCheckpoint = "replace a checkpoint"
}

/// Somebody who may change every byte of a data directory and knows the format, and all but the key.
struct Forger {
  /// How much of what then no longer fits is put right.
  private enum Care: CaseIterable {
    /// The checksums of records and commit headers.
    case checksums
    /// Positions and times too.
    case numbers
    /// And what segments' headers say of those before them.
    case headers
    /// And the checkpoints that then do not fit are removed.
    case checkpoints
  }

  var random: SeededRandom
  private let attacker: SignerKey

  init(random: SeededRandom) throws {
    self.random = random
    attacker = try SignerKey.generate(name: SignedLog.origin, kind: .ed25519)
  }

  /// - Returns: the changed directory and what was done; `nil` when the lot fell on something that is not there.
  mutating func tamper(_ log: SignedLog, _ how: Tampering) async throws -> (files: [String: [UInt8]], what: String)? {
    switch how {
    case .flip: return flip(log)
    case .drop: return drop(log)
    case .swap: return swap(log)
    case .insert: return insert(log)
    case .truncate: return truncate(log)
    case .rollBack: return rollBack(log)
    case .resign: return try await resign(log)
    case .editBody: return try await editBody(log)
    case .editHeader: return editHeader(log)
    case .replaceCheckpoint: return try replaceCheckpoint(log)
    }
  }

  // MARK: - Places

  private mutating func place(in log: ForgedLog) -> (segment: Int, commit: Int, record: Int) {
    let segment = random.pick(log.segments.indices.filter { !log.segments[$0].commits.isEmpty })
    let commit = random.below(log.segments[segment].commits.count)
    return (segment, commit, random.below(log.segments[segment].commits[commit].records.count))
  }

  /// Puts right what somebody with this care would, from the record on that was changed first.
  private mutating func finish(_ forged: inout ForgedLog, _ log: SignedLog, from first: UInt64, _ what: String) -> (
    files: [String: [UInt8]], what: String
  ) {
    let care = random.pick(Care.allCases)
    if care != .checksums { forged.renumber() }
    if care == .headers || care == .checkpoints { forged.rehash() }
    if care == .checkpoints { forged.checkpoints.removeAll { $0.size > first } }
    var files = log.files
    forged.write(into: &files)
    return (files, "\(what), from record \(first) on with the care for \(care)")
  }

  // MARK: - Tamperings

  private mutating func flip(_ log: SignedLog) -> (files: [String: [UInt8]], what: String)? {
    var files = log.files
    let parts = ["segments/", "checkpoints/", "log.json"].map { "\(ForgedLog.root)/\($0)" }
    let paths = files.keys.filter { path in parts.contains { path.hasPrefix($0) } }.sorted()
    // Now and then a file's turn comes that has few bytes.
    var path = random.pick(paths)
    if random.oneIn(2) { path = random.pick(paths.filter { $0.hasSuffix(".seg") }) }
    let at = random.below(files[path]!.count)
    let bit = random.below(8)
    files[path]![at] ^= 1 << bit
    return (files, "bit \(bit) of byte \(at) of \(path)")
  }

  private mutating func drop(_ log: SignedLog) -> (files: [String: [UInt8]], what: String)? {
    guard var forged = ForgedLog(log.files) else { return nil }
    switch random.below(4) {
    case 0:
      let place = place(in: forged)
      let dropped = forged.segments[place.segment].commits[place.commit].records.remove(at: place.record)
      if forged.segments[place.segment].commits[place.commit].records.isEmpty {
        forged.segments[place.segment].commits.remove(at: place.commit)
      }
      return finish(&forged, log, from: dropped.sequence, "record \(dropped.sequence) dropped")
    case 1:
      let place = place(in: forged)
      let dropped = forged.segments[place.segment].commits.remove(at: place.commit)
      return finish(&forged, log, from: dropped.records[0].sequence, "a commit of \(dropped.records.count) dropped")
    case 2:
      let dropped = forged.segments.remove(at: random.below(forged.segments.count))
      return finish(&forged, log, from: dropped.header.firstSequence, "segment \(dropped.header.firstSequence) dropped")
    default:
      var files = log.files
      let first = random.below(forged.checkpoints.count)
      let count = random.oneIn(2) ? 1 : forged.checkpoints.count - first
      forged.checkpoints.removeSubrange(first..<first + count)
      forged.write(into: &files)
      return (files, "\(count) checkpoints dropped from number \(first) on")
    }
  }

  private mutating func swap(_ log: SignedLog) -> (files: [String: [UInt8]], what: String)? {
    guard var forged = ForgedLog(log.files) else { return nil }
    if random.oneIn(3), forged.segments.count > 1 {
      let first = random.below(forged.segments.count - 1)
      let second = first + 1 + random.below(forged.segments.count - first - 1)
      let start = forged.segments[first].header.firstSequence
      if random.oneIn(2) {
        var files = log.files
        let paths = [first, second].map { ForgedLog.path("segments", forged.segments[$0].header.firstSequence, ".seg") }
        (files[paths[0]], files[paths[1]]) = (files[paths[1]], files[paths[0]])
        return (files, "the files of segments number \(first) and \(second) swapped")
      }
      (forged.segments[first].commits, forged.segments[second].commits) = (forged.segments[second].commits, forged.segments[first].commits)
      return finish(&forged, log, from: start, "the records of segments number \(first) and \(second) swapped")
    }
    let places = (place(in: forged), place(in: forged))
    let records = (record(at: places.0, forged), record(at: places.1, forged))
    guard records.0.sequence != records.1.sequence else { return nil }
    forged.segments[places.0.segment].commits[places.0.commit].records[places.0.record] = records.1
    forged.segments[places.1.segment].commits[places.1.commit].records[places.1.record] = records.0
    return finish(
      &forged, log, from: min(records.0.sequence, records.1.sequence), "records \(records.0.sequence) and \(records.1.sequence) swapped")
  }

  private func record(at place: (segment: Int, commit: Int, record: Int), _ log: ForgedLog) -> ForgedRecord {
    log.segments[place.segment].commits[place.commit].records[place.record]
  }

  private mutating func insert(_ log: SignedLog) -> (files: [String: [UInt8]], what: String)? {
    guard var forged = ForgedLog(log.files) else { return nil }
    let source = place(in: forged)
    let target = place(in: forged)
    let first = record(at: target, forged).sequence
    switch random.below(3) {
    case 0:
      let copy = record(at: source, forged)
      forged.segments[target.segment].commits[target.commit].records.insert(copy, at: target.record)
      return finish(&forged, log, from: first, "a copy of record \(copy.sequence) inserted")
    case 1:
      let copy = forged.segments[source.segment].commits[source.commit]
      forged.segments[target.segment].commits.insert(copy, at: target.commit)
      let start = forged.segments[target.segment].commits[target.commit + 1].records[0].sequence
      return finish(&forged, log, from: start, "a copy of a commit of \(copy.records.count) inserted")
    default:
      var files = log.files
      let from = random.below(forged.checkpoints.count)
      let to = random.below(forged.checkpoints.count)
      forged.checkpoints.insert(forged.checkpoints[from], at: to)
      forged.write(into: &files)
      return (files, "a copy of checkpoint number \(from) inserted before number \(to)")
    }
  }

  private mutating func truncate(_ log: SignedLog) -> (files: [String: [UInt8]], what: String)? {
    guard var forged = ForgedLog(log.files) else { return nil }
    forged.segments.removeLast(random.below(min(3, forged.segments.count)))
    let newest = forged.segments[forged.segments.count - 1]
    let path = ForgedLog.path("segments", newest.header.firstSequence, ".seg")
    let end: Int
    let left: UInt64
    if random.oneIn(2) {
      let commits = random.below(newest.commits.count + 1)
      end = commits == 0 ? newest.header.encoded().count : newest.commitEnds[commits - 1]
      left = newest.header.firstSequence + UInt64(newest.commits[..<commits].reduce(0) { $0 + $1.records.count })
    } else {
      end = random.below(newest.commitEnds.last ?? newest.header.encoded().count)
      left =
        newest.header.firstSequence
        + UInt64(zip(newest.commits, newest.commitEnds).reduce(0) { $1.1 <= end ? $0 + $1.0.records.count : $0 })
    }
    let isCovered = random.oneIn(2)
    if isCovered { forged.checkpoints.removeAll { $0.size > left } }
    var files = log.files
    let content = files[path]!
    forged.write(into: &files)
    files[path] = Array(content[..<end])
    return (files, "\(path) cut at \(end), to \(left) records\(isCovered ? ", with the checkpoints" : "")")
  }

  private mutating func rollBack(_ log: SignedLog) -> (files: [String: [UInt8]], what: String)? {
    let copy = random.below(log.copies.count)
    guard random.oneIn(3) else { return (log.copies[copy], "copy number \(copy) put back") }
    var files = log.copies[copy]
    for path in files.keys where path.hasPrefix("\(ForgedLog.root)/checkpoints/") { files[path] = nil }
    for (path, bytes) in log.files where path.hasPrefix("\(ForgedLog.root)/checkpoints/") { files[path] = bytes }
    return (files, "copy number \(copy) put back, but for the checkpoints")
  }

  // MARK: - With a key of one's own

  /// The log with a record that it says about itself, made by software that needs no key for that.
  private func withOwnRecord(_ log: SignedLog, _ json: String) async throws -> ForgedLog? {
    let disk = MemoryFileSystem(log.files)
    let opened = try await SignedLog.open(disk, signers: [], segmentBytes: log.segmentBytes, now: { 1_800_000_000_000_000_000 })
    do {
      _ = try await opened.own.append([.custom(json: Array(json.utf8))])
      try opened.close()
    } catch {
      try? opened.close()
      throw error
    }
    return ForgedLog(disk.contents)
  }

  private mutating func resign(_ log: SignedLog) async throws -> (files: [String: [UInt8]], what: String)? {
    guard var forged = ForgedLog(log.files) else { return nil }
    var what = "signed again"
    var first: UInt64 = 0
    if random.oneIn(2) {
      let key = "{\"kind\":\"log_key_added\",\"verifier_key\":\"\(attacker.verifier)\"}"
      guard let longer = try await withOwnRecord(log, key) else { return nil }
      forged = longer
      // To where it is before what is to be forged.
      let last = forged.segments.indices.last { !forged.segments[$0].commits.isEmpty }!
      let own = forged.segments[last].commits.removeLast().records[0]
      let target = place(in: forged)
      first = record(at: target, forged).sequence
      forged.segments[target.segment].commits[target.commit].records.insert(own, at: target.record)
      what += ", with a record at \(first) that says that the key was added"
    }
    if random.oneIn(2) {
      let place = place(in: forged)
      edit(&forged.segments[place.segment].commits[place.commit].records[place.record])
      what += ", a body edited"
    }
    forged.renumber()
    forged.rehash()
    let roots = forged.roots
    let kept = first > 0 && random.oneIn(2) ? forged.checkpoints.filter { $0.size <= first } : []
    forged.checkpoints =
      kept
      + (try forged.checkpoints.dropFirst(kept.count).map { old in
        try signed(size: old.size, root: roots[Int(old.size)], storedAt: old.storedAt)
      })
    if random.oneIn(2) {
      forged.checkpoints.append(
        try signed(size: UInt64(roots.count - 1), root: roots[roots.count - 1], storedAt: 1_800_000_000_000_000_001))
    }
    var files = log.files
    forged.write(into: &files)
    return (files, "\(what); \(kept.count) checkpoints kept")
  }

  private func signed(size: UInt64, root: TreeHash, storedAt: UInt64, origin: String = SignedLog.origin) throws -> StoredCheckpoint {
    let key = origin == SignedLog.origin ? attacker : try SignerKey.generate(name: origin, kind: .ed25519)
    let checkpoint = try SignedCheckpoint(Checkpoint(origin: origin, size: size, root: root), signedBy: [key])
    return StoredCheckpoint(size: size, storedAt: storedAt, note: checkpoint.bytes)
  }

  // MARK: - Edits

  /// Another body, with or without its hash in the header.
  private mutating func edit(_ record: inout ForgedRecord) {
    if var body = record.body {
      body[random.below(body.count)] ^= UInt8(1 + random.below(255))
      record.body = body
    } else {
      record.body = Array("made up".utf8)
    }
    if random.oneIn(2) { record.hashBody() }
  }

  private mutating func editBody(_ log: SignedLog) async throws -> (files: [String: [UInt8]], what: String)? {
    guard var forged = ForgedLog(log.files) else { return nil }
    var target = place(in: forged)
    let old = record(at: target, forged)
    guard random.oneIn(3), old.body != nil else {
      edit(&forged.segments[target.segment].commits[target.commit].records[target.record])
      return finish(&forged, log, from: old.sequence, "the body of record \(old.sequence) edited")
    }
    var what = "the body of record \(old.sequence) erased"
    if random.oneIn(2) {
      // An order that the attacker has signed, or nobody.
      let logID = forged.segments[0].header.logID
      let statement = try ErasureStatement(
        origin: SignedLog.origin, logID: logID, sequence: old.sequence,
        leafHash: TreeHash.leaf(old.header).bytes, by: "auditor", reason: "x")
      var note = try SignedNote(text: statement.text)
      try note.sign(with: [attacker])
      let text = String(decoding: random.oneIn(2) ? note.bytes : Array(statement.text.utf8), as: UTF8.self).replacing("\n", with: "\\n")
      let json =
        "{\"by\":\"auditor\",\"kind\":\"record_erased\",\"reason\":\"x\",\"erased_sequence\":\(old.sequence),\"statement\":\"\(text)\"}"
      guard let longer = try await withOwnRecord(log, json) else { return nil }
      forged = longer
      what += ", with an order that no key of the log has signed"
    }
    // Recovery may have begun another segment for it, but has moved nothing.
    target.segment = forged.segments.lastIndex { $0.header.firstSequence <= old.sequence }!
    forged.segments[target.segment].commits[target.commit].records[target.record].body = nil
    var files = log.files
    forged.write(into: &files)
    return (files, what)
  }

  private mutating func editHeader(_ log: SignedLog) -> (files: [String: [UInt8]], what: String)? {
    guard var forged = ForgedLog(log.files) else { return nil }
    if random.oneIn(3) { return editSegmentHeader(&forged, log) }
    let place = place(in: forged)
    let old = record(at: place, forged)
    var what = "record \(old.sequence): "
    if random.oneIn(4) {
      forged.segments[place.segment].commits[place.commit].receivedAt += 1
      for index in forged.segments[place.segment].commits[place.commit].records.indices {
        forged.segments[place.segment].commits[place.commit].records[index].receivedAt += 1
      }
      what += "another time"
      let first = forged.segments[place.segment].commits[place.commit].records[0].sequence
      return finish(&forged, log, from: first, what)
    }
    // Hub, kind, the body's hash.
    let number = random.pick([3, 6, 8])
    guard let field = old.headerField(number), !field.isEmpty else { return nil }
    let at = field.lowerBound + random.below(field.count)
    forged.segments[place.segment].commits[place.commit].records[place.record].header[at] ^= UInt8(1 + random.below(255))
    what += "field \(number) of its header edited"
    return finish(&forged, log, from: old.sequence, what)
  }

  private mutating func editSegmentHeader(_ forged: inout ForgedLog, _ log: SignedLog) -> (files: [String: [UInt8]], what: String)? {
    let index = random.below(forged.segments.count)
    var files = log.files
    let change = UInt64(1 + random.below(1000))
    let what: String
    switch random.below(5) {
    case 0:
      what = "the time before"
      forged.segments[index].header.previousReceivedAt &+= random.oneIn(2) ? change : ~change
    case 1:
      what = "the size before"
      forged.segments[index].header.previousBytes &+= random.oneIn(2) ? change : ~change
    case 2:
      what = "the tree"
      guard index > 0 else { return nil }
      let at = random.below(forged.segments[index].header.tree.count)
      forged.segments[index].header.tree[at] ^= UInt8(truncatingIfNeeded: change % 255 + 1)
    case 3:
      what = "the log"
      forged.segments[index].header.logID[random.below(16)] ^= UInt8(truncatingIfNeeded: change % 255 + 1)
    default:
      what = "the first sequence"
      forged.segments[index].header.firstSequence &+= change
    }
    forged.write(into: &files)
    return (files, "\(what) in the header of segment number \(index) edited")
  }

  private mutating func replaceCheckpoint(_ log: SignedLog) throws -> (files: [String: [UInt8]], what: String)? {
    guard var forged = ForgedLog(log.files) else { return nil }
    let index = random.oneIn(2) ? forged.checkpoints.count - 1 : random.below(forged.checkpoints.count)
    let old = forged.checkpoints[index]
    let roots = forged.roots
    guard old.size > 0 else { return nil }
    let what: String
    switch random.below(6) {
    case 0:
      what = "an older one"
      guard index > 0 else { return nil }
      forged.checkpoints[index] = forged.checkpoints[random.below(index)]
    case 1:
      what = "one with another root under the old signature"
      let note = String(decoding: old.note, as: UTF8.self)
      let lines = note.split(separator: "\n", maxSplits: 3, omittingEmptySubsequences: false)
      let other = roots[random.below(roots.count - 1)]
      guard other != roots[Int(old.size)] else { return nil }
      let changed = "\(lines[0])\n\(lines[1])\n\(Data(other.bytes).base64EncodedString())\n\(lines[3])"
      forged.checkpoints[index].note = Array(changed.utf8)
    case 2:
      what = "one with another root, signed by another key"
      forged.checkpoints[index] = try signed(size: old.size, root: .leaf([1]), storedAt: old.storedAt)
    case 3:
      what = "one of another log"
      forged.checkpoints[index] = try signed(
        size: old.size, root: roots[Int(old.size)], storedAt: old.storedAt, origin: "log.example/other")
    case 4:
      what = "one of another size under the old signature"
      let note = String(decoding: old.note, as: UTF8.self)
      let lines = note.split(separator: "\n", maxSplits: 2, omittingEmptySubsequences: false)
      forged.checkpoints[index].note = Array("\(lines[0])\n\(old.size - 1)\n\(lines[2])".utf8)
      if random.oneIn(2) { forged.checkpoints[index].size -= 1 }
    default:
      what = "the same, stored as one of another size"
      forged.checkpoints[index].size -= 1
    }
    var files = log.files
    forged.write(into: &files)
    return (files, "checkpoint number \(index) of \(forged.checkpoints.count) replaced by \(what)")
  }
}
