"""From a record as AG2 makes it to the event that the server translates into the same record.

A record whose keys or values do not fit the event exactly has no event: it is sent as the JSON text that AG2 would have written, so that
nothing is altered.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ._proto.event_pb2 import AgentEvent, AgentList, ChannelEvent, ChannelMetadata, Event, ExpectationFired, TaskEvent, TurnFailedEvent

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


def _keys(record: dict[str, Any], *names: str) -> None:
    if len(record) != len(names) + 2 or not all(name in record for name in names):
        raise _Misfit


def _named_agent(kind: str) -> Callable[[dict[str, Any], str], Event]:
    def make(r: dict[str, Any], at: str) -> Event:
        _keys(r, "agent_id", "name")
        return Event(agent=AgentEvent(agent_id=_text(r["agent_id"]), kind=kind, at=at, name=_text_or_none(r["name"])))

    return make


def _resume_set(r: dict[str, Any], at: str) -> Event:
    if r.get("source") == "tenant":
        _keys(r, "source", "agent_id", "version")
        return Event(
            agent=AgentEvent(agent_id=_text(r["agent_id"]), kind="resume_set", at=at, version=_integer_or_none(r["version"]))
        )
    _keys(r, "source", "agent_id", "version", "capability", "outcome")
    if _text(r["source"]) != "observed":
        raise _Misfit
    return Event(
        agent=AgentEvent(
            agent_id=_text(r["agent_id"]),
            kind="observation_recorded",
            at=at,
            version=_integer_or_none(r["version"]),
            capability=_text_or_none(r["capability"]),
            outcome=_text_or_none(r["outcome"]),
        )
    )


def _skill_set(r: dict[str, Any], at: str) -> Event:
    _keys(r, "agent_id", "removed")
    event = AgentEvent(agent_id=_text(r["agent_id"]), kind="skill_set", at=at)
    removed = r["removed"]
    if removed is None:
        event.removed_is_null = True
    elif type(removed) is bool:
        event.removed = removed
    else:
        raise _Misfit
    return Event(agent=event)


def _rule_set(r: dict[str, Any], at: str) -> Event:
    _keys(r, "agent_id", "version")
    return Event(agent=AgentEvent(agent_id=_text(r["agent_id"]), kind="rule_set", at=at, version=_integer_or_none(r["version"])))


def _channel_created(r: dict[str, Any], at: str) -> Event:
    event = ChannelEvent(channel_id=_text(r["channel_id"]), kind="created", at=at)
    if "manifest_type" in r:
        # Without a list of its own such a record would get the metadata's participants.
        _keys(r, "channel_id", "manifest_type", "manifest_version", "creator_id", "participants")
        version = _integer_or_none(r["manifest_version"])
        if version is None:
            raise _Misfit
        event.metadata.CopyFrom(
            ChannelMetadata(manifest_type=_text(r["manifest_type"]), manifest_version=version, creator_id=_text(r["creator_id"]))
        )
    elif "participants" in r:
        _keys(r, "channel_id", "participants")
    else:
        _keys(r, "channel_id")
    if "participants" in r:
        event.participants.CopyFrom(AgentList(agent_ids=_texts(r["participants"])))
    return Event(channel=event)


def _ended_channel(kind: str) -> Callable[[dict[str, Any], str], Event]:
    def make(r: dict[str, Any], at: str) -> Event:
        _keys(r, "channel_id", "reason")
        return Event(channel=ChannelEvent(channel_id=_text(r["channel_id"]), kind=kind, at=at, reason=_text_or_none(r["reason"])))

    return make


def _expectation_violated(r: dict[str, Any], at: str) -> Event:
    _keys(r, "channel_id", "expectation", "on_violation", "params", "violators", "detail")
    return Event(
        expectation_fired=ExpectationFired(
            channel_id=_text(r["channel_id"]),
            at=at,
            expectation=_text(r["expectation"]),
            on_violation=_text(r["on_violation"]),
            params=_object(r["params"]),
            violators=_texts(r["violators"]),
            detail=_object(r["detail"]),
        )
    )


def _task_terminated(r: dict[str, Any], at: str) -> Event:
    _keys(r, "task_id", "owner_id", "channel_id", "outcome", "capability", "reason")
    outcome = _text_or_none(r["outcome"])
    event = TaskEvent(
        task_id=_text(r["task_id"]),
        kind=outcome if outcome in _TERMINAL else "completed",
        at=at,
        owner_id=_text_or_none(r["owner_id"]),
        channel_id=_text_or_none(r["channel_id"]),
        outcome=outcome,
        capability=_text_or_none(r["capability"]),
        reason=_text_or_none(r["reason"]),
    )
    if outcome is None:
        event.outcome_is_null = True
    return Event(task=event)


def _turn_failed(r: dict[str, Any], at: str) -> Event:
    _keys(r, "channel_id", "agent_id", "envelope_id", "exc_type", "exc_message")
    return Event(
        turn_failed=TurnFailedEvent(
            channel_id=_text(r["channel_id"]),
            agent_id=_text(r["agent_id"]),
            envelope_id=_text(r["envelope_id"]),
            exc_type=_text(r["exc_type"]),
            exc_message=_text(r["exc_message"]),
            at=at,
        )
    )


_MAKERS: dict[str, Callable[[dict[str, Any], str], Event]] = {
    "agent_registered": _named_agent("registered"),
    "agent_unregistered": _named_agent("unregistered"),
    "resume_set": _resume_set,
    "skill_set": _skill_set,
    "rule_set": _rule_set,
    "channel_created": _channel_created,
    "channel_closed": _ended_channel("closed"),
    "channel_expired": _ended_channel("expired"),
    "expectation_violated": _expectation_violated,
    "task_terminated": _task_terminated,
    "turn_failed": _turn_failed,
}


def typed_event(record: dict[str, Any]) -> Event | None:
    """The event that the server turns into exactly this record; None when there is none."""
    kind, at = record.get("kind"), record.get("at")
    # An empty time would be replaced by the server's clock.
    if type(kind) is not str or type(at) is not str or not at or "\0" in at:
        return None
    make = _MAKERS.get(kind)
    if make is None:
        return None
    try:
        return make(record, at)
    except (_Misfit, KeyError, TypeError, ValueError):
        # ValueError: text that is not UTF-8 (lone surrogates), NaN.
        return None
