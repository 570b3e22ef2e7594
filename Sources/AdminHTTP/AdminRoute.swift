import AuditHTTP
import MerkleTree

/// What a request asks for.
enum AdminRoute {
  case index
  case livez
  case readyz(isVerbose: Bool)
  case healthz(isVerbose: Bool)
  case metrics
  case checkpoint
  case tile(Tile)
  /// The path of a tile that cannot be; the reason.
  case malformedTile(String)
  case unknown

  /// What somebody must be allowed to do.
  enum Need: String {
    case nothing
    /// To be anybody whom the access file names.
    case identity
    case operate
    case prove
    /// To read every record, the log's own included.
    case read
  }

  init(_ request: HTTPRequest) {
    let isVerbose = request.has(parameter: "verbose")
    switch request.path {
    case "/": self = .index
    case "/livez": self = .livez
    case "/readyz": self = .readyz(isVerbose: isVerbose)
    case "/healthz": self = .healthz(isVerbose: isVerbose)
    case "/metrics": self = .metrics
    case "/checkpoint": self = .checkpoint
    case let path where path.hasPrefix("/tile/"):
      do throws(EvidenceError) { self = .tile(try Tile(path: String(path.dropFirst()))) } catch { self = .malformedTile("\(error)") }
    default: self = .unknown
    }
  }

  /// - Parameter isEvidencePublic: whether everybody may have checkpoints and hashes, which tell nothing of any record.
  func need(isEvidencePublic: Bool) -> Need {
    switch self {
    case .livez: .nothing
    case .readyz(let isVerbose): isVerbose ? .operate : .nothing
    case .healthz, .metrics: .operate
    case .checkpoint: isEvidencePublic ? .nothing : .prove
    case .tile(let tile):
      switch tile.content {
      case .hashes: isEvidencePublic ? .nothing : .prove
      // Headers of records of all hubs.
      case .entries: .read
      }
    case .malformedTile: isEvidencePublic ? .nothing : .prove
    case .index, .unknown: .identity
    }
  }

  /// For the record of a refusal. One of a few names, whatever the peer sends.
  var name: String {
    switch self {
    case .index: "/"
    case .livez: "/livez"
    case .readyz: "/readyz"
    case .healthz: "/healthz"
    case .metrics: "/metrics"
    case .checkpoint: "/checkpoint"
    case .tile(let tile): tile.content == .entries ? "/tile/entries" : "/tile"
    case .malformedTile: "/tile"
    case .unknown: "unknown"
    }
  }
}
