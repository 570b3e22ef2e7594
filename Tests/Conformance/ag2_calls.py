"""Calls that a hub makes on AG2's AuditLog, and the event that means the same: one table for the fixture and for the tests.

Every rule of AG2's record writing is here at least once, with its corner cases. The events are written by hand, not made by the
package's adapter, so that the adapter can be checked against them.
"""

from dataclasses import dataclass
from datetime import date, datetime, timezone
import json
from types import SimpleNamespace
from typing import Any

from ag2.network.channel import ChannelManifest, ChannelMetadata, ChannelState, Expectation, Participant, ParticipantRole
from ag2.network.hub.expectations import Violation

from hubaudit._proto.event_pb2 import (
    AgentEvent,
    AgentList,
    ChannelEvent,
    DispatchFailed,
    EnvelopePosted,
    EnvelopeRejected,
    Event,
    ExpectationFired,
    InboxPressure,
    TaskEvent,
    TurnFailedEvent,
)
from hubaudit._proto.event_pb2 import ChannelMetadata as MetadataEvent

# What the clock says during the run: the form in which the server writes its own, so that it can stand for both.
CLOCK = "2026-01-02T03:04:05.678901Z"
CLOCK_UNIX_NS = 1_767_323_045_678_901_000

AT = "2026-01-01T00:00:00+00:00"
WIDE = "Grüße, 世界 🌍 \u2028 \x7f"
CONTROL = "a\x01b\tc\nd\re\x1bf\x08\x0c\"\\/"


# Kinds that AG2's AuditLog names in its own documentation as observed and not recorded; of others it does not know it records nothing.
OBSERVED = {"channel": ("opened", "participant_removed", "participant_hidden"), "task": ("started", "progress", "mirror_failed")}


@dataclass(frozen=True)
class Call:
    """`method(*args)` on the AuditLog, and the event that reports the same."""

    name: str
    method: str
    args: tuple
    event: Event

    @property
    def uses_clock(self) -> bool:
        """Whether the record's `at` comes from the clock of the receiver: the event has none of its own."""
        part = self.event.WhichOneof("event")
        return part in ("agent", "channel", "task", "expectation_fired", "turn_failed") and not getattr(self.event, part).at

    @property
    def is_observed(self) -> bool:
        """Whether AG2 knows the event and records nothing of it. What it does not know, the server keeps as it came."""
        part = self.event.WhichOneof("event")
        if part in ("envelope_posted", "envelope_rejected", "dispatch_failed", "inbox_pressure"):
            return True
        return part in OBSERVED and getattr(self.event, part).kind in OBSERVED[part]


CALLS: list[Call] = []


def agent(name: str, kind: str, payload: dict, /, agent_id: str = "a-1", **fields: Any) -> None:
    event = Event(agent=AgentEvent(agent_id=agent_id, kind=kind, **fields))
    CALLS.append(Call(f"agent {kind}: {name}", "on_agent_event", (agent_id, kind, payload), event))


def channel(name: str, kind: str, payload: dict, /, channel_id: str = "c-1", **fields: Any) -> None:
    event = Event(channel=ChannelEvent(channel_id=channel_id, kind=kind, **fields))
    CALLS.append(Call(f"channel {kind}: {name}", "on_channel_event", (channel_id, kind, payload), event))


def task(name: str, kind: str, payload: dict, /, task_id: str = "t-1", **fields: Any) -> None:
    event = Event(task=TaskEvent(task_id=task_id, kind=kind, **fields))
    CALLS.append(Call(f"task {kind}: {name}", "on_task_event", (task_id, kind, payload), event))


def expectation(name: str, expected: Expectation, violators: list, detail: dict, /, channel_id: str = "c-1", **fields: Any) -> None:
    event = Event(
        expectation_fired=ExpectationFired(
            channel_id=channel_id, expectation=expected.name, on_violation=expected.on_violation, violators=violators, **fields
        )
    )
    violation = Violation(expectation=expected, violator_ids=violators, detail=detail)
    CALLS.append(Call(f"expectation: {name}", "on_expectation_fired", (channel_id, expected, violation), event))


