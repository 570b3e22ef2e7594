import Foundation
import Glibc

/// Does one piece of work at a time on a thread of its own, while whoever gave it goes on.
///
/// `@unchecked`: a pthread mutex guards everything; the standard library's Mutex has no condition to wait on.
final class CommitThread: @unchecked Sendable {
  /// - Returns: whether it was stored.
  typealias Work = @Sendable () -> Bool

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var work: Work?
  private var isUnderWay = false
  private var outcome: Bool?
  private var isClosed = false
  private let whenIdle: () -> Void

  /// - Parameter whenIdle: called on the thread when work is done, before anybody can know its outcome.
  init(whenIdle: @escaping () -> Void) {
    self.whenIdle = whenIdle
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
    let thread = Thread { [self] in run() }
    thread.name = "hubaudit-commits"
    thread.start()
  }

  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(condition)
    mutex.deallocate()
    condition.deallocate()
  }

  /// Hands work over. Nothing may be under way, and the last outcome must have been taken.
  func begin(_ work: @escaping Work) {
    pthread_mutex_lock(mutex)
    precondition(!isUnderWay && outcome == nil && !isClosed, "a commit was begun before the last one was finished")
    self.work = work
    isUnderWay = true
    pthread_mutex_unlock(mutex)
    pthread_cond_broadcast(condition)
  }

  /// Waits for the work under way.
  ///
  /// - Returns: its outcome, once; `nil` when there was none.
  func finish() -> Bool? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while isUnderWay { pthread_cond_wait(condition, mutex) }
    return outcome.take()
  }

  /// Ends the thread when the work under way is done.
  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_mutex_unlock(mutex)
    pthread_cond_broadcast(condition)
  }

  private func run() {
    while let work = next() {
      let outcome = work()
      whenIdle()
      pthread_mutex_lock(mutex)
      self.outcome = outcome
      isUnderWay = false
      pthread_mutex_unlock(mutex)
      pthread_cond_broadcast(condition)
    }
  }

  private func next() -> Work? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while work == nil, !isClosed { pthread_cond_wait(condition, mutex) }
    return work.take()
  }
}
