import MerkleTree

/// A witness's answer to a submitted checkpoint.
package enum WitnessReply: Equatable {
  /// It has cosigned. The cosignature is verified.
  case cosigned(NoteSignature, VerifiedSignature)
  /// It cosigned this size last, which is not the size that the proof starts from.
  case holds(UInt64)
  /// It refuses: the checkpoint does not extend the one that it cosigned last.
  case contradicted(String)
  /// No answer, or an unexpected one.
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
    case 404: self = .failed("it answered 404: it does not know this log, or its URL in the policy is wrong")
    case 403: self = .failed("it answered 403: it does not know the key that this log signs with")
    default: self = .failed("it answered \(status)")
    }
  }

  private static func cosigned(_ body: [UInt8], _ submitted: SignedCheckpoint, _ key: VerifierKey) -> WitnessReply {
    do throws(EvidenceError) {
      // A witness may have several keys. Signatures of its other keys are ignored.
      guard let line = try NoteSignature.lines(body).first(where: key.matches) else {
        return .failed("its answer has no signature of its key in the policy")
      }
      var note = try SignedNote(text: submitted.note.text)
      note.add(line)
      return .cosigned(line, try note.verify(with: [key])[0])
    } catch {
      return .failed("its cosignature is invalid: \(error)")
    }
  }
}