def turn_failed(name: str, exc: BaseException, exc_type: str, exc_message: str, **fields: Any) -> None:
    event = Event(
        turn_failed=TurnFailedEvent(
            channel_id="c-1", agent_id="a-1", envelope_id="e-1", exc_type=exc_type, exc_message=exc_message, **fields
        )
    )
    CALLS.append(Call(f"turn failed: {name}", "on_turn_failed", ("c-1", "a-1", "e-1", exc), event))


def custom(name: str, record: dict) -> None:
    text = json.dumps(record, default=str, sort_keys=True)
    CALLS.append(Call(f"custom: {name}", "append", (record,), Event(custom=text.encode())))


def misfit(name: str, method: str, args: tuple, record: dict) -> None:
    """A call whose values no typed event can hold: reported as the record that AG2 makes of it."""
    text = json.dumps(record, default=str, sort_keys=True)
    CALLS.append(Call(f"misfit: {name}", method, args, Event(custom=text.encode())))


def observed(name: str, method: str, args: tuple, event: Event) -> None:
    CALLS.append(Call(f"not recorded: {name}", method, args, event))


def metadata(participants: list[str], kind: str = "consulting", version: int = 1, creator_id: str = "a-1") -> ChannelMetadata:
    return ChannelMetadata(
        channel_id="c-1",
        manifest=ChannelManifest(type=kind, version=version),
        creator_id=creator_id,
        participants=[Participant(agent_id=one, role=ParticipantRole.PARTICIPANT, order=i) for i, one in enumerate(participants)],
        state=ChannelState.PENDING,
        created_at=AT,
    )


def _agents() -> None:
    passport = SimpleNamespace(name="Ada", owner="o", provider="p")
    agent("with passport", "registered", {"passport": passport, "at": AT}, at=AT, name="Ada")
    agent("no passport", "registered", {"at": AT}, at=AT)
    agent("null passport", "registered", {"passport": None, "at": AT}, at=AT)
    agent("passport without a name", "registered", {"passport": object(), "at": AT}, at=AT)
    agent("passport whose name is null", "registered", {"passport": SimpleNamespace(name=None), "at": AT}, at=AT)
    agent("empty name", "registered", {"passport": SimpleNamespace(name=""), "at": AT}, at=AT, name="")
    agent("the payload's name does not count", "registered", {"name": "x", "at": AT}, at=AT)
    agent("wide text", "registered", {"passport": SimpleNamespace(name=WIDE), "at": AT}, agent_id=WIDE, at=AT, name=WIDE)
    agent("control characters", "registered", {"passport": SimpleNamespace(name=CONTROL), "at": AT}, agent_id=CONTROL, at=AT, name=CONTROL)
    agent("empty id", "registered", {"at": AT}, agent_id="", at=AT)
    agent("at is missing", "registered", {"passport": passport}, name="Ada")
    agent("at is null", "registered", {"passport": passport, "at": None}, name="Ada")
    agent("at is empty", "registered", {"passport": passport, "at": ""}, at="", name="Ada")
    agent("at is no time", "registered", {"passport": passport, "at": "yesterday"}, at="yesterday", name="Ada")
    agent("at is a space", "registered", {"passport": passport, "at": " "}, at=" ", name="Ada")

    agent("with name", "unregistered", {"name": "Ada", "at": AT}, at=AT, name="Ada")
    agent("no name", "unregistered", {"at": AT}, at=AT)
    agent("null name", "unregistered", {"name": None, "at": AT}, at=AT)
    agent("empty name", "unregistered", {"name": "", "at": AT}, at=AT, name="")
    agent("the passport's name does not count", "unregistered", {"passport": passport, "at": AT}, at=AT)

    agent("version", "resume_set", {"resume": object(), "version": 3, "at": AT}, at=AT, version=3)
    agent("version 0", "resume_set", {"version": 0, "at": AT}, at=AT, version=0)
    agent("negative version", "resume_set", {"version": -1, "at": AT}, at=AT, version=-1)
    agent("largest version", "resume_set", {"version": 2**63 - 1, "at": AT}, at=AT, version=2**63 - 1)
    agent("smallest version", "resume_set", {"version": -(2**63), "at": AT}, at=AT, version=-(2**63))
    agent("no version", "resume_set", {"at": AT}, at=AT)
    agent("null version", "resume_set", {"version": None, "at": AT}, at=AT)
    agent("at is missing", "resume_set", {"version": 1}, version=1)
    agent("capability and outcome are left out", "resume_set", {"version": 1, "capability": "c", "outcome": "o", "at": AT},
          at=AT, version=1, capability="c", outcome="o")

    agent("all fields", "observation_recorded", {"resume": object(), "version": 2, "capability": "sum", "outcome": "completed", "at": AT},
          at=AT, version=2, capability="sum", outcome="completed")
    agent("all missing", "observation_recorded", {"at": AT}, at=AT)
    agent("nulls", "observation_recorded", {"version": None, "capability": None, "outcome": None, "at": AT}, at=AT)
    agent("empty strings", "observation_recorded", {"version": 1, "capability": "", "outcome": "", "at": AT},
          at=AT, version=1, capability="", outcome="")

    agent("removed", "skill_set", {"removed": True, "at": AT}, at=AT, removed=True)
    agent("not removed", "skill_set", {"removed": False, "at": AT}, at=AT, removed=False)
    agent("removed is missing", "skill_set", {"at": AT}, at=AT)
    agent("removed is null", "skill_set", {"removed": None, "at": AT}, at=AT, removed_is_null=True)
    agent("at is empty", "skill_set", {"removed": True, "at": ""}, removed=True)

    agent("version", "rule_set", {"rule": object(), "version": 7, "at": AT}, at=AT, version=7)
    agent("no version", "rule_set", {"at": AT}, at=AT)
    agent("null version", "rule_set", {"version": None, "at": AT}, at=AT)

    agent("of another kind", "promoted", {"at": AT}, at=AT)
    agent("of an empty kind", "", {"at": AT}, at=AT)
    agent("of a kind that differs in case", "Registered", {"at": AT}, at=AT)
    agent("of a kind that only begins alike", "registered ", {"at": AT}, at=AT)
    agent("of a record's kind", "agent_registered", {"at": AT}, at=AT)


def _channels() -> None:
    two = metadata(["a-1", "a-2"])
    wire = MetadataEvent(manifest_type="consulting", manifest_version=1, creator_id="a-1", participants=["a-1", "a-2"])
    channel("metadata only", "created", {"metadata": two, "at": AT}, at=AT, metadata=wire)
    channel("metadata and participants", "created", {"metadata": two, "participants": ["a-2", "a-3"], "at": AT},
            at=AT, metadata=wire, participants=AgentList(agent_ids=["a-2", "a-3"]))
    channel("an empty list wins over the metadata", "created", {"metadata": two, "participants": [], "at": AT},
            at=AT, metadata=wire, participants=AgentList())
    channel("null participants", "created", {"metadata": two, "participants": None, "at": AT}, at=AT, metadata=wire)
    channel("participants only", "created", {"participants": ["a-9"], "at": AT}, at=AT, participants=AgentList(agent_ids=["a-9"]))
    channel("an empty list only", "created", {"participants": [], "at": AT}, at=AT, participants=AgentList())
    channel("a tuple of participants", "created", {"participants": ("a-1", "a-2"), "at": AT},
            at=AT, participants=AgentList(agent_ids=["a-1", "a-2"]))
    channel("neither", "created", {"at": AT}, at=AT)
    channel("both null", "created", {"metadata": None, "participants": None, "at": AT}, at=AT)
    channel("metadata without participants", "created", {"metadata": metadata([]), "at": AT}, at=AT,
            metadata=MetadataEvent(manifest_type="consulting", manifest_version=1, creator_id="a-1"))
    channel("odd metadata", "created", {"metadata": metadata([WIDE, ""], kind="", version=0, creator_id=""), "at": AT}, at=AT,
            metadata=MetadataEvent(manifest_type="", manifest_version=0, creator_id="", participants=[WIDE, ""]))
    channel("nulls in the metadata", "created", {"metadata": metadata(["a-1"], kind=None, version=None, creator_id=None), "at": AT}, at=AT,
            metadata=MetadataEvent(participants=["a-1"]))
    channel("the same participant twice", "created", {"participants": ["a", "a"], "at": AT}, at=AT, participants=AgentList(agent_ids=["a", "a"]))
    channel("many participants", "created", {"participants": [f"agent-{i}" for i in range(300)], "at": AT}, at=AT,
            participants=AgentList(agent_ids=[f"agent-{i}" for i in range(300)]))
    channel("at is missing", "created", {"metadata": two}, metadata=wire)
    for kind in ("closed", "expired"):
        channel("reason", kind, {"reason": "explicit_close", "metadata": two, "at": AT}, at=AT, reason="explicit_close")
        channel("no reason", kind, {"at": AT}, at=AT)
        channel("null reason", kind, {"reason": None, "at": AT}, at=AT)
        channel("empty reason", kind, {"reason": "", "at": AT}, at=AT, reason="")
        channel("free text", kind, {"reason": CONTROL + WIDE, "at": AT}, at=AT, reason=CONTROL + WIDE)
        channel("long reason", kind, {"reason": "ü" * 2_000, "at": AT}, at=AT, reason="ü" * 2_000)
        channel("at is null", kind, {"reason": "x", "at": None}, reason="x")
        channel("at is empty", kind, {"reason": "x", "at": ""}, reason="x")
    for kind in ("opened", "participant_removed", "participant_hidden", "", "CLOSED", "channel_closed"):
        channel("not recorded", kind, {"reason": "x", "at": AT}, at=AT, reason="x")


def _expectations() -> None:
    def json_bytes(value: dict) -> bytes:
        return json.dumps(value, default=str, sort_keys=True).encode()

    def fired(name: str, params: dict, violators: list, detail: dict, handler: str = "audit", **more: Any) -> None:
        expectation(name, Expectation(name="reply_within", on_violation=handler, params=params), violators, detail,
                    params=json_bytes(params), detail=json_bytes(detail), **more)

    fired("all fields", {"seconds": 30}, ["a-1"], {"elapsed_seconds": 31.5, "threshold_seconds": 30.0})
    fired("the time the hub gave", {"seconds": 30}, ["a-1"], {}, at=CLOCK)
    fired("a whole float stays a float", {"seconds": 30.0}, ["a-1"], {"n": 30})
    fired("every form of a number", {"a": -0.0, "b": 1e300, "c": 1e-7, "d": 10**40, "e": -1, "f": 0.1, "g": 1e16, "h": 123456789012345680.0}, [], {})
    fired("numbers that JSON does not have", {"n": float("nan"), "p": float("inf"), "m": float("-inf")}, [], {})
    fired("nested values, keys sorted", {"z": {"b": [1, {"y": None, "x": True}], "a": ""}, "a": []}, ["a-1", "a-2"], {"k": {"2": 1, "10": 2}})
    fired("no violators", {"seconds": 5}, [], {"elapsed_seconds": 6.0}, handler="auto_close")
    fired("wide text", {WIDE: WIDE, CONTROL: CONTROL}, [WIDE, ""], {"": ""}, handler="notify_channel")
    fired("values that are no JSON", {"on": date(2026, 1, 2), "t": (1, 2)}, [], {"e": ParticipantRole.INITIATOR})
    fired("text that holds half a character", {"half": "\ud800"}, [], {"nul": "\x00"})
    fired("keys that are numbers", {1: "one", 2: "two"}, [], {True: 1})
    expectation("nothing given", Expectation(name="", on_violation=""), [], {}, channel_id="")
    expectation("nulls", Expectation(name=None, on_violation=None), [], {})


