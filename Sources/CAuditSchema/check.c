// The check before decoding. protobuf-c cuts a string at a NUL, does not look at UTF-8, and says nothing about what was wrong.
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
  int lenient;
  caudit_problem *problem;
} Walk;

static int fail(Walk *w, int code, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f, const uint8_t *at, const char *what) {
  if (w->problem != NULL) {
    w->problem->code = code;
    snprintf(
        w->problem->sentence, sizeof w->problem->sentence, "%s%s%s at byte %zu: %s", d->name, f != NULL ? "." : "", f != NULL ? f->name : "",
        (size_t)(at - w->begin), what);
  }
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

static int walk(Walk *w, const ProtobufCMessageDescriptor *d, const uint8_t *p, const uint8_t *end, int lenient) {
  int64_t events = 0;
  // Where the next field most likely is: encoders write them in order.
  unsigned likely = 0;
  while (p < end) {
    const uint8_t *at = p;
    uint64_t key;
    size_t n = varint(p, end, &key);
    if (n == 0 || key > UINT32_MAX) return fail(w, CAUDIT_MALFORMED, d, NULL, at, "no field tag where one is due");
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
        p += 8;
        break;
      case 2:
        n = varint(p, end, &value);
        if (n == 0 || value > (uint64_t)(end - p - n)) return fail(w, CAUDIT_MALFORMED, d, f, at, "the length goes past the end");
        content = p + n;
        p = content + value;
        break;
      case 5:
        if (end - p < 4) return fail(w, CAUDIT_MALFORMED, d, f, at, "four bytes are due and fewer are left");
        p += 4;
        break;
      default: return fail(w, CAUDIT_MALFORMED, d, f, at, "groups and reserved wire types are not used");
    }

    if (f == NULL) {
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
    if (f->type == PROTOBUF_C_TYPE_STRING) {
      size_t good = caudit_text_span(content, (size_t)value);
      if (good != value)
        return fail(w, CAUDIT_BAD_TEXT, d, f, content + good, content[good] == 0 ? "text must not hold a NUL byte" : "text is not valid UTF-8");
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
      const ProtobufCMessageDescriptor *inner = f->descriptor;
      int is_event = inner == &hubaudit__v1__event__descriptor;
      if (is_event && w->problem != NULL) w->problem->event = events++;
      int code = walk(w, inner, content, content + value, lenient || is_event);
      if (code != CAUDIT_OK) return code;
      if (is_event && w->problem != NULL) w->problem->event = -1;
    }
  }
  return CAUDIT_OK;
}

int caudit_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size, int lenient, caudit_problem *problem) {
  if (problem != NULL) {
    problem->code = CAUDIT_OK;
    problem->event = -1;
    problem->sentence[0] = 0;
  }
  Walk w = {.begin = bytes, .lenient = lenient, .problem = problem};
  return walk(&w, descriptor, bytes, bytes + size, lenient);
}

int caudit_has_unknown_fields(const ProtobufCMessage *message) {
  if (message->n_unknown_fields > 0) return 1;
  const ProtobufCMessageDescriptor *d = message->descriptor;
  for (unsigned i = 0; i < d->n_fields; i++) {
    const ProtobufCFieldDescriptor *f = &d->fields[i];
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) continue;
    const uint8_t *base = (const uint8_t *)message;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
      size_t count = *(const size_t *)(base + f->quantifier_offset);
      ProtobufCMessage *const *items = *(ProtobufCMessage *const *const *)(base + f->offset);
      for (size_t k = 0; k < count; k++)
        if (caudit_has_unknown_fields(items[k])) return 1;
      continue;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)(base + f->quantifier_offset) != f->id) continue;
    const ProtobufCMessage *inner = *(const ProtobufCMessage *const *)(base + f->offset);
    if (inner != NULL && caudit_has_unknown_fields(inner)) return 1;
  }
  return 0;
}
