import Foundation
import MerkleTree

/// Policies in files.
enum PolicyFile {
  /// - Throws: `CommandFailure` with usage status when there is no policy in the file.
  static func read(_ path: String) throws -> TrustPolicy {
    let content: Data
    do {
      content = try Data(contentsOf: URL(fileURLWithPath: path))
    } catch {
      throw CommandFailure(.usage, "cannot read the policy \(path): \(error.localizedDescription)")
    }
    do throws(EvidenceError) { return try TrustPolicy(content) } catch {
      throw CommandFailure(.usage, "\(path): \(error)")
    }
  }
}
