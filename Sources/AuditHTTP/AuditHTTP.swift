/// HTTP/1.1 for the two HTTP listeners of this project: the server's and the witness's.
///
/// `HTTPListener` accepts connections, reads requests and writes answers; one closure of its caller makes the answers. `HTTPLimits` bounds
/// all memory and time that peers can use:
///
/// - A connection has one request at a time. Nothing more is read from it until the kernel has taken the whole last answer.
/// - Request heads and bodies have size limits. So do the bodies and answers of all connections together; beyond that limit, the connection
///   with the oldest request is closed.
/// - Idle connections, heads, bodies and answers have deadlines. Received bytes do not extend them.
/// - TLS, if the listener has a certificate. Handshakes have a deadline and a limit of their own. What speaks another protocol is closed.
/// - At the limit of connections, a new one replaces one that waits for a request: unknown peers first, then the longest wait first.
///
/// It imports only NIO, swift-log and AuditTLS, and knows nothing of logs, witnesses or rights: a request tells who sent it.
public enum AuditHTTP {}
