"""From a record's body to the dict that AG2 would have read from its file. record.proto says which absent fields are null and which
are left out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from ._proto import record_pb2
from ._views import RecordBatchView, parse
from .errors import HubauditError, RecordUnreadable

logger: logging.Logger = logging.getLogger("hubaudit")

_MOST_SHARED = 16_384

# What is done with a text of which many records have the same: `str` leaves it as it is, `SharedTexts` keeps one of it.
Share = Callable[[str], str]

_SOURCES = {record_pb2.ResumeSet.SOURCE_TENANT: "tenant", record_pb2.ResumeSet.SOURCE_OBSERVED: "observed"}


def _opt(message: Any, field: str) -> Any:
    # The value itself answers for most fields: only what equals its default needs the second question.
    value = getattr(message, field)
    return value if value or message.HasField(field) else None


def _agent_registered(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {"agent_id": share(d.agent_id) or _opt(d, "agent_id"), "at": at, "kind": "agent_registered", "name": _opt(d, "name")}


def _agent_unregistered(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {"agent_id": share(d.agent_id) or _opt(d, "agent_id"), "at": at, "kind": "agent_unregistered", "name": _opt(d, "name")}


def _resume_set(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    source = _SOURCES.get(d.source) if d.HasField("source") else None
    if source == "observed":
        return {
            "agent_id": share(d.agent_id) or _opt(d, "agent_id"),
            "at": at,
            "capability": share(d.capability) or _opt(d, "capability"),
            "kind": "resume_set",
            "outcome": share(d.outcome) or _opt(d, "outcome"),
            "source": source,
            "version": _opt(d, "version"),
        }
    return {
        "agent_id": share(d.agent_id) or _opt(d, "agent_id"),
        "at": at,
        "kind": "resume_set",
        "source": source,
        "version": _opt(d, "version"),
    }


def _skill_set(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {"agent_id": share(d.agent_id) or _opt(d, "agent_id"), "at": at, "kind": "skill_set", "removed": _opt(d, "removed")}


def _rule_set(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {"agent_id": share(d.agent_id) or _opt(d, "agent_id"), "at": at, "kind": "rule_set", "version": _opt(d, "version")}


def _channel_created(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    record: dict[str, Any] = {"at": at, "channel_id": share(d.channel_id) or _opt(d, "channel_id"), "kind": "channel_created"}
    if d.with_metadata:
        record["creator_id"] = share(d.creator_id) or _opt(d, "creator_id")
        record["manifest_type"] = share(d.manifest_type) or _opt(d, "manifest_type")
        record["manifest_version"] = _opt(d, "manifest_version")
    if d.with_participants:
        record["participants"] = list(d.participants)
    return record


def _channel_closed(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {"at": at, "channel_id": share(d.channel_id) or _opt(d, "channel_id"), "kind": "channel_closed", "reason": _opt(d, "reason")}


def _channel_expired(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {"at": at, "channel_id": share(d.channel_id) or _opt(d, "channel_id"), "kind": "channel_expired", "reason": _opt(d, "reason")}


def _integer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _loads(text: bytes) -> Any:
    """What the JSON text says. An integer of more digits than Python converts (`sys.get_int_max_str_digits`) comes as its text."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text, parse_int=_integer)


def _json(message: Any, field: str) -> Any:
    return _loads(getattr(message, field)) if message.HasField(field) else None


