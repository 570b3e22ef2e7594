import AuditServer
import Testing

/// Who comes when: on reader threads, and when a commit is pushed. Counted in turns.
@Suite(.timeLimit(.minutes(1))) struct TurnTests {
  /// Jobs that end when the test says so, in the order in which they were begun.
  private final class Threads {
    var begun: [String] = []
    lazy var jobs = ReaderJobs(limit: 2)

    /// A job of so many steps: each asks again when it has ended.
    func add(_ name: String, of session: UInt64, steps: Int = 1) {
      jobs.add(of: session) { [self] in
        begun.append(name)
        left.append { if steps > 1 { self.add(name, of: session, steps: steps - 1) } }
        return true
      }
    }

    private var left: [() -> Void] = []

    /// Ends jobs, the first begun first, until `name` was begun; how many it took.
    func turns(until name: String) -> Int {
      var turns = 0
      while !begun.contains(name), !left.isEmpty {
        left.removeFirst()()
        jobs.ended()
        turns += 1
      }
      return turns
    }
  }

  @Test("a connection's one job waits for one step of another's, however many jobs of however many steps that has")
  func readers() {
    let threads = Threads()
    for number in 0..<60 { threads.add("look-up \(number)", of: 1, steps: 50) }
    threads.add("read", of: 2)
    // Two are under way when it comes.
    #expect(threads.turns(until: "read") <= 2)
    for connection in 3..<13 { for _ in 0..<20 { threads.add("many", of: UInt64(connection), steps: 50) } }
    threads.add("second read", of: 2)
    #expect(threads.turns(until: "second read") <= 2 + 11)
  }

  @Test("a connection's own jobs begin in the order in which they were asked for, and all of them begin")
  func order() {
    let threads = Threads()
    for number in 0..<100 {
      threads.add("a\(number)", of: 1)
      threads.add("b\(number)", of: 2)
    }
    threads.add("last", of: 3)
    threads.add("last", of: 1)
    _ = threads.turns(until: "none")
    #expect(threads.begun.filter { $0.hasPrefix("a") } == (0..<100).map { "a\($0)" })
    #expect(threads.begun.filter { $0.hasPrefix("b") } == (0..<100).map { "b\($0)" })
    #expect(threads.begun.count == 202)
  }

  @Test("a job that has nothing to do any more keeps nobody's place")
  func nothingToDo() {
    let jobs = ReaderJobs(limit: 1)
    var begun = 0
    for _ in 0..<10 { jobs.add(of: 1) { false } }
    jobs.add(of: 1) {
      begun += 1
      return true
    }
    #expect(begun == 1)
  }

  @Test("whoever has more to push comes again after all others")
  func roundRobin() {
    var queue = PushQueue<Int>()
    for member in 0..<5 { queue.add(member) }
    var budget = PushBudget()
    var order: [Int] = []
    while order.count < 15, let member = queue.next(&budget) {
      order.append(member)
      queue.add(member)
    }
    #expect(order == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
  }

  @Test("a slice ends after a bounded number of writes, of bytes, of bytes that were looked at, and of turns in which nothing was done")
  func slice() {
    func turns(_ work: (inout PushBudget) -> Void) -> Int {
      var queue = PushQueue<Int>()
      queue.add(0)
      var budget = PushBudget()
      var turns = 0
      while turns < 100_000, let member = queue.next(&budget) {
        work(&budget)
        queue.add(member)
        turns += 1
      }
      return turns
    }
    #expect(turns { $0.wrote(300, isFirst: true) } <= PushBudget.sliceBytes / PushBudget.callBytes)
    #expect(turns { $0.wrote(300, isFirst: true) } >= 16)
    #expect(turns { $0.wrote(PushBudget.sliceBytes, isFirst: false) } == 1)
    #expect(turns { $0.looked(at: 4 << 20) } == 1)
    #expect(turns { _ in } <= 1024)
  }
}
