"""Random records near the shapes that have a typed event: AG2's own, with keys left out, added and renamed, and values of other types."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
import enum
import random
from typing import Any

AT = "2026-01-01T00:00:00+00:00"


class Word(str):
    """A str that says something else of itself."""

    def __str__(self) -> str:
        return "another"


class Level(enum.IntEnum):
    HIGH = 3


PLAIN_TEXTS = ["", "a-1", "c-1", "tenant", "observed", "completed", "failed", "expired", "cancelled", "registered", "created", "null", "0", AT,
               "Grüße \u2028 🌍", "\x7f\x1b", " "]  # fmt: skip
TEXTS = [*PLAIN_TEXTS, "nul \0 byte", "lone \ud800 surrogate"]
NUMBERS = [0, 1, -1, 3, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**40]
OTHERS = [None, True, False, 0.0, -0.0, 1.0, 1e300, float("nan"), float("inf"), Word("word"), Level.HIGH, datetime(2026, 1, 1, tzinfo=timezone.utc),
          b"bytes", (), ("a", "b"), [], {}]  # fmt: skip


def _texts(draw: random.Random) -> Any:
    return [_text(draw) for _ in range(draw.randrange(4))]


def _text(draw: random.Random) -> Any:
    return draw.choice(PLAIN_TEXTS)


def _number(draw: random.Random) -> Any:
    return draw.choice(NUMBERS[:7])


def _flag(draw: random.Random) -> Any:
    return draw.choice([True, False, None])


def _object(draw: random.Random) -> Any:
    return {draw.choice(TEXTS): anything(draw, 2) for _ in range(draw.randrange(4))}


def anything(draw: random.Random, depth: int = 2) -> Any:
    """A value of any kind that json.dumps takes with default=str."""
    what = draw.randrange(8)
    if what < 2:
        return draw.choice(TEXTS)
    if what < 4:
        return draw.choice(NUMBERS)
    if what < 6 or depth == 0:
        return draw.choice(OTHERS)
    if what == 6:
        return [anything(draw, depth - 1) for _ in range(draw.randrange(4))]
    return {draw.choice(TEXTS): anything(draw, depth - 1) for _ in range(draw.randrange(4))}


NAMED = {"agent_id": _text, "name": _text}
SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("agent_registered", NAMED),
    ("agent_unregistered", NAMED),
    ("resume_set", {"source": lambda draw: "tenant", "agent_id": _text, "version": _number}),
    ("resume_set", {"source": lambda draw: "observed", "agent_id": _text, "version": _number, "capability": _text, "outcome": _text}),
    ("skill_set", {"agent_id": _text, "removed": _flag}),
    ("rule_set", {"agent_id": _text, "version": _number}),
    ("channel_created", {"channel_id": _text, "manifest_type": _text, "manifest_version": _number, "creator_id": _text, "participants": _texts}),
    ("channel_closed", {"channel_id": _text, "reason": _text}),
    ("channel_expired", {"channel_id": _text, "reason": _text}),
    ("expectation_violated", {"channel_id": _text, "expectation": _text, "on_violation": _text, "params": _object, "violators": _texts,
                              "detail": _object}),
    ("task_terminated", {"task_id": _text, "owner_id": _text, "channel_id": _text, "outcome": _text, "capability": _text, "reason": _text}),
    ("turn_failed", {"channel_id": _text, "agent_id": _text, "envelope_id": _text, "exc_type": _text, "exc_message": _text}),
]  # fmt: skip
KEYS = sorted({key for _, shape in SHAPES for key in shape} | {"kind", "at", "extra", "metadata", "sequence"})
KINDS = sorted({kind for kind, _ in SHAPES} | {"registered", "custom", "unreadable_line", "Agent_registered", ""})


def near_record(draw: random.Random) -> dict[str, Any]:
    """A record of a typed shape, changed in none to four places."""
    kind, shape = draw.choice(SHAPES)
    record: dict[str, Any] = {"kind": kind, "at": AT} | {key: make(draw) for key, make in shape.items()}
    for _ in range(draw.choice((0, 0, 1, 1, 1, 2, 2, 3, 4))):
        what = draw.randrange(6)
        if what == 0 and record:
            del record[draw.choice(list(record))]
        elif what == 1:
            record[draw.choice(KEYS)] = anything(draw)
        elif what == 2 and record:
            # As many keys as before, one of them another.
            del record[draw.choice(list(record))]
            record[draw.choice(KEYS)] = anything(draw)
        elif what == 3 and record:
            record[draw.choice(list(record))] = anything(draw)
        elif what == 4 and record:
            record[draw.choice(list(record))] = None
        else:
            record["kind"] = draw.choice(KINDS)
    return record


def near_records(seed: int, count: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    return (near_record(draw) for _ in range(count))
