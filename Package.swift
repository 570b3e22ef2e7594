// swift-tools-version: 6.2
import Foundation
import PackageDescription

/// Every Swift target: warnings are errors, and `any` is written out. (`MemberImportVisibility` is off: whose member `stat.st_size` is, Glibc's or
/// CoreFoundation's, depends on the order in which a build compiles.)
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error), .enableUpcomingFeature("ExistentialAny")]

/// `HUBAUDIT_STATIC`, as `make build` sets it: the command is linked with Swift's own libraries and needs no Swift where it runs. Only the link
/// step differs, so tests, which need the shared libraries, and the command share all that is compiled. Without the variable there is no
/// unsafe flag here: a package with one can be nobody's dependency.
let staticLinking: [LinkerSetting] = {
  guard ProcessInfo.processInfo.environment["HUBAUDIT_STATIC"] != nil else { return [] }
  // Objects that were compiled for the shared Foundation do not name the parts that the static one consists of.
  let parts = [
    "Foundation", "CoreFoundation", "FoundationInternationalization", "FoundationEssentials", "_FoundationCollections",
    "_FoundationCShims", "_FoundationICU", "swiftSynchronization",
  ]
  let flags = ["--start-group"] + parts.map { "-l\($0)" } + ["--end-group"]
  return [.unsafeFlags(["-static-stdlib"] + flags.flatMap { ["-Xlinker", $0] }, .when(platforms: [.linux]))]
}()

/// The fuzz targets: a test that replays their corpus, or (`make fuzz`) a program of libFuzzer's.
let fuzzing: Target = {
  let dependencies: [Target.Dependency] = [
    "AuditLog", "AuditSchema", "CAuditDigest", "MerkleTree", "SegmentStore", "TestSupport",
    .product(name: "Logging", package: "swift-log"),
  ]
  if ProcessInfo.processInfo.environment["HUBAUDIT_FUZZ"] != nil {
    return .executableTarget(
      name: "hubaudit-fuzz", dependencies: dependencies, path: "Tests/Fuzz", exclude: ["corpus", "seeds.py", "Replay"],
      sources: ["Targets", "Driver"], swiftSettings: strict)
  }
  return .testTarget(
    name: "FuzzTests", dependencies: dependencies, path: "Tests/Fuzz", exclude: ["corpus", "seeds.py", "Driver"],
    sources: ["Targets", "Replay"], swiftSettings: strict)
}()

/// `make docs` sets HUBAUDIT_DOCS. Otherwise no package that depends on this one gets the plugin.
let documentation: [Package.Dependency] =
  ProcessInfo.processInfo.environment["HUBAUDIT_DOCS"] == nil
  ? [] : [.package(url: "https://github.com/swiftlang/swift-docc-plugin.git", from: "1.5.0")]

