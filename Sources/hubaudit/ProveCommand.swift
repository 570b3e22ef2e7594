import ArgumentParser
import AuditClient
import AuditLog
import AuditSchema
import Foundation
import MerkleTree

/// `hubaudit prove`: an offline receipt for one record.
struct ProveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prove",
    abstract: "Write the proof that a record is in the log, as a C2SP .tlog-proof file.",
    discussion: """
      The file holds the record's position and header, the hashes that lead from the header to the root, and the checkpoint that the log has \
      signed. Anyone can verify it offline with the log's verifier key: `hubaudit verify FILE --key VKEY`. The header names the SHA-256 of the \
      record's body, which `read -o json` prints as body_sha256. With \
      --key it is verified before it is written: exit 4 when it does not hold. A witness' key given with --key has to have cosigned it: with a quorum in the server's policy, the receipt is of the newest checkpoint that has it, once that covers the record.
      """)

  @OptionGroup var connection: ProofConnectionOptions
  @Argument(help: "The record's sequence.") var sequence: UInt64
  @Option(name: .shortAndLong, help: "File to write; - for standard output. Default: SEQUENCE.tlog-proof.", completion: .file()) var out:
    String?
  @Option(help: "The log's verifier key, or a file that holds it; may be repeated.", completion: .file()) var key: [String] = []

  func run() async throws {
    let keys = try key.map { try VerifierKeys.parse($0) }
    guard keys.isEmpty || keys.contains(where: { $0.kind != .cosignature }) else {
      throw CommandFailure(.usage, "--key names witnesses only; give the log's verifier key too")
    }
    let client = try await connection.connect()
    let (receipt, header) = try await ConnectionOptions.reporting {
      let receipt = try await client.prove(sequence)
      var header: [UInt8]?
      for try await record in client.read(from: .sequence(sequence), limit: 1) where record.sequence == sequence {
        header = Array(record.encodedHeader)
      }
      return (receipt, header)
    }
    await client.close()
    guard let header else {
      let identity = client.welcome.identity
      guard identity != Welcome.anonymous else { throw CommandFailure(.nothingFound, "there is no record \(sequence)") }
      throw CommandFailure(
        .notPermitted,
        "record \(sequence) is in the log, and \(TerminalText.escaped(identity)) has no right to read it; a receipt needs the record's header"
      )
    }
    let proof: TlogProof
    do throws(EvidenceError) {
      if keys.isEmpty {
        try receipt.proof.verify(leaf: .leaf(header), root: receipt.checkpoint.checkpoint.root)
      } else {
        try receipt.verify(header: header, keys: keys)
      }
      proof = try receipt.tlogProof(header: header)
    } catch {
      guard error.code != .quorumMissing else {
        throw CommandFailure(.verificationFailed, "not cosigned: \(error); ask again when the witness has answered, or without its key")
      }
      throw CommandFailure(.verificationFailed, "the server's proof for record \(sequence) does not hold: \(error)")
    }
    if out == "-" { return print(proof.description, terminator: "") }
    let path = out ?? "\(sequence).tlog-proof"
    do { try WholeFile.replace(path, with: proof.bytes) } catch {
      throw CommandFailure(.failure, "cannot write \(path): \(error)")
    }
    StandardError.write(
      "hubaudit: record \(sequence) is in the log of \(counted(proof.checkpoint.checkpoint.size, "record")); written to \(path)\n")
  }
}

/// Verifier keys as they are given on the command line: the key itself, or a file that holds it.
enum VerifierKeys {
  static func parse(_ text: String) throws -> VerifierKey {
    let content = text.contains("+") ? text : (try? String(contentsOfFile: text, encoding: .utf8)) ?? text
    guard !content.hasPrefix("PRIVATE+KEY+") else {
      throw CommandFailure(.usage, "--key: this is a private key; give the verifier key that `hubaudit keygen` printed")
    }
    if !content.contains("+") {
      throw CommandFailure(.usage, "--key: \(TerminalText.escaped(text)) is neither a verifier key nor a file that holds one")
    }
    do throws(EvidenceError) { return try VerifierKey(content.trimmingCharacters(in: .whitespacesAndNewlines)) } catch {
      throw CommandFailure(.usage, "--key: \(error)")
    }
  }
}
