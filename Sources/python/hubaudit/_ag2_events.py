"""From a record as AG2 makes it to the event that the server translates into the same record.

A shape is a kind and the exact set of its keys: it has so many of them, and all that it has are taken from it by name. A record of another shape, or with a value that the event cannot hold, has no event: it
is sent as the JSON text that AG2 would have written, so that nothing is altered.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ._proto.event_pb2 import Event

_TERMINAL = ("completed", "failed", "expired", "cancelled")


class _Misfit(Exception):
    pass


def _text(value: Any) -> str:
    # A subclass may serialize differently; a NUL would be refused. What is not UTF-8 the message itself refuses.
    if type(value) is not str or "\0" in value:
        raise _Misfit
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _integer_or_none(value: Any) -> int | None:
    # bool is not int here: true and 1 are different things in a record.
    if value is None:
        return None
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _Misfit
    return value


def _texts(value: Any) -> list[str]:
    if type(value) is not list:
        raise _Misfit
    return [_text(item) for item in value]


def _object(value: Any) -> bytes:
    if type(value) is not dict:
        raise _Misfit
    # NaN and the infinities are no JSON: as part of a whole line they are kept as AG2 writes them.
    return json.dumps(value, default=str, sort_keys=True, allow_nan=False).encode()


# Messages are made from dicts, whose None stands for an absent field: of a message that is made first a copy would be taken.


def _named_agent(kind: str) -> Callable[[dict[str, Any], str], Event]:
    def make(r: dict[str, Any], at: str) -> Event:
        return Event(agent={"agent_id": _text(r["agent_id"]), "kind": kind, "at": at, "name": _text_or_none(r["name"])})

    return make


def _resume_set(r: dict[str, Any], at: str) -> Event:
    if _text(r["source"]) != "tenant":
        raise _Misfit
    return Event(agent={"agent_id": _text(r["agent_id"]), "kind": "resume_set", "at": at, "version": _integer_or_none(r["version"])})


def _observation_recorded(r: dict[str, Any], at: str) -> Event:
    if _text(r["source"]) != "observed":
        raise _Misfit
    return Event(
        agent={
            "agent_id": _text(r["agent_id"]),
            "kind": "observation_recorded",
            "at": at,
            "version": _integer_or_none(r["version"]),
            "capability": _text_or_none(r["capability"]),
            "outcome": _text_or_none(r["outcome"]),
        }
    )


def _skill_set(r: dict[str, Any], at: str) -> Event:
    removed = r["removed"]
    if removed is not None and type(removed) is not bool:
        raise _Misfit
    is_null = True if removed is None else None
    return Event(agent={"agent_id": _text(r["agent_id"]), "kind": "skill_set", "at": at, "removed": removed, "removed_is_null": is_null})


def _rule_set(r: dict[str, Any], at: str) -> Event:
    return Event(agent={"agent_id": _text(r["agent_id"]), "kind": "rule_set", "at": at, "version": _integer_or_none(r["version"])})


def _channel_created(*, metadata: bool, participants: bool) -> Callable[[dict[str, Any], str], Event]:
    def make(r: dict[str, Any], at: str) -> Event:
        channel: dict[str, Any] = {"channel_id": _text(r["channel_id"]), "kind": "created", "at": at}
        if metadata:
            channel["metadata"] = {
                "manifest_type": _text_or_none(r["manifest_type"]),
                "manifest_version": _integer_or_none(r["manifest_version"]),
                "creator_id": _text_or_none(r["creator_id"]),
            }
        if participants:
            channel["participants"] = {"agent_ids": _texts(r["participants"])}
        return Event(channel=channel)

    return make


def _ended_channel(kind: str) -> Callable[[dict[str, Any], str], Event]:
    def make(r: dict[str, Any], at: str) -> Event:
        return Event(channel={"channel_id": _text(r["channel_id"]), "kind": kind, "at": at, "reason": _text_or_none(r["reason"])})

    return make


def _expectation_violated(r: dict[str, Any], at: str) -> Event:
    return Event(
        expectation_fired={
            "channel_id": _text(r["channel_id"]),
            "at": at,
            "expectation": _text_or_none(r["expectation"]),
            "on_violation": _text_or_none(r["on_violation"]),
            "params": _object(r["params"]),
            "violators": _texts(r["violators"]),
            "detail": _object(r["detail"]),
        }
    )


def _task_terminated(r: dict[str, Any], at: str) -> Event:
    outcome = _text_or_none(r["outcome"])
    return Event(
        task={
            "task_id": _text(r["task_id"]),
            "kind": outcome if outcome in _TERMINAL else "completed",
            "at": at,
            "owner_id": _text_or_none(r["owner_id"]),
            "channel_id": _text_or_none(r["channel_id"]),
            "outcome": outcome,
            "outcome_is_null": True if outcome is None else None,
            "capability": _text_or_none(r["capability"]),
            "reason": _text_or_none(r["reason"]),
        }
    )


def _turn_failed(r: dict[str, Any], at: str) -> Event:
    return Event(
        turn_failed={
            "channel_id": _text(r["channel_id"]),
            "agent_id": _text(r["agent_id"]),
            "envelope_id": _text(r["envelope_id"]),
            "exc_type": _text(r["exc_type"]),
            "exc_message": _text(r["exc_message"]),
            "at": at,
        }
    )


Maker = Callable[[dict[str, Any], str], Event]


# By kind: how many keys a shape has, "at" and "kind" included, and what makes its event. A maker takes each of the other keys, and none that its
# shape has not.
# With metadata and without a list of its own a channel would get the metadata's participants: that shape has no event.
_SHAPES: dict[str, dict[int, Maker]] = {
    "agent_registered": {4: _named_agent("registered")},
    "agent_unregistered": {4: _named_agent("unregistered")},
    "resume_set": {5: _resume_set, 7: _observation_recorded},
    "skill_set": {4: _skill_set},
    "rule_set": {4: _rule_set},
    "channel_created": {
        7: _channel_created(metadata=True, participants=True),
        4: _channel_created(metadata=False, participants=True),
        3: _channel_created(metadata=False, participants=False),
    },
    "channel_closed": {4: _ended_channel("closed")},
    "channel_expired": {4: _ended_channel("expired")},
    "expectation_violated": {8: _expectation_violated},
    "task_terminated": {8: _task_terminated},
    "turn_failed": {7: _turn_failed},
}


def typed_event(record: dict[str, Any]) -> Event | None:
    """The event that the server turns into exactly this record; None when there is none."""
    # A subclass of dict may serialize as something else than what it holds.
    if type(record) is not dict:
        return None
    kind, at = record.get("kind"), record.get("at")
    # An empty time would be replaced by the server's clock.
    if type(kind) is not str or type(at) is not str or not at or "\0" in at:
        return None
    shapes = _SHAPES.get(kind)
    make = shapes.get(len(record)) if shapes is not None else None
    if make is None:
        return None
    try:
        return make(record, at)
    except (_Misfit, KeyError, TypeError, ValueError):
        # ValueError: text that is not UTF-8 (lone surrogates), NaN.
        return None
