import AuditSchema
import Logging

/// Shows a new token on a connection before the old one expires, again and again.
struct TokenRenewal {
  let connection: ClientConnection
  let token: ClientToken
  /// The identity of the connection, as the welcome told.
  let identity: String
  /// When the connection's credentials expire, in Unix ns.
  let expiresAt: UInt64

  /// The shortest time between two attempts. Also bounds them when this machine's clock is ahead of the server's.
  private static let minimumDelay = Duration.seconds(1)

  /// Returns when the connection is closed, no longer expires, or the task is cancelled.
  func run() async {
    var expiresAt = expiresAt
    var isFirst = true
    var hasFailed = false
    while true {
      let delay = Self.delay(until: expiresAt, now: UTCTime.now())
      do { try await Task.sleep(for: isFirst ? delay : max(delay, Self.minimumDelay)) } catch { return }
      isFirst = false
      guard connection.closeReason == nil else { return }
      do throws(ClientError) {
        guard let next = try await authenticate() else { return }
        expiresAt = next
        hasFailed = false
      } catch {
        guard connection.closeReason == nil, error.code != .cancelled else { return }
        if !hasFailed {
          connection.logger.error(
            "the token could not be renewed; trying again until it expires",
            metadata: ["server": "\(connection.address)", "reason": "\(error.message)"])
        }
        hasFailed = true
      }
    }
  }

  /// 80 % of the time that is left.
  static func delay(until expiry: UInt64, now: UInt64) -> Duration {
    .nanoseconds(expiry > now ? Int64(min((expiry - now) / 5 * 4, UInt64(Int64.max))) : 0)
  }

  /// - Returns: when the credentials expire now; `nil`: never.
  private func authenticate() async throws(ClientError) -> UInt64? {
    let text = try await token.value()
    let reply = try await connection.request { encoder, id throws(RequestError) in try encoder.authenticate(id: id, token: text) }
    guard case .authenticated(let identity, let expiresAt) = reply else { throw ClientError.unexpected(reply, to: "a new token") }
    guard identity == self.identity else {
      let error = ClientError(
        .protocolViolation, "\(connection.address) took a token of another identity on a connection of \(self.identity.terminalSafe)")
      connection.close(error)
      throw error
    }
    return expiresAt
  }
}
