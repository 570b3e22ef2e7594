#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "CAuditSchema.h"

// What a reset keeps resident; a frame that needed more gives the rest back.
#define KEPT_BYTES ((size_t)256 << 10)

static void *allocate(void *data, size_t size) { return caudit_arena_alloc(data, size); }

static void release(void *data, void *pointer) {
  (void)data;
  (void)pointer;
}

caudit_arena *caudit_arena_new(size_t limit) {
  caudit_arena *arena = malloc(sizeof *arena);
  if (arena == NULL) return NULL;
  void *base = mmap(NULL, limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    free(arena);
    return NULL;
  }
  *arena = (caudit_arena){.allocator = {allocate, release, arena}, .base = base, .limit = limit};
  return arena;
}

void caudit_arena_free(caudit_arena *arena) {
  if (arena == NULL) return;
  munmap(arena->base, arena->limit);
  free(arena);
}

void caudit_arena_reset(caudit_arena *arena) {
  if (arena->used > arena->high) arena->high = arena->used;
  if (arena->high > KEPT_BYTES) {
    madvise(arena->base + KEPT_BYTES, arena->limit - KEPT_BYTES, MADV_DONTNEED);
    arena->high = 0;
  }
  arena->used = 0;
}

void *caudit_arena_alloc(caudit_arena *arena, size_t size) {
  if (size > arena->limit) return NULL;
  size_t rounded = (size + 15) & ~(size_t)15;
  if (rounded > arena->limit - arena->used) return NULL;
  void *pointer = arena->base + arena->used;
  arena->used += rounded;
  return pointer;
}
