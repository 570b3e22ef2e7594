import ArgumentParser
import AuditClient
import AuditSchema
import Foundation

/// `hubaudit schema`: the FileDescriptorSet, from this binary or from a server.
struct SchemaCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema",
    abstract: "Write the schema (a google.protobuf.FileDescriptorSet) to standard output.",
    discussion: "hubaudit schema > hubaudit.fds && protoc --descriptor_set_in=hubaudit.fds --decode=hubaudit.v1.Segment < FILE.seg")

  @OptionGroup var connection: ConnectionOptions
  @Flag(help: "Ask the server for its schema in place of this command's own.") var remote = false

  func run() async throws {
    var set = Schema.descriptorSet
    if remote {
      let client = try await connection.connect()
      set = try await ConnectionOptions.reporting { try await client.schema().descriptorSet }
      await client.close()
    }
    guard isatty(STDOUT_FILENO) == 0 else {
      throw CommandFailure(.usage, "the schema is binary; send it to a file: hubaudit schema > hubaudit.fds")
    }
    try StandardOutput.write(set)
  }
}
