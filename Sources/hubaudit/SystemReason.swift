import Foundation
import NIOCore

extension Error {
  /// What the system said, in its words, where that is what went wrong.
  var reason: String { (self as? IOError).map { String(cString: strerror($0.errnoCode)).lowercased() } ?? "\(self)" }
}
