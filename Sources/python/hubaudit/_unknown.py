"""The fields of a message that the schema does not know, as they stand in its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# As deep as protobuf libraries read.
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field of a record that this version's schema does not know: a newer hub sent it, or a newer server stored it."""

    message: str
    """The message that it stands in: "ChannelEvent"."""
    number: int
    raw: bytes
    """The field as it stands there, with tag and length."""


def unknown_fields(data: bytes, descriptor: Any) -> list[UnknownField]:
    """The unknown fields of a message and of those within it, in order, up to the first thing that is no protobuf."""
    found: list[UnknownField] = []
    try:
        _collect(data, 0, len(data), descriptor, found, 0)
    except (IndexError, ValueError):
        pass
    return found


def _collect(data: bytes, at: int, end: int, descriptor: Any, found: list[UnknownField], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError
    while at < end:
        start = at
        key, at = _varint(data, at, end)
        field = descriptor.fields_by_number.get(key >> 3)
        content, at = _end(data, at, end, key, 0)
        if field is None:
            found.append(UnknownField(descriptor.name, key >> 3, data[start:at]))
        elif field.message_type is not None and key & 7 == 2:
            _collect(data, content, at, field.message_type, found, depth + 1)


def _end(data: bytes, at: int, end: int, key: int, depth: int) -> tuple[int, int]:
    """Where the content of the field begins whose key ends at `at`, and where the field ends."""
    content = at
    match key & 7:
        case 0:
            _, at = _varint(data, at, end)
        case 1:
            at += 8
        case 2:
            length, content = _varint(data, at, end)
            at = content + length
        case 3 if depth < _MAX_DEPTH:
            while True:
                inner, at = _varint(data, at, end)
                if inner == (key & ~7 | 4):
                    break
                _, at = _end(data, at, end, inner, depth + 1)
        case 5:
            at += 4
        case _:
            raise ValueError
    if at > end:
        raise ValueError
    return content, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError
