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
  // Not a message of this type: cut short, a wrong wire type, field number 0.
  CAUDIT_MALFORMED,
  // A string that is not UTF-8 or holds a NUL.
  CAUDIT_BAD_TEXT,
  // A field that the schema does not know, outside an Event.
  CAUDIT_UNKNOWN_FIELD,
  // It says two things where one is due: a field that comes twice, two of a oneof, a number that its field would cut.
  CAUDIT_NOT_ONE,
  // The arena has no room.
  CAUDIT_NO_ROOM,
};

typedef struct caudit_problem {
  int code;
  // One sentence, without a full stop.
  char sentence[320];
  // Where nothing was wrong: whether there were fields that the schema does not know.
  int has_unknown_fields;
} caudit_problem;

// Walks `bytes` as a message of type `descriptor` and reports the first thing that a decoder would reject or silently change.
// Unless `lenient` is not 0, unknown fields are an error, and so is whatever could be understood in two ways. Events are passed over:
// `caudit_read_event` looks into each.
int caudit_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, int lenient, caudit_problem *problem);

// `message`: the short name of the message that it stands in. `field`: its bytes with tag and length.
typedef void (*caudit_unknown_found)(void *context, const char *message, uint32_t number, const uint8_t *field, size_t size);

// Calls `found` for each field of a message that the schema does not know, in order. Not CAUDIT_OK: `bytes` is not such a message, and what
// follows the first wrong thing was not looked at.
int caudit_unknown_fields(
    const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, caudit_unknown_found found, void *context);

// The offset of the first byte that is not valid UTF-8 (RFC 3629) or is NUL; `size` when there is none.
size_t caudit_text_span(const uint8_t *bytes, size_t size);

// ---- Events: read in place, in the one walk that checks them.

// A field of a message that lies elsewhere. `bytes` is NULL when it is absent; `value` is the number, or the length of text and bytes.
typedef struct caudit_field {
  const uint8_t *bytes;
  uint64_t value;
} caudit_field;

typedef struct caudit_texts {
  struct caudit_text *first;
  struct caudit_text *last;
  size_t count;
} caudit_texts;

typedef struct caudit_text {
  caudit_field field;
  struct caudit_text *next;
} caudit_text;

enum { CAUDIT_EVENT_FIELDS = 12, CAUDIT_METADATA_FIELDS = 4 };

// What a hubaudit.v1.Event holds, by the numbers of the schema.
typedef struct caudit_event {
  // The field of Event that is set; 0 when it is none that this schema knows. And the first one that it does not know; 0: there is none.
  uint32_t member;
  uint32_t unknown_member;
  // Whether it holds, anywhere, a field that the schema does not know.
  int has_unknown_fields;
  // The fields of the member's message; of `custom`, which is none, [0].
  caudit_field fields[CAUDIT_EVENT_FIELDS];
  // Of ChannelEvent.metadata.
  caudit_field metadata[CAUDIT_METADATA_FIELDS];
  // ChannelMetadata.participants, AgentList.agent_ids, ExpectationFired.violators.
  caudit_texts metadata_participants;
  caudit_texts agent_ids;
  caudit_texts violators;
} caudit_event;

// Reads one event. A field that is not repeated, and the event itself, comes once: two values are no truth. Fields that the schema does not
// know are allowed, groups too.
//
// `begin` is where the frame begins that offsets are counted from. What is found points into `bytes` and, for lists, into the arena.
int caudit_read_event(
    const uint8_t *bytes, size_t size, const uint8_t *begin, caudit_arena *arena, caudit_event *event, caudit_problem *problem);

#endif
