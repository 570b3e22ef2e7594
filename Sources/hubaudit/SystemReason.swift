import Foundation
import NIOCore

extension Error {
  /// The system's own error text, if the system reported the error.
  var reason: String { (self as? IOError).map { String(cString: strerror($0.errnoCode)).lowercased() } ?? "\(self)" }
}
