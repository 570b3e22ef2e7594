// ThreadSanitizer does not see a contended Synchronization.Mutex: its slow path locks and unlocks inside the toolchain's own library, which
// is not instrumented, so that everything behind such a mutex would count as a race. This stands before that library and says what happens.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

// Absent in programs that are not instrumented.
__attribute__((weak)) void __tsan_acquire(void *);
__attribute__((weak)) void __tsan_release(void *);

static void *next(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

// _MutexHandle._lockSlow(UInt32)
SWIFT void $s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF(uint32_t thread, SELF) {
  ((SWIFT void (*)(uint32_t, SELF))next("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"))(thread, self);
  if (__tsan_acquire) __tsan_acquire(self);
}

// _MutexHandle._tryLockSlow() -> Bool
SWIFT _Bool $s15Synchronization12_MutexHandleV12_tryLockSlowSbyF(SELF) {
  _Bool taken = ((SWIFT _Bool (*)(SELF))next("$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"))(self);
  if (taken && __tsan_acquire) __tsan_acquire(self);
  return taken;
}

// _MutexHandle._unlockSlow()
SWIFT void $s15Synchronization12_MutexHandleV11_unlockSlowyyF(SELF) {
  if (__tsan_release) __tsan_release(self);
  ((SWIFT void (*)(SELF))next("$s15Synchronization12_MutexHandleV11_unlockSlowyyF"))(self);
}