def _tasks() -> None:
    full = {"owner_id": "a-1", "channel_id": "c-1", "reason": "", "capability": "sum", "started_at": AT, "at": AT}
    wire = {"owner_id": "a-1", "channel_id": "c-1", "reason": "", "capability": "sum", "started_at": AT, "at": AT}
    for kind in ("completed", "failed", "expired", "cancelled"):
        task("all fields", kind, {**full, "outcome": kind}, **wire, outcome=kind)
        task("outcome is missing", kind, full, **wire)
        task("outcome is null", kind, {**full, "outcome": None}, **wire, outcome_is_null=True)
        task("outcome is empty", kind, {**full, "outcome": ""}, **wire, outcome="")
        task("all missing", kind, {})
    task("another outcome", "completed", {**full, "outcome": "partly"}, **wire, outcome="partly")
    task("nulls", "failed", {"owner_id": None, "channel_id": None, "reason": None, "capability": None, "outcome": None, "at": AT},
         at=AT, outcome_is_null=True)
    task("empty strings", "failed", {"owner_id": "", "channel_id": "", "reason": "", "capability": "", "at": AT},
         at=AT, owner_id="", channel_id="", reason="", capability="")
    task("error text", "failed", {**full, "reason": "Traceback\n" + CONTROL + WIDE}, **{**wire, "reason": "Traceback\n" + CONTROL + WIDE})
    task("at is null", "completed", {**full, "at": None}, **{key: value for key, value in wire.items() if key != "at"})
    task("at is empty", "completed", {**full, "at": ""}, **{**wire, "at": ""})
    task("empty id", "completed", full, task_id="", **wire)
    for kind in ("started", "progress", "mirror_failed", "", "done", "task_terminated", "Completed"):
        task("not recorded", kind, full, **wire)


class Überlauf(Exception):
    """An exception whose type's name is not ASCII."""


def _turns() -> None:
    turn_failed("an error", ValueError("bad input"), "ValueError", "bad input")
    turn_failed("the time the hub gave", ValueError("bad input"), "ValueError", "bad input", at=CLOCK)
    turn_failed("no text", RuntimeError(), "RuntimeError", "")
    turn_failed("the text of a KeyError is quoted", KeyError("k"), "KeyError", "'k'")
    turn_failed("two arguments", OSError(2, "No such file"), "FileNotFoundError", "[Errno 2] No such file")
    turn_failed("more than one line", RuntimeError("one\ntwo " + CONTROL + WIDE), "RuntimeError", "one\ntwo " + CONTROL + WIDE)
    turn_failed("a type of another script", Überlauf("voll"), "Überlauf", "voll")
    turn_failed("no Exception", KeyboardInterrupt("stop"), "KeyboardInterrupt", "stop")
    turn_failed("long text", RuntimeError("x" * 5_000), "RuntimeError", "x" * 5_000)


