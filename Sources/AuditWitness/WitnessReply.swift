import MerkleTree

/// What a witness' answer to a submitted checkpoint means.
package enum WitnessReply: Equatable {
  /// It has cosigned; the signature was verified.
  case cosigned(NoteSignature, VerifiedSignature)
  /// What it cosigned last has this size, which is not the one that the proof began at.
  case holds(UInt64)
  /// It says that the checkpoint does not continue what it cosigned last.
  case contradicted(String)
  /// Nothing that helps: no answer, or one that is not the protocol's.
  case failed(String)

  package init(status: Int, body: [UInt8], to submitted: SignedCheckpoint, key: VerifierKey) {
    switch status {
    case 200: self = Self.cosigned(body, submitted, key)
    case 409:
      let text = String(decoding: body, as: UTF8.self)
      if let size = UInt64(text.dropLast()), text == "\(size)\n" {
        self = .holds(size)
      } else {
        self = .failed("it answered 409 without a size")
      }
    case 422: self = .contradicted("it answered 422: \(EvidenceError.quote(body))")
    case 404: self = .failed("it answered 404: it does not know this log, or its URL is another")
    case 403: self = .failed("it answered 403: it does not have the key that this log signs with")
    default: self = .failed("it answered \(status)")
    }
  }

  private static func cosigned(_ body: [UInt8], _ submitted: SignedCheckpoint, _ key: VerifierKey) -> WitnessReply {
    do throws(EvidenceError) {
      // Signatures of other keys are passed over: a witness may have several.
      guard let line = try NoteSignature.lines(body).first(where: key.matches) else {
        return .failed("its answer has no signature of the key that the policy has for it")
      }
      var note = try SignedNote(text: submitted.note.text)
      note.add(line)
      return .cosigned(line, try note.verify(with: [key])[0])
    } catch {
      return .failed("its cosignature is not good: \(error)")
    }
  }
}
