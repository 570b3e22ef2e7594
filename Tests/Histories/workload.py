"""What is appended and what is filtered for. All of it follows from a seed and a number, so that a successor re-sends what was sent."""

from __future__ import annotations

import json
import random

from history import Event
from hubaudit import events
from hubaudit._proto import event_pb2

AT = "2026-01-01T00:00:00+00:00"
KINDS = ("opened", "moved", "shut", "task_terminated")
AGENTS = ("a0", "a1", "a2")
HUBS = ("north", "south")
END = "end"
"""Hub, kind and agent of the last record of every run: it passes every filter, and a subscriber that sees it has seen all."""


def event(seed: int, name: str, number: int) -> tuple[event_pb2.Event, Event]:
    """The event of a client with this number: as it is sent, and as the history has it. One in ten makes no record."""
    chance = random.Random(f"{seed} {name} {number} form")
    token = f"{name}/{number}"
    agent = chance.choice(AGENTS)
    kind = chance.choice(KINDS)
    if chance.random() < 0.1:
        return events.task(token, "progress", at=AT, owner_id=agent), Event(token)
    if kind == "task_terminated":
        return events.task(token, "completed", at=AT, owner_id=agent, reason="r" * chance.randrange(40)), Event(token, kind)
    note = custom(seed, name, number)
    return event_pb2.Event(custom=(note.text or "").encode()), note


def custom(seed: int, name: str, number: int) -> Event:
    """A custom event. Most are small; some are large enough to fill segments and use up credit."""
    chance = random.Random(f"{seed} {name} {number}")
    agent = chance.choice(AGENTS)
    kind = chance.choice(KINDS)
    token = f"{name}/{number}"
    size = 3000 + chance.randrange(9000) if chance.random() < 0.05 else chance.randrange(60)
    # A commit of this size is stored on another thread than a small one.
    if chance.random() < 0.01:
        size = 40_000
    text = json.dumps({"at": AT, "kind": kind, "agent_id": agent, "task_id": token, "pad": "x" * size})
    return Event(token, kind, text)


def filter(chance: random.Random) -> dict[str, list[str]]:
    """A filter by one or two fields, which the last record passes too."""
    fields = {"kinds": KINDS, "hubs": HUBS, "agents": AGENTS}
    chosen = chance.sample(sorted(fields), chance.randint(1, 2))
    return {name: [*chance.sample(fields[name], chance.randint(1, len(fields[name]) - 1)), END] for name in sorted(chosen)}