def _customs() -> None:
    custom("as a hub would write it", {"at": AT, "kind": "deployment", "version": "1.2.3"})
    custom("no at", {"kind": "deployment"})
    custom("no kind", {"at": AT, "x": 1})
    custom("neither", {"x": 1})
    custom("empty", {})
    custom("at and kind are null", {"at": None, "kind": None})
    custom("kind is a number, at is a number", {"at": 12.5, "kind": 5})
    custom("kind is empty", {"at": "", "kind": ""})
    custom("a built-in kind with other fields", {"at": AT, "kind": "agent_registered", "agent_id": 5, "more": [1, 2]})
    custom("a built-in kind in its own form", {"at": AT, "kind": "channel_closed", "channel_id": "c-1", "reason": "x"})
    custom("every type", {"kind": "types", "n": None, "t": True, "f": False, "i": 1, "z": 0, "d": 1.5, "w": 30.0, "s": "x", "l": [], "o": {}})
    custom("numbers", {"kind": "numbers", "big": 10**60, "small": -(10**60), "e": 1e-320, "m": 1.7976931348623157e308, "neg": -0.0})
    custom("numbers that JSON does not have", {"kind": "numbers", "n": float("nan"), "p": float("inf"), "m": float("-inf")})
    custom("values that are no JSON", {"kind": "objects", "when": datetime(2026, 1, 2, tzinfo=timezone.utc), "set": {1}, "bytes": b"\x00\xff", "tuple": (1, (2,))})
    custom("keys that are no strings", {1: "a", 2: {None: 1}, 3: {True: 2}, 4: {1.5: 3}})
    custom("keys that name subjects", {"kind": "subjects", "agent_id": "a-1", "channel_id": "c-1", "task_id": "t-1", "owner_id": "a-2",
                                      "creator_id": "a-3", "participants": ["a-4", "a-5"], "violators": ["a-6"]})
    custom("subjects that are no strings", {"kind": "subjects", "agent_id": 1, "channel_id": None, "task_id": ["t"], "owner_id": {"x": 1},
                                            "creator_id": True, "participants": ["a", 1, None], "violators": "a"})
    custom("text", {"kind": WIDE, "t": WIDE, "c": CONTROL, WIDE: CONTROL, "": ""})
    custom("NUL and half characters", {"kind": "text", "nul": "\x00", "half": "\udfff", "pair": "\ud83c\udf0d", "a\x00b": 1, "agent_id": "a\x00b"})
    custom("a kind with NUL", {"kind": "a\x00b", "at": "\x00"})
    custom("a kind with half a character", {"kind": "a\ud800b", "at": "\ud800"})
    custom("the longest kind", {"kind": "k" * 256})
    custom("keys in order of code points", {"b": 1, "a": 2, "B": 3, "ä": 4, "10": 5, "9": 6, "_": 7})
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    custom("deep", {"kind": "deep", "value": deep})
    custom("long", {"kind": "long", "text": "y" * 6_000, "list": list(range(500))})