let package = Package(
  name: "hubaudit",
  products: [
    .executable(name: "hubaudit", targets: ["hubaudit"]),
    // A log inside the user's program: modules AuditLog and SegmentStore.
    .library(name: "AuditLog", targets: ["AuditLog", "SegmentStore"]),
    // A client of a hubaudit server.
    .library(name: "AuditClient", targets: ["AuditClient"]),
    // Events, records and filters: what both libraries take and return.
    .library(name: "AuditSchema", targets: ["AuditSchema"]),
    // Checkpoints, proofs and keys, for users who verify.
    .library(name: "MerkleTree", targets: ["MerkleTree"]),
  ],
  dependencies: documentation + [
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-crypto.git", "3.12.3"..<"5.0.0"),
    .package(url: "https://github.com/vapor/jwt-kit.git", from: "5.7.1"),
    .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
  ],
  targets: [
    // C: what protoc-c makes of Proto/, the arena it decodes into, and the digests of the hot path.
    .target(
      name: "CAuditSchema",
      linkerSettings: [.linkedLibrary("protobuf-c")]),
    .target(
      name: "CAuditDigest",
      linkerSettings: [.linkedLibrary("crypto")]),

    // Hashing, proofs, tiles, checkpoints and the notes around them; no files, no sockets.
    .target(name: "MerkleTree", dependencies: ["CAuditDigest"], swiftSettings: strict),
    .target(name: "AuditSchema", dependencies: ["CAuditSchema", "CAuditDigest"], exclude: ["generate.py"], swiftSettings: strict),
    .target(
      name: "AuditLog",
      dependencies: ["AuditSchema", "MerkleTree", .product(name: "Logging", package: "swift-log")],
      swiftSettings: strict),
    .target(
      name: "SegmentStore",
      dependencies: ["AuditLog", "AuditSchema", "MerkleTree", "CAuditDigest", .product(name: "Logging", package: "swift-log")],
      exclude: ["FORMAT.md"],
      swiftSettings: strict),
    // Who may do what: the access file, credentials, rights. No sockets, no log.
    .target(
      name: "AccessControl",
      dependencies: [
        "AuditSchema", "CAuditDigest", "MerkleTree", .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "JWTKit", package: "jwt-kit"),
        .product(name: "X509", package: "swift-certificates"),
      ],
      swiftSettings: strict),
    // A TLS server's certificate, key and trusted roots, as they change on disk.
    .target(
      name: "AuditTLS",
      dependencies: ["AuditSchema", .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl")],
      swiftSettings: strict),
    .target(
      name: "AuditServer",
      dependencies: [
        "AccessControl", "AuditLog", "AuditSchema", "AuditTLS", "MerkleTree",
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .target(
      name: "AuditClient",
      dependencies: [
        "AuditLog", "AuditSchema", "MerkleTree",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .target(
      name: "AuditHTTP",
      dependencies: [
        "AuditTLS",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .target(
      name: "AdminHTTP",
      dependencies: [
        "AccessControl", "AuditHTTP", "AuditLog", "AuditSchema", "AuditTLS", "MerkleTree",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .target(
      name: "AuditWitness",
      dependencies: [
        "AuditHTTP", "AuditLog", "AuditSchema", "AuditTLS", "MerkleTree",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .target(
      name: "AuditBench",
      dependencies: [
        "AuditClient", "AuditSchema",
        .product(name: "Histogram", package: "hdrhistogram-swift"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      swiftSettings: strict),
    .target(name: "HubauditSettings", dependencies: ["AuditSchema"], swiftSettings: strict),
    .executableTarget(
      name: "hubaudit",
      dependencies: [
        "HubauditSettings",
        "AccessControl", "AuditServer", "AuditTLS", "AdminHTTP", "AuditHTTP", "AuditWitness", "AuditBench", "AuditClient", "SegmentStore",
        "AuditLog", "AuditSchema",
        "MerkleTree",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict, linkerSettings: staticLinking),

    // What several of the test targets use.
    .target(
      name: "TestSupport", dependencies: ["SegmentStore", .product(name: "Logging", package: "swift-log")], path: "Tests/Support",
      swiftSettings: strict),
    .testTarget(name: "AccessControlTests", dependencies: ["AccessControl", "AuditSchema"], swiftSettings: strict),
    .testTarget(name: "HubauditSettingsTests", dependencies: ["HubauditSettings", "AuditSchema"], swiftSettings: strict),
    .testTarget(name: "MerkleTreeTests", dependencies: ["MerkleTree"], swiftSettings: strict),
    .testTarget(name: "AuditSchemaTests", dependencies: ["AuditSchema"], swiftSettings: strict),
    .testTarget(
      name: "AuditLogTests",
      dependencies: ["AuditLog", "AuditSchema", "SegmentStore", "TestSupport", .product(name: "Logging", package: "swift-log")],
      swiftSettings: strict),
    .testTarget(
      name: "SegmentStoreTests",
      dependencies: [
        "SegmentStore", "AuditLog", "AuditSchema", "MerkleTree", "CAuditDigest", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "EvidenceTests",
      dependencies: [
        "AuditServer", "AuditClient", "AuditLog", "SegmentStore", "AuditSchema", "MerkleTree", "CAuditDigest", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "AuditServerTests",
      dependencies: [
        "AccessControl", "AuditServer", "AuditClient", "AuditLog", "MerkleTree", "SegmentStore", "AuditSchema", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "AdminHTTPTests",
      dependencies: [
        "AccessControl", "AdminHTTP", "AuditHTTP", "AuditLog", "AuditSchema", "MerkleTree", "SegmentStore", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "AuditHTTPTests",
      dependencies: [
        "AccessControl", "AdminHTTP", "AuditHTTP", "AuditLog", "AuditTLS", .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "AuditWitnessTests",
      dependencies: ["AuditWitness", "AuditLog", "MerkleTree", "SegmentStore", .product(name: "Logging", package: "swift-log")],
      swiftSettings: strict),
    .testTarget(
      name: "AuditClientTests",
      dependencies: [
        "AuditServer", "AuditTLS", "AuditClient", "AuditLog", "SegmentStore", "AuditSchema",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ],
      swiftSettings: strict),
    fuzzing,
  ]
)