def _expectation_violated(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {
        "at": at,
        "channel_id": share(d.channel_id) or _opt(d, "channel_id"),
        "detail": _json(d, "detail"),
        "expectation": share(d.expectation) or _opt(d, "expectation"),
        "kind": "expectation_violated",
        "on_violation": share(d.on_violation) or _opt(d, "on_violation"),
        "params": _json(d, "params"),
        "violators": list(d.violators),
    }


def _task_terminated(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {
        "at": at,
        "capability": share(d.capability) or _opt(d, "capability"),
        "channel_id": share(d.channel_id) or _opt(d, "channel_id"),
        "kind": "task_terminated",
        "outcome": share(d.outcome) or _opt(d, "outcome"),
        "owner_id": share(d.owner_id) or _opt(d, "owner_id"),
        "reason": d.reason or _opt(d, "reason"),
        "task_id": d.task_id or _opt(d, "task_id"),
    }


def _turn_failed(at: str | None, d: Any, share: Share) -> dict[str, Any]:
    return {
        "agent_id": share(d.agent_id) or _opt(d, "agent_id"),
        "at": at,
        "channel_id": share(d.channel_id) or _opt(d, "channel_id"),
        "envelope_id": _opt(d, "envelope_id"),
        "exc_message": _opt(d, "exc_message"),
        "exc_type": share(d.exc_type) or _opt(d, "exc_type"),
        "kind": "turn_failed",
    }


def _custom(_: str | None, d: Any, __: Share) -> dict[str, Any]:
    record: dict[str, Any] = _loads(d.json)
    return record


def _unreadable_line(_: str | None, d: Any, __: Share) -> dict[str, Any]:
    # Surrogates stand for the bytes that are no UTF-8; encoding with the same handler gives the line back.
    return {"kind": "unreadable_line", "line": d.line.decode("utf-8", "surrogateescape"), "unterminated": d.unterminated}


# Subjects of an unrecognised event, as far as the server could read them: keys that it does not have are left out.
_SUBJECTS = ("agent_id", "channel_id", "creator_id", "owner_id", "task_id")


def _unrecognised(at: str | None, d: Any, _: Share) -> dict[str, Any]:
    record: dict[str, Any] = {"at": at, "kind": "unrecognised", "event_field": _opt(d, "event_field"), "event_kind": _opt(d, "event_kind")}
    record |= {name: getattr(d, name) for name in _SUBJECTS if d.HasField(name)}
    return record | {name: list(getattr(d, name)) for name in ("participants", "violators") if getattr(d, name)}


_DETAILS: dict[str, Callable[[str | None, Any, Share], dict[str, Any]]] = {
    "agent_registered": _agent_registered,
    "agent_unregistered": _agent_unregistered,
    "resume_set": _resume_set,
    "skill_set": _skill_set,
    "rule_set": _rule_set,
    "channel_created": _channel_created,
    "channel_closed": _channel_closed,
    "channel_expired": _channel_expired,
    "expectation_violated": _expectation_violated,
    "task_terminated": _task_terminated,
    "turn_failed": _turn_failed,
    "custom": _custom,
    "unreadable_line": _unreadable_line,
    "unrecognised": _unrecognised,
}


def decode_body(body: Any, kind: str | None) -> dict[str, Any]:
    """The record of a parsed `RecordBody`, whose header names `kind`. Raises `RecordUnreadable` when Python cannot take what it holds.

    Of a detail that this version does not know there are time and kind; `Record.unknown_fields` has the rest.
    """
    try:
        return _decode(body, kind, str)
    except Exception as error:
        raise RecordUnreadable(f"a record of kind {kind!r} holds what Python cannot take: {error}") from error


def _decode(body: Any, kind: str | None, share: Share) -> dict[str, Any]:
    name = body.WhichOneof("detail")
    if name is None:
        return {"at": _opt(body, "at"), "kind": kind}
    record = _DETAILS[name](body.at or _opt(body, "at"), getattr(body, name), share)
    if name == "unrecognised":
        record["event"] = body.event.hex()
    return record


class SharedTexts(dict[str, str]):
    """Gives the same object for equal texts: subjects and outcomes are few, and who keeps many records needs them once. Bounded."""

    def __missing__(self, text: str) -> str:
        if len(self) >= _MOST_SHARED:
            self.clear()
        self[text] = text
        return text


def decode_batch(payload: bytes, share: Share = str) -> list[dict[str, Any]]:
    """The records of a serialized `RecordBatch`, in order, for a reader that no single record may stop.

    A record whose body was erased is {"kind": …, "erased": True}. One that Python cannot take is {"kind": …, "unreadable": why}, and an
    error in the log.
    """
    try:
        records = parse(record_pb2.RecordBatch, payload).records
    except HubauditError:
        return [_decode_alone(raw, share) for raw in parse(RecordBatchView, payload).records]
    return [_decode_record(record, share) for record in records]


def _decode_alone(raw: bytes, share: Share) -> dict[str, Any]:
    try:
        record = parse(record_pb2.Record, raw)
    except HubauditError as error:
        return _unreadable(None, f"of {len(raw)} bytes", error)
    return _decode_record(record, share)


def _decode_record(record: Any, share: Share) -> dict[str, Any]:
    try:
        if record.HasField("body"):
            return _decode(record.body, _opt(record.header, "kind"), share)
        return {"kind": _opt(record.header, "kind"), "erased": True}
    except Exception as error:
        return _unreadable(_opt(record.header, "kind"), str(record.header.sequence), error)


def _unreadable(kind: str | None, which: str, error: Exception) -> dict[str, Any]:
    logger.error("record %s of kind %r holds what Python cannot take: %s", which, kind, error)
    return {"kind": kind, "unreadable": str(error)}
