// The schema in C: what protoc-c makes of Proto/, an arena to decode into, and the check that comes before decoding.
#ifndef CAUDIT_SCHEMA_H
#define CAUDIT_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "hubaudit/v1/event.pb-c.h"
#include "hubaudit/v1/frames.pb-c.h"
#include "hubaudit/v1/record.pb-c.h"

// google.protobuf.FileDescriptorSet of Proto/.
const uint8_t *caudit_descriptor_set_bytes(void);
extern const size_t caudit_descriptor_set_size;

// ---- Arena: memory for one decoded frame, given back all at once.

// Freed memory is not reused before a reset; an allocation beyond the limit fails, and with it the decoding.
typedef struct caudit_arena {
  ProtobufCAllocator allocator;
  uint8_t *base;
  size_t used;
  size_t limit;
  size_t high;
} caudit_arena;

// Reserves `limit` bytes of address space; memory is taken as it is used. NULL when the kernel refuses.
caudit_arena *caudit_arena_new(size_t limit);
void caudit_arena_free(caudit_arena *arena);
void caudit_arena_reset(caudit_arena *arena);
// 16-byte aligned; NULL beyond the limit.
void *caudit_arena_alloc(caudit_arena *arena, size_t size);

// ---- Check: what protobuf-c does not look at.

enum {
  CAUDIT_OK = 0,
  // Not a message of this type: cut short, a wrong wire type, a group, field number 0.
  CAUDIT_MALFORMED,
  // A string that is not UTF-8 or holds a NUL.
  CAUDIT_BAD_TEXT,
  // A field that the schema does not know, outside an Event.
  CAUDIT_UNKNOWN_FIELD,
};

typedef struct caudit_problem {
  int code;
  // Position in the events of an append, or -1.
  int64_t event;
  // One sentence, without a full stop.
  char sentence[320];
} caudit_problem;

// Walks `bytes` as a message of type `descriptor` and reports the first thing that a decoder would reject or silently change.
// Unknown fields are allowed inside hubaudit.v1.Event, and elsewhere only if `lenient` is not 0.
int caudit_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, int lenient, caudit_problem *problem);

// The offset of the first byte that is not valid UTF-8 (RFC 3629) or is NUL; `size` when there is none.
size_t caudit_text_span(const uint8_t *bytes, size_t size);

// Whether a decoded message or one inside it holds fields that the schema does not know.
int caudit_has_unknown_fields(const ProtobufCMessage *message);

#endif
