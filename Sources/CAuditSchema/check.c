// The check before decoding. protobuf-c cuts a string at a NUL, does not look at UTF-8, and says nothing about what was wrong. Events, which
// are most of what comes, are read by the same walk: into the places of their fields, without a copy.
#include <stdio.h>
#include <string.h>

#include "CAuditSchema.h"

size_t caudit_text_span(const uint8_t *p, size_t size) {
  size_t i = 0;
  while (i < size) {
    while (size - i >= 8) {
      uint64_t word;
      memcpy(&word, p + i, 8);
      // A byte with its top bit set, or a zero byte.
      if ((word | (word - 0x0101010101010101u)) & 0x8080808080808080u) break;
      i += 8;
    }
    if (i == size) break;
    uint8_t b = p[i];
    if (b < 0x80) {
      if (b == 0) return i;
      i++;
      continue;
    }
    size_t left = size - i;
    if (b >= 0xC2 && b <= 0xDF) {
      if (left < 2 || (p[i + 1] & 0xC0) != 0x80) return i;
      i += 2;
    } else if ((b & 0xF0) == 0xE0) {
      if (left < 3 || (p[i + 1] & 0xC0) != 0x80 || (p[i + 2] & 0xC0) != 0x80) return i;
      if (b == 0xE0 && p[i + 1] < 0xA0) return i;   // overlong
      if (b == 0xED && p[i + 1] >= 0xA0) return i;  // surrogates
      i += 3;
    } else if (b >= 0xF0 && b <= 0xF4) {
      if (left < 4 || (p[i + 1] & 0xC0) != 0x80 || (p[i + 2] & 0xC0) != 0x80 || (p[i + 3] & 0xC0) != 0x80) return i;
      if (b == 0xF0 && p[i + 1] < 0x90) return i;   // overlong
      if (b == 0xF4 && p[i + 1] >= 0x90) return i;  // above U+10FFFF
      i += 4;
    } else {
      return i;
    }
  }
  return size;
}

typedef struct {
  const uint8_t *begin;
  caudit_problem *problem;
  // What is found is put here, when it is an event that is read.
  caudit_event *event;
  caudit_arena *arena;
  // Told of every field that the schema does not know, where somebody asks for them.
  caudit_unknown_found found;
  void *context;
} Walk;

static int fail(Walk *w, int code, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f, const uint8_t *at, const char *what) {
  w->problem->code = code;
  snprintf(
      w->problem->sentence, sizeof w->problem->sentence, "%s%s%s at byte %zu: %s", d->name, f != NULL ? "." : "", f != NULL ? f->name : "",
      (size_t)(at - w->begin), what);
  return code;
}

// 0 when there is no whole varint of at most ten bytes.
static size_t varint(const uint8_t *p, const uint8_t *end, uint64_t *value) {
  uint64_t v = 0;
  for (size_t i = 0; i < 10 && p + i < end; i++) {
    v |= (uint64_t)(p[i] & 0x7F) << (7 * i);
    if (p[i] < 0x80) {
      *value = v;
      return i + 1;
    }
  }
  return 0;
}

static int expected_wire_type(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return 5;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return 1;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return 2;
    default: return 0;
  }
}

static int add_text(Walk *w, caudit_texts *texts, caudit_field field) {
  caudit_text *text = caudit_arena_alloc(w->arena, sizeof *text);
  if (text == NULL) return fail(w, CAUDIT_NO_ROOM, &hubaudit__v1__event__descriptor, NULL, field.bytes, "its lists take more memory than one frame may");
  *text = (caudit_text){.field = field};
  if (texts->last != NULL) texts->last->next = text;
  else texts->first = text;
  texts->last = text;
  texts->count++;
  return CAUDIT_OK;
}

// Notes a field of an event, before what is inside it.
static int keep(Walk *w, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f, caudit_field field) {
  caudit_event *e = w->event;
  if (d == &hubaudit__v1__event__descriptor) {
    e->member = f->id;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) e->fields[0] = field;
  } else if (d == &hubaudit__v1__channel_metadata__descriptor) {
    if (f->label == PROTOBUF_C_LABEL_REPEATED) return add_text(w, &e->metadata_participants, field);
    if (f->id < CAUDIT_METADATA_FIELDS) e->metadata[f->id] = field;
    else e->has_unknown_fields = 1;
  } else if (d == &hubaudit__v1__agent_list__descriptor) {
    return add_text(w, &e->agent_ids, field);
  } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
    return add_text(w, &e->violators, field);
  } else if (f->id < CAUDIT_EVENT_FIELDS) {
    e->fields[f->id] = field;
  } else {
    e->has_unknown_fields = 1;
  }
  return CAUDIT_OK;
}

