/// The content of a file on a simulated disk: what everybody reads, and what the disk is known to hold.
struct SimulatedFileContent {
  /// Something done since the last sync. The disk may hold any part of it.
  private enum Change {
    case write(offset: Int, bytes: [UInt8])
    case truncate(size: Int)
  }

  static let sectorBytes = 512

  private(set) var current: [UInt8] = []
  private var durable: [UInt8] = []
  private var pending: [Change] = []

  var isSynced: Bool { pending.isEmpty }

  mutating func write(_ parts: [UnsafeRawBufferPointer], at offset: Int) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(parts.reduce(0) { $0 + $1.count })
    for part in parts { bytes.append(contentsOf: part) }
    Self.put(bytes[...], at: offset, in: &current)
    pending.append(.write(offset: offset, bytes: bytes))
  }

  mutating func truncate(to size: Int) {
    Self.resize(&current, to: size)
    pending.append(.truncate(size: size))
  }

  mutating func sync() {
    guard !pending.isEmpty else { return }
    durable = current
    pending = []
  }

  /// A sync that failed: some of it got to the disk, and the kernel calls all of it clean. Who reads still sees it, until the page is dropped.
  mutating func failSync(_ choices: inout CrashChoices) {
    durable = afterCrash(&choices)
    pending = []
  }

  /// Forgets what is clean and not on the disk, as the kernel may at any time.
  mutating func dropCleanPages() {
    if pending.isEmpty { current = durable }
  }

  /// What a medium does that goes bad, for as long as nothing is written.
  mutating func damage(_ change: (inout [UInt8]) -> Void) { change(&current) }

  /// One of the contents that the disk may hold when the power fails now.
  func afterCrash(_ choices: inout CrashChoices) -> [UInt8] {
    var content = durable
    for change in pending {
      switch change {
      case .truncate(let size):
        if size != content.count, choices.isKept() { Self.resize(&content, to: size) }
      case .write(let offset, let bytes):
        let end = offset + bytes.count
        if end > content.count { Self.resize(&content, to: choices.size(from: content.count, to: end)) }
        var at = offset
        while at < min(end, content.count) {
          let sectorEnd = min((at / Self.sectorBytes + 1) * Self.sectorBytes, end, content.count)
          let fragment = bytes[(at - offset)..<(sectorEnd - offset)]
          // The rest of the sector is as it was. Where nothing would change, there is nothing to choose.
          if !content[at..<sectorEnd].elementsEqual(fragment) {
            Self.put(fragment.prefix(choices.keptBytes(of: fragment.count)), at: at, in: &content)
          }
          at = sectorEnd
        }
      }
    }
    return content
  }

  /// The same file after a crash that left `content`.
  init(durable content: [UInt8]) {
    current = content
    durable = content
  }

  init() {}

  private static func resize(_ content: inout [UInt8], to size: Int) {
    if size < content.count {
      content.removeLast(content.count - size)
    } else {
      content.append(contentsOf: repeatElement(0, count: size - content.count))
    }
  }

  private static func put(_ bytes: ArraySlice<UInt8>, at offset: Int, in content: inout [UInt8]) {
    if offset + bytes.count > content.count { resize(&content, to: offset + bytes.count) }
    content.withUnsafeMutableBytes { target in
      bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: target[offset..<offset + bytes.count]).copyMemory(from: $0) }
    }
  }
}
