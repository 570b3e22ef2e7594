// swift-tools-version: 6.2
import PackageDescription

/// The programs of the articles in Sources/AuditClient/AuditClient.docc and Sources/AuditLog/AuditLog.docc. They see this repository as a
/// user does: only through its products.
let package = Package(
  name: "UserPackage",
  dependencies: [.package(name: "hubaudit", path: "../..")],
  targets: [
    .executableTarget(
      name: "RemoteHub",
      dependencies: [.product(name: "AuditClient", package: "hubaudit"), .product(name: "AuditSchema", package: "hubaudit")]),
    .executableTarget(
      name: "EmbeddedLog",
      dependencies: [.product(name: "AuditLog", package: "hubaudit"), .product(name: "AuditSchema", package: "hubaudit")]),
  ]
)