// Passes over a group, whose start tag of field `number` was read: to the byte after its end tag. NULL when it is not well formed, or nested
// deeper than protobuf libraries read.
static const uint8_t *skip_group(const uint8_t *p, const uint8_t *end, uint32_t number) {
  enum { MAX_GROUPS = 100 };
  uint32_t open[MAX_GROUPS];
  size_t depth = 1;
  open[0] = number;
  while (depth > 0) {
    uint64_t key, value;
    size_t n = varint(p, end, &key);
    if (n == 0 || n > 5 || key > UINT32_MAX || key >> 3 == 0) return NULL;
    p += n;
    switch (key & 7) {
      case 0:
        n = varint(p, end, &value);
        if (n == 0) return NULL;
        p += n;
        break;
      case 1:
        if (end - p < 8) return NULL;
        p += 8;
        break;
      case 2:
        n = varint(p, end, &value);
        if (n == 0 || n > 5 || value > (uint64_t)(end - p - n)) return NULL;
        p += n + value;
        break;
      case 3:
        if (depth == MAX_GROUPS) return NULL;
        open[depth++] = (uint32_t)(key >> 3);
        break;
      case 4:
        if (open[depth - 1] != (uint32_t)(key >> 3)) return NULL;
        depth--;
        break;
      case 5:
        if (end - p < 4) return NULL;
        p += 4;
        break;
      default: return NULL;
    }
  }
  return p;
}

// Whether the number of a varint field is one that its type can hold: a decoder would cut it.
static int fits(const ProtobufCFieldDescriptor *f, uint64_t value) {
  switch (f->type) {
    case PROTOBUF_C_TYPE_UINT32: return value <= UINT32_MAX;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM: return (uint64_t)(int64_t)(int32_t)value == value;
    default: return 1;
  }
}

