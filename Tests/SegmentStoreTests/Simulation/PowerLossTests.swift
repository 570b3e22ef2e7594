import SegmentStore
import Synchronization
import Testing

/// The power fails at every call that changes the disk, and the disk keeps whatever part of the unsynced it likes. Records are appended, signed
/// and erased: a checkpoint that may have been shown is there, and an erasure that was ordered is carried out.
@Suite struct PowerLossTests {
  static func configuration(
    segmentBytes: UInt64 = 2048, zeroAheadBytes: Int = 700, checkpoints: String? = nil
  ) -> SegmentStoreConfiguration {
    var configuration = SegmentStoreConfiguration()
    configuration.segmentBytes = segmentBytes
    configuration.zeroAheadBytes = zeroAheadBytes
    configuration.smallCommitBytes = 600
    configuration.indexSpacingBytes = 256
    configuration.checkpoints = checkpoints
    configuration.placeCheckInterval = .zero
    return configuration
  }

  @Test(
    "every sequence of up to three steps, cut at every call: what was acknowledged or seen is there, once, and the log goes on",
    arguments: [configuration(), configuration(segmentBytes: 1024, zeroAheadBytes: 0, checkpoints: "/elsewhere")])
  func everySequence(configuration: SegmentStoreConfiguration) throws {
    let cuts = PowerCuts(seed: LabSettings.seed)
    var sequences: [[Step]] = [[]]
    for length in 0...LabSettings.steps {
      for sequence in sequences { try cuts.run(sequence, configuration) }
      if length < LabSettings.steps { sequences = sequences.flatMap { first in Step.all(configuration).map { first + [$0] } } }
    }
    print("power loss: \(cuts.count) crashes in sequences of up to \(LabSettings.steps) steps, seed \(LabSettings.seed)")
    #expect(cuts.count > 10_000)
  }

  @Test(
    "long random workloads, cut again and again, also while they recover and when calls fail: what was acknowledged or seen is there, once, and in order"
  )
  func randomWorkloads() throws {
    let cuts = PowerCuts(seed: LabSettings.seed)
    while cuts.count < LabSettings.crashes { try cuts.wander() }
    print("power loss: \(cuts.count) crashes in random workloads, seed \(LabSettings.seed)")
  }
}
