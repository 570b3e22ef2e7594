import Foundation

// libFuzzer has the main function, and calls from one thread. Its own children (-fork, -merge, -minimize_crash) are to find the target too: hence the environment.
nonisolated(unsafe) private let target: FuzzTarget = {
  let name = ProcessInfo.processInfo.environment["HUBAUDIT_FUZZ_TARGET"] ?? ""
  guard let make = FuzzTarget.all[name] else {
    fatalError("HUBAUDIT_FUZZ_TARGET is \"\(name)\"; it names one of \(FuzzTarget.names.joined(separator: ", "))")
  }
  return make()
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafeRawPointer?, _ count: Int) -> CInt {
  do {
    try target.run(UnsafeRawBufferPointer(start: start, count: count))
  } catch {
    fatalError("\(error)")
  }
  return 0
}
