"""What is appended, encoded and cut into the parts in which it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union

from . import events
from ._proto import event_pb2

Appendable = Union[event_pb2.Event, Mapping[str, Any]]
"""An event, or a record of the hub's own kind."""

# Below the server's limits, an append of many events is sent in parts of this size.
_PART_EVENTS = 1000
_PART_BYTES = 256 * 1024
# The server proves no more in one answer.
_PROVEN_EVENTS = 256


def encoded_events(item: Appendable | Iterable[Appendable]) -> list[bytes]:
    """One event or many, serialized."""
    if isinstance(item, (event_pb2.Event, Mapping)):
        return [_encode(item)]
    return [_encode(event) for event in item]


def parts(encoded: list[bytes], proven: bool, most: int | None) -> Iterator[list[bytes]]:
    """The events in parts of at most `most`, the server's limit, where it names one."""
    limit = _PROVEN_EVENTS if proven else _PART_EVENTS
    limit = min(limit, most or limit)
    part: list[bytes] = []
    size = 0
    for event in encoded:
        if part and (len(part) >= limit or size + len(event) > _PART_BYTES):
            yield part
            part, size = [], 0
        part.append(event)
        size += len(event)
    if part:
        yield part


def _encode(item: Appendable) -> bytes:
    event = item if isinstance(item, event_pb2.Event) else events.custom(item)
    return event.SerializeToString()
