"""What a hub reports: one function for each of AG2's nine listener events. Each returns a `hubaudit.v1.Event` for `Client.append`.

What AG2 names and does not record is answered as ignored; a kind that the server does not know is stored as it came, as "unrecognised".

A field left at None is one that the event does not have. Where AG2 tells "absent" from null, `ABSENT` is the default and None is null.
A dict given to `append` is a record of the hub's own kind; `custom` makes the event for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ._proto import event_pb2

Event = event_pb2.Event


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(value: Mapping[str, Any] | None) -> bytes | None:
    return None if value is None else json.dumps(value, default=str, sort_keys=True).encode()


def agent(
    agent_id: str,
    kind: str,
    *,
    at: str | None = None,
    name: str | None = None,
    version: int | None = None,
    capability: str | None = None,
    outcome: str | None = None,
    removed: bool | None | _Absent = ABSENT,
) -> Event:
    """`on_agent_event`. Recorded: registered, unregistered, resume_set, observation_recorded, skill_set, rule_set."""
    fields = _present(agent_id=agent_id, kind=kind, at=at, name=name, version=version, capability=capability, outcome=outcome)
    if removed is None:
        fields["removed_is_null"] = True
    elif not isinstance(removed, _Absent):
        fields["removed"] = removed
    return Event(agent=event_pb2.AgentEvent(**fields))


def channel(
    channel_id: str,
    kind: str,
    *,
    at: str | None = None,
    metadata: event_pb2.ChannelMetadata | None = None,
    participants: Iterable[str] | None = None,
    reason: str | None = None,
) -> Event:
    """`on_channel_event`. Recorded: created, closed, expired. An empty `participants` is a list; None is none."""
    fields = _present(channel_id=channel_id, kind=kind, at=at, metadata=metadata, reason=reason)
    if participants is not None:
        fields["participants"] = event_pb2.AgentList(agent_ids=participants)
    return Event(channel=event_pb2.ChannelEvent(**fields))


def channel_metadata(
    *,
    manifest_type: str | None = None,
    manifest_version: int | None = None,
    creator_id: str | None = None,
    participants: Iterable[str] = (),
) -> event_pb2.ChannelMetadata:
    """The metadata of `channel(…, "created")`."""
    fields = _present(manifest_type=manifest_type, manifest_version=manifest_version, creator_id=creator_id)
    return event_pb2.ChannelMetadata(participants=participants, **fields)


def expectation_fired(
    channel_id: str,
    expectation: str,
    *,
    on_violation: str | None = None,
    params: Mapping[str, Any] | None = None,
    violators: Iterable[str] = (),
    detail: Mapping[str, Any] | None = None,
    at: str | None = None,
) -> Event:
    """`on_expectation_fired`. The server's clock gives `at` where it is None."""
    fields = _present(
        channel_id=channel_id, at=at, expectation=expectation, on_violation=on_violation, params=_json(params), detail=_json(detail)
    )
    return Event(expectation_fired=event_pb2.ExpectationFired(violators=violators, **fields))


def task(
    task_id: str,
    kind: str,
    *,
    at: str | None = None,
    owner_id: str | None = None,
    channel_id: str | None = None,
    outcome: str | None | _Absent = ABSENT,
    capability: str | None = None,
    reason: str | None = None,
    started_at: str | None = None,
) -> Event:
    """`on_task_event`. Recorded: completed, failed, expired, cancelled. An absent `outcome` is the kind."""
    fields = _present(
        task_id=task_id,
        kind=kind,
        at=at,
        owner_id=owner_id,
        channel_id=channel_id,
        capability=capability,
        reason=reason,
        started_at=started_at,
    )
    if outcome is None:
        fields["outcome_is_null"] = True
    elif not isinstance(outcome, _Absent):
        fields["outcome"] = outcome
    return Event(task=event_pb2.TaskEvent(**fields))


def turn_failed(
    channel_id: str,
    agent_id: str,
    envelope_id: str,
    exception: BaseException | None = None,
    *,
    exc_type: str | None = None,
    exc_message: str | None = None,
    at: str | None = None,
) -> Event:
    """`on_turn_failed`, from an exception or from its type's name and its text."""
    if exception is not None:
        exc_type, exc_message = type(exception).__name__, str(exception)
    fields = _present(
        channel_id=channel_id, agent_id=agent_id, envelope_id=envelope_id, exc_type=exc_type, exc_message=exc_message, at=at
    )
    return Event(turn_failed=event_pb2.TurnFailedEvent(**fields))


def envelope_posted(envelope_id: str, channel_id: str, sender_id: str) -> Event:
    """`on_envelope_posted`: answered as ignored."""
    return Event(envelope_posted=event_pb2.EnvelopePosted(envelope_id=envelope_id, channel_id=channel_id, sender_id=sender_id))


def envelope_rejected(envelope_id: str, channel_id: str, sender_id: str, reason: str | None = None) -> Event:
    """`on_envelope_rejected`: answered as ignored."""
    fields = _present(envelope_id=envelope_id, channel_id=channel_id, sender_id=sender_id, reason=reason)
    return Event(envelope_rejected=event_pb2.EnvelopeRejected(**fields))


def dispatch_failed(envelope_id: str, channel_id: str, recipient_id: str, reason: str | None = None) -> Event:
    """`on_dispatch_failed`: answered as ignored."""
    fields = _present(envelope_id=envelope_id, channel_id=channel_id, recipient_id=recipient_id, reason=reason)
    return Event(dispatch_failed=event_pb2.DispatchFailed(**fields))


def inbox_pressure(agent_id: str, pending: int, capacity: int) -> Event:
    """`on_inbox_pressure`: answered as ignored."""
    return Event(inbox_pressure=event_pb2.InboxPressure(agent_id=agent_id, pending=pending, capacity=capacity))


def custom(record: Mapping[str, Any]) -> Event:
    """A record of the hub's own kind, serialized as AG2 does it. Raises TypeError for keys of mixed types, as AG2 does."""
    return Event(custom=json.dumps(record, default=str, sort_keys=True).encode())


def unreadable_line(line: bytes, *, unterminated: bool = False) -> Event:
    """A line of an imported audit.jsonl that holds no JSON object."""
    return Event(unreadable_line=event_pb2.UnreadableLineEvent(line=line, unterminated=unterminated))
