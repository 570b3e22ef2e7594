/// HTTP/1.1 for the listeners of this project: the server's HTTP port and the witness.
///
/// `HTTPListener` accepts, reads requests and writes answers; what is answered is its caller's, by one closure. Everything that it holds for
/// its peers is bounded by `HTTPLimits`, whatever they send and however little they read:
///
/// - One request of a connection is answered at a time. The next one is looked at when the kernel has taken the whole of the last answer,
///   and until then nothing is read from that connection.
/// - Request heads and bodies have limits of their own. Bodies and answers of all connections together have one: beyond it the connection
///   that has been at its request for longest makes room.
/// - Idle connections, heads, bodies and answers have deadlines. None is put off by a single byte.
/// - At the limit of connections one that waits for a request makes room for a new one: strangers before known peers, the one that has
///   waited longest first.
///
/// It imports NIO and swift-log only, and knows neither logs nor witnesses.
public enum AuditHTTP {}