def _misfits() -> None:
    def closed(name: str, reason: Any) -> None:
        misfit(f"reason is {name}", "on_channel_event", ("c-1", "closed", {"reason": reason, "at": AT}),
               {"at": AT, "kind": "channel_closed", "channel_id": "c-1", "reason": reason})

    closed("a number", 7)
    closed("a list", ["a", {"b": 1}])
    closed("an object of another type", date(2026, 1, 2))
    closed("text with NUL", "a\x00b")
    closed("text with half a character", "a\ud800")
    closed("false", False)

    def version(name: str, value: Any) -> None:
        misfit(f"version is {name}", "on_agent_event", ("a-1", "rule_set", {"version": value, "at": AT}),
               {"at": AT, "kind": "rule_set", "agent_id": "a-1", "version": value})

    version("true", True)
    version("a float", 3.0)
    version("a string", "3")
    version("2**63", 2**63)
    version("-2**63 - 1", -(2**63) - 1)

    misfit("removed is a number", "on_agent_event", ("a-1", "skill_set", {"removed": 1, "at": AT}),
           {"at": AT, "kind": "skill_set", "agent_id": "a-1", "removed": 1})
    misfit("removed is a string", "on_agent_event", ("a-1", "skill_set", {"removed": "", "at": AT}),
           {"at": AT, "kind": "skill_set", "agent_id": "a-1", "removed": ""})
    misfit("at is a number", "on_agent_event", ("a-1", "unregistered", {"name": "Ada", "at": 5}),
           {"at": 5, "kind": "agent_unregistered", "agent_id": "a-1", "name": "Ada"})
    misfit("at is a time object", "on_channel_event", ("c-1", "expired", {"reason": "r", "at": date(2026, 1, 2)}),
           {"at": date(2026, 1, 2), "kind": "channel_expired", "channel_id": "c-1", "reason": "r"})
    misfit("the id is null", "on_agent_event", (None, "unregistered", {"name": "Ada", "at": AT}),
           {"at": AT, "kind": "agent_unregistered", "agent_id": None, "name": "Ada"})
    misfit("the id is a number", "on_task_event", (4, "completed", {"at": AT}),
           {"at": AT, "kind": "task_terminated", "task_id": 4, "owner_id": None, "channel_id": None, "outcome": "completed",
            "capability": None, "reason": None})
    misfit("outcome is a number", "on_task_event", ("t-1", "failed", {"outcome": 0, "at": AT}),
           {"at": AT, "kind": "task_terminated", "task_id": "t-1", "owner_id": None, "channel_id": None, "outcome": 0,
            "capability": None, "reason": None})
    misfit("participants are numbers", "on_channel_event", ("c-1", "created", {"participants": [1, None, "a"], "at": AT}),
           {"at": AT, "kind": "channel_created", "channel_id": "c-1", "participants": [1, None, "a"]})
    misfit("participants are one string", "on_channel_event", ("c-1", "created", {"participants": "abc", "at": AT}),
           {"at": AT, "kind": "channel_created", "channel_id": "c-1", "participants": ["a", "b", "c"]})
    misfit("the manifest's version is a string", "on_channel_event",
           ("c-1", "created", {"metadata": metadata(["a-1"], version="2"), "at": AT}),
           {"at": AT, "kind": "channel_created", "channel_id": "c-1", "manifest_type": "consulting", "manifest_version": "2",
            "creator_id": "a-1", "participants": ["a-1"]})
    misfit("the passport's name is a number", "on_agent_event", ("a-1", "registered", {"passport": SimpleNamespace(name=5), "at": AT}),
           {"at": AT, "kind": "agent_registered", "agent_id": "a-1", "name": 5})
    misfit("violators are numbers", "on_expectation_fired",
           ("c-1", None, Violation(Expectation(name="n", on_violation="audit"), [1], {})),
           {"at": CLOCK, "kind": "expectation_violated", "channel_id": "c-1", "expectation": "n", "on_violation": "audit", "params": {},
            "violators": [1], "detail": {}})
    misfit("the failure's text holds NUL", "on_turn_failed", ("c-1", "a-1", "e-1", RuntimeError("a\x00b")),
           {"at": CLOCK, "kind": "turn_failed", "channel_id": "c-1", "agent_id": "a-1", "envelope_id": "e-1", "exc_type": "RuntimeError",
            "exc_message": "a\x00b"})
    misfit("the envelope's id is null", "on_turn_failed", ("c-1", "a-1", None, RuntimeError("x")),
           {"at": CLOCK, "kind": "turn_failed", "channel_id": "c-1", "agent_id": "a-1", "envelope_id": None, "exc_type": "RuntimeError",
            "exc_message": "x"})


def _observed() -> None:
    observed("envelope posted", "on_envelope_posted", (object(), object()),
             Event(envelope_posted=EnvelopePosted(envelope_id="e-1", channel_id="c-1", sender_id="a-1")))
    observed("envelope rejected", "on_envelope_rejected", (object(), RuntimeError("no")),
             Event(envelope_rejected=EnvelopeRejected(envelope_id="e-1", channel_id="c-1", sender_id="a-1", reason="no")))
    observed("dispatch failed", "on_dispatch_failed", (object(), "a-2", RuntimeError("gone")),
             Event(dispatch_failed=DispatchFailed(envelope_id="e-1", channel_id="c-1", recipient_id="a-2", reason="gone")))
    observed("inbox pressure", "on_inbox_pressure", ("a-1", 80, 100), Event(inbox_pressure=InboxPressure(agent_id="a-1", pending=80, capacity=100)))


for _part in (_agents, _channels, _expectations, _tasks, _turns, _customs, _misfits, _observed):
    _part()
assert len({call.name for call in CALLS}) == len(CALLS), "two calls have the same name"