// `lenient` is 0 where every field must be known and come once, as in a request. In an event unknown fields are kept.
static int walk(Walk *w, const ProtobufCMessageDescriptor *d, const uint8_t *p, const uint8_t *end, int lenient) {
  // By their places in the descriptor, which are below 64: the generated code is asked for that by a test.
  uint64_t seen = 0;
  const ProtobufCFieldDescriptor *arm = NULL;
  // Where the next field most likely is: encoders write them in order.
  unsigned likely = 0;
  while (p < end) {
    const uint8_t *at = p;
    uint64_t key;
    size_t n = varint(p, end, &key);
    if (n == 0 || n > 5 || key > UINT32_MAX) return fail(w, CAUDIT_MALFORMED, d, NULL, at, "no field tag where one is due");
    p += n;
    uint32_t number = (uint32_t)(key >> 3);
    int type = (int)(key & 7);
    if (number == 0) return fail(w, CAUDIT_MALFORMED, d, NULL, at, "field number 0");
    const ProtobufCFieldDescriptor *f = NULL;
    for (unsigned i = likely; f == NULL && i < d->n_fields && i < likely + 3; i++)
      if (d->fields[i].id == number) f = &d->fields[i];
    if (f == NULL) f = protobuf_c_message_descriptor_get_field(d, number);
    if (f != NULL) likely = (unsigned)(f - d->fields);

    uint64_t value = 0;
    const uint8_t *content = p;
    switch (type) {
      case 0:
        n = varint(p, end, &value);
        if (n == 0) return fail(w, CAUDIT_MALFORMED, d, f, at, "the number is cut short or longer than ten bytes");
        p += n;
        break;
      case 1:
        if (end - p < 8) return fail(w, CAUDIT_MALFORMED, d, f, at, "eight bytes are due and fewer are left");
        memcpy(&value, p, 8);
        p += 8;
        break;
      case 2:
        n = varint(p, end, &value);
        if (n == 0 || n > 5 || value > (uint64_t)(end - p - n)) return fail(w, CAUDIT_MALFORMED, d, f, at, "the length goes past the end, or takes more than five bytes");
        content = p + n;
        p = content + value;
        break;
      case 5:
        if (end - p < 4) return fail(w, CAUDIT_MALFORMED, d, f, at, "four bytes are due and fewer are left");
        memcpy(&value, p, 4);
        p += 4;
        break;
      case 3:
        if (f == NULL && (w->event != NULL || w->found != NULL || !lenient)) {
          p = skip_group(p, end, number);
          if (p == NULL) return fail(w, CAUDIT_MALFORMED, d, f, at, "a group without its end, or groups nested deeper than 100");
          break;
        }
        return fail(w, CAUDIT_MALFORMED, d, f, at, "no field of the schema is a group");
      default: return fail(w, CAUDIT_MALFORMED, d, f, at, "the end of a group that was not begun, or a reserved wire type");
    }

    if (f == NULL) {
      w->problem->has_unknown_fields = 1;
      if (w->event != NULL) {
        w->event->has_unknown_fields = 1;
        if (d == &hubaudit__v1__event__descriptor && w->event->unknown_member == 0) w->event->unknown_member = number;
      }
      if (w->found != NULL) w->found(w->context, d->short_name, number, at, (size_t)(p - at));
      if (lenient) continue;
      char what[80];
      snprintf(what, sizeof what, "field %u is not known to this protocol version", number);
      return fail(w, CAUDIT_UNKNOWN_FIELD, d, NULL, at, what);
    }
    if (type != expected_wire_type(f->type)) {
      // A packed list of numbers is the one other form.
      if (!(type == 2 && f->label == PROTOBUF_C_LABEL_REPEATED && expected_wire_type(f->type) != 2))
        return fail(w, CAUDIT_MALFORMED, d, f, at, "the wire type is not the one of the schema");
      continue;
    }
    if (f->label != PROTOBUF_C_LABEL_REPEATED && (w->event != NULL || !lenient)) {
      uint64_t bit = (uint64_t)1 << likely;
      if (seen & bit) return fail(w, CAUDIT_NOT_ONE, d, f, at, "the field comes twice; a field that is not repeated comes once at most");
      seen |= bit;
      if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        if (arm != NULL) {
          char what[120];
          snprintf(what, sizeof what, "%s is set already, and only one of the two may be", arm->name);
          return fail(w, CAUDIT_NOT_ONE, d, f, at, what);
        }
        arm = f;
      }
      if (type == 0 && !fits(f, value)) return fail(w, CAUDIT_NOT_ONE, d, f, at, "the number is out of the range of the field");
    }
    if (f->type == PROTOBUF_C_TYPE_STRING) {
      size_t good = caudit_text_span(content, (size_t)value);
      if (good != value)
        return fail(w, CAUDIT_BAD_TEXT, d, f, content + good, content[good] == 0 ? "text must not hold a NUL byte" : "text is not valid UTF-8");
    }
    if (w->event != NULL) {
      int code = keep(w, d, f, (caudit_field){content, value});
      if (code != CAUDIT_OK) return code;
    }
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && f->descriptor != &hubaudit__v1__event__descriptor) {
      int code = walk(w, f->descriptor, content, content + value, lenient);
      if (code != CAUDIT_OK) return code;
    }
  }
  return CAUDIT_OK;
}

int caudit_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, int lenient, caudit_problem *problem) {
  problem->code = CAUDIT_OK;
  problem->has_unknown_fields = 0;
  Walk w = {.begin = bytes, .problem = problem};
  return walk(&w, descriptor, bytes, bytes + size, lenient);
}

int caudit_read_event(
    const uint8_t *bytes, size_t size, const uint8_t *begin, caudit_arena *arena, caudit_event *event, caudit_problem *problem) {
  problem->code = CAUDIT_OK;
  problem->has_unknown_fields = 0;
  *event = (caudit_event){0};
  Walk w = {.begin = begin, .problem = problem, .event = event, .arena = arena};
  return walk(&w, &hubaudit__v1__event__descriptor, bytes, bytes + size, 1);
}

int caudit_unknown_fields(
    const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, caudit_unknown_found found, void *context) {
  caudit_problem problem;
  Walk w = {.begin = bytes, .problem = &problem, .found = found, .context = context};
  return walk(&w, descriptor, bytes, bytes + size, 1);
}
