import ArgumentParser
import AuditClient
import AuditLog
import AuditSchema
import Foundation
import MerkleTree
import SegmentStore

/// `hubaudit verify`: checks that a log is the one that was signed.
struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check that nothing in a log was edited: every checksum, every body's hash, the tree, every signed checkpoint.",
    discussion: """
      hubaudit verify --data DIR --key VKEY          a data directory, a copy of one, or a folder of segments; the server may run
      hubaudit verify -s HOST:PORT --key VKEY        a running server, over the network
      hubaudit verify FILE.tlog-proof --key VKEY     a receipt (`hubaudit prove`), offline: nothing but the key is needed

      The first words say what was found: "verified" (every signature that was asked for is there), "consistent, but unsigned" (there is no \
      checkpoint), "consistent, signatures not checked" (no --key: whoever made the checkpoints), "not cosigned" (a witness that was asked for \
      is missing), "NOT VERIFIED". --since FILE is a checkpoint (or a \
      .tlog-proof, whose record is checked too) that you have kept: nothing before it was changed. --save FILE keeps the newest one for the \
      next time, and is compared first where it is there. A witness' key given with --key has to have cosigned, \
      and so has the quorum of --policy: not more than a minute of records may be without. Over the network \
      the newest checkpoint is checked, in a directory every one that was ever made.

      Findings go to standard error, one a line, with file and offset or record. Exit 4 when there is one, or when \
      there is less than --key or --policy asks for.
      """)

  @OptionGroup var connection: ProofConnectionOptions
  @Argument(help: "A receipt of one record, to be checked offline. Without it a log is verified.", completion: .file()) var receipt: String?
  @Option(
    name: [.customLong("data"), .customShort("d")], help: "A data directory, a copy of one, or a folder of segments.",
    completion: .directory) var data: String?
  @Option(help: "Directory of the signed checkpoints, where it is not in the data directory.", completion: .directory) var checkpoints:
    String?
  @Option(help: "The log's verifier key, or a file that holds it; may be repeated.", completion: .file()) var key: [String] = []
  @Option(help: "Policy file (C2SP tlog-policy): its logs' keys, and the quorum that has to have cosigned.", completion: .file())
  var policy: String?
  @Option(help: "A checkpoint that was kept, or a .tlog-proof; may be repeated.", completion: .file()) var since: [String] = []
  @Option(help: "File for the newest checkpoint, once all is verified.", completion: .file()) var save: String?
  @Flag(name: [.short, .long], help: "Print nothing but findings.") var quiet = false

  func run() async throws {
    let policy = try policy.map { try PolicyFile.read($0) }
    var keys = try key.map { try VerifierKeys.parse($0) }
    keys += try Self.logKeys(of: policy, besides: keys)
    guard keys.isEmpty || keys.contains(where: { $0.kind != .cosignature }) else {
      throw CommandFailure(.usage, "--key names witnesses only; give the log's verifier key too")
    }
    if let receipt {
      guard data == nil, connection.server == nil, checkpoints == nil, since.isEmpty, save == nil else {
        throw CommandFailure(.usage, "a receipt is checked by itself; to compare it with a log, give it as --since")
      }
      return try ReceiptCheck(path: receipt, keys: keys, policy: policy).run(quiet: quiet)
    }
    if data != nil, connection.server != nil { throw CommandFailure(.usage, "give --data or --server, not both") }
    if data == nil, checkpoints != nil { throw CommandFailure(.usage, "--checkpoints goes with --data") }
    // A saved checkpoint is not replaced by one of a log that does not begin with it.
    let saved = save.flatMap { FileManager.default.fileExists(atPath: $0) ? $0 : nil }
    let evidence = try (since + [saved].compactMap { $0 }).map { ($0, try Self.evidence($0)) }
    let kept = evidence.map { ($0.0, $0.1.checkpoint) }
    let wanted = Set(evidence.compactMap { $0.1.proof?.index })
    let progress = Progress(isQuiet: quiet)
    var summary: String
    var audit: LogAudit
    var newest: SignedCheckpoint?
    if let data {
      try DirectoryArgument.check(data, "--data")
      let verification: LogVerification
      do {
        verification = try LogVerification(
          directory: data, checkpoints: checkpoints, keys: keys, policy: policy, brought: kept.map { ($0.1, "the checkpoint in \($0.0)") },
          wantedLeaves: wanted,
          progress: { progress.tell($0.records, share: Double($0.bytes) / Double(max(1, $0.totalBytes))) })
      } catch { throw CommandFailure(error.code == .damaged ? .verificationFailed : .failure, "\(error)") }
      audit = verification.audit
      for notice in verification.notices { StandardError.write("hubaudit: notice: \(notice)\n") }
      newest = verification.newest
      summary = "\(counted(verification.segments, "segment")), \(counted(verification.bytes, "byte"))"
    } else {
      (audit, newest) = try await live(keys, policy, kept, wanted, progress)
      summary = "read from the server"
    }
    progress.end()
    for (path, evidence) in evidence { Self.check(evidence.proof, path, in: &audit) }
    for finding in audit.findings { StandardError.write("hubaudit: \(finding.place): \(finding.sentence)\n") }
    let isGood = audit.findingCount == 0
    if isGood, let save, let newest {
      do { try WholeFile.replace(save, with: newest.bytes) } catch {
        throw CommandFailure(.failure, "the log is verified, but \(save) cannot be written: \(error)")
      }
    }
    if !quiet || !isGood {
      summary +=
        ", \(counted(audit.checkpoints, "checkpoint")), "
        + (keys.isEmpty ? "signatures not checked (no --key)" : "\(counted(audit.signatures, "signature"))")
      let all = audit.records == audit.tree.size ? "" : "\(audit.records) of "
      print(
        "\(audit.verdict.rawValue): \(all)\(counted(audit.tree.size, "record")), \(audit.coveredRecords) of them under a checkpoint, root \(audit.tree.root); "
          + "\(summary), \(counted(audit.findingCount, "finding"))")
      for (_, sentence) in audit.erasures.sorted(by: { $0.key < $1.key }) { print("erased: \(TerminalText.escaped(sentence))") }
    }
    if !isGood { throw CommandFailure(.verificationFailed) }
  }

  /// The keys of a policy's logs.
  private static func logKeys(of policy: TrustPolicy?, besides given: [VerifierKey]) throws -> [VerifierKey] {
    let keys = (policy?.logs ?? []).map(\.key)
    let name = given.first { $0.kind != .cosignature }?.name ?? keys.first?.name
    let others = keys.filter { $0.name != name }
    guard others.isEmpty || given.contains(where: { $0.kind != .cosignature }) else {
      throw CommandFailure(.usage, "--policy names more than one log; say which with --key")
    }
    return keys.filter { $0.name == name && !given.contains($0) }
  }

  /// Reads all records that the server's newest checkpoint covers, or all records of an unsigned log.
  private func live(
    _ keys: [VerifierKey], _ policy: TrustPolicy?, _ kept: [(String, SignedCheckpoint)], _ wanted: Set<UInt64>, _ progress: Progress
  ) async throws -> (LogAudit, SignedCheckpoint?) {
    let client = try await connection.connect()
    return try await ConnectionOptions.reporting {
      var newest: SignedCheckpoint?
      do { newest = try await client.checkpoint(covering: client.welcome.nextSequence) } catch let error as ClientError
        where error.code == .refused(.unsupportedRequest)
      {
        // The server signs no more, but earlier checkpoints are still there.
        newest = try await Self.checkpoint(client)
      }
      var audit = LogAudit(keys: keys, policy: policy, wantedLeaves: wanted)
      audit.logID = client.welcome.logID
      var told: [SignedCheckpoint] = []
      if let found = newest {
        told = try await Self.cosigned(found, client, audit)
        newest = told.max { $0.checkpoint.size < $1.checkpoint.size }
      }
      var expected =
        kept.map { ($0.1, "the checkpoint in \($0.0)") }
        + told.map { ($0, "the server's checkpoint of \(counted($0.checkpoint.size, "record"))") }
      expected.sort { $0.0.checkpoint.size < $1.0.checkpoint.size }
      let size = max(newest?.checkpoint.size ?? 0, client.welcome.nextSequence)
      func meet() {
        while let next = expected.first, next.0.checkpoint.size <= audit.tree.size {
          audit.check(next.0, place: next.1)
          expected.removeFirst()
        }
      }
      meet()
      do {
        for try await record in client.read(from: .earliest, limit: size) {
          if record.sequence > audit.tree.size { try Self.passedOver(audit.tree.size, client) }
          if !record.isIntact { audit.report("record \(record.sequence)", "its checksum or its body's hash does not fit its bytes") }
          record.encoded.withUnsafeBytes { audit.add($0, place: "record \(record.sequence)") }
          meet()
          progress.tell(audit.tree.size, share: Double(audit.tree.size) / Double(max(1, size)))
        }
      } catch let error as ClientError where error.code == .refused(.dataDamaged) {
        audit.report("record \(audit.tree.size)", error.message)
        await client.close()
        return (audit, nil)
      }
      if audit.tree.size < size { try Self.passedOver(audit.tree.size, client) }
      for next in expected { audit.check(next.0, place: next.1) }
      if audit.checkpoints == 0, !keys.isEmpty { audit.reportUnsigned() }
      audit.finish()
      await client.close()
      return (audit, newest)
    }
  }

  /// For a record that did not come.
  ///
  /// - Throws: if it may be one that the user has no right to read. Otherwise it is missing.
  private static func passedOver(_ sequence: UInt64, _ client: AuditClient) throws {
    let identity = client.welcome.identity
    guard identity != Welcome.anonymous else { return }
    throw CommandFailure(
      .notPermitted,
      "not verified: record \(sequence) did not come; either \(TerminalText.escaped(identity)) has no right to read it, or it is missing; to verify over "
        + "the network takes the right `read hubs=*,hubaudit`; a copy of the directory can be verified with --data")
  }

  /// The newest stored checkpoint; `nil` for a log that was never signed.
  private static func checkpoint(_ client: AuditClient) async throws -> SignedCheckpoint? {
    do { return try await client.checkpoint() } catch let error as ClientError where error.code == .refused(.unsupportedRequest) {
      return nil
    }
  }

  /// The newest checkpoint, and the newest one with the required cosignatures, if any: witnesses cosign a moment later.
  private static func cosigned(_ newest: SignedCheckpoint, _ client: AuditClient, _ audit: LogAudit) async throws -> [SignedCheckpoint] {
    if audit.isCosigned(newest) || newest.checkpoint.size == 0 { return [newest] }
    for attempt in 0..<10 {
      for found in [try await client.prove(0).checkpoint, try await Self.checkpoint(client)].compactMap({ $0 })
      where audit.isCosigned(found) {
        return [newest, found]
      }
      if attempt < 9 { try await Task.sleep(for: .milliseconds(300)) }
    }
    return [newest]
  }

  /// Checks that the receipt's record is at the receipt's position.
  private static func check(_ proof: TlogProof?, _ path: String, in audit: inout LogAudit) {
    guard let proof, audit.findingCount == 0 else { return }
    guard let leaf = audit.leaves[proof.index] else {
      return audit.report("the receipt in \(path)", "there is no record \(proof.index)")
    }
    do throws(EvidenceError) {
      let told = proof.checkpoint.checkpoint
      try InclusionProof(index: proof.index, treeSize: told.size, path: proof.path).verify(leaf: leaf, root: told.root)
    } catch {
      audit.report("the receipt in \(path)", "\(error)")
    }
  }

  private static func evidence(_ path: String) throws -> (checkpoint: SignedCheckpoint, proof: TlogProof?) {
    let bytes: [UInt8]
    do { bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) } catch {
      throw CommandFailure(.usage, "--since: cannot read \(path): \(error.localizedDescription)")
    }
    do throws(EvidenceError) {
      if let proof = try? TlogProof(bytes) { return (proof.checkpoint, proof) }
      return (try SignedCheckpoint(bytes), nil)
    } catch {
      throw CommandFailure(.usage, "--since: \(path) holds no checkpoint: \(error)")
    }
  }

  /// Progress on standard error: one changing line on a terminal, else a line now and then.
  private final class Progress {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let isQuiet: Bool
    private var toldAt = ContinuousClock.now
    private var hasTold = false

    init(isQuiet: Bool) { self.isQuiet = isQuiet }

    func tell(_ records: UInt64, share: Double) {
      guard !isQuiet, records % 256 == 0, ContinuousClock.now - toldAt > (isTerminal ? .milliseconds(200) : .seconds(5)) else { return }
      toldAt = .now
      hasTold = true
      let text = "hubaudit: \(counted(records, "record")), \(Int(share * 100)) %"
      StandardError.write(isTerminal ? "\r\(text) " : text + "\n")
    }

    func end() { if isTerminal, hasTold { StandardError.write("\n") } }
  }
}
