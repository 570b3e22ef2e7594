"""What the clients of a run did and saw, and the log that was there at the end.

Every client process writes one file of JSON lines, each at once and by one write, so that after kill -9 only the last one may be unfinished.
`at` is the machine's monotonic clock in ns, which all processes share: of what a client does, line and time are there before it does it, of
what it sees after. So an unfinished line is about nothing that happened to others, and what ends in the history before another thing begins
did so.
"""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


class Recorder:
    """Writes the history of one client process."""

    def __init__(self, path: pathlib.Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, what: str, **fields: Any) -> None:
        line = json.dumps({"at": time.monotonic_ns(), "what": what, **fields}, separators=(",", ":"))
        os.write(self._descriptor, line.encode() + b"\n")


@dataclass
class Event:
    """An event as it was sent. One without a kind is of those that make no record."""

    token: str
    kind: str | None = None
    text: str | None = None
    """Of a custom event: its JSON."""


@dataclass
class Append:
    """One append request, and what came of it."""

    client: str
    connection: int
    hub: str
    producer: str | None
    number: int | None
    events: list[Event]
    sent_at: int
    answered_at: int | None = None
    sequences: list[int | None] | None = None
    duplicates: int = 0
    refused: str | None = None


@dataclass
class Frame:
    """What a subscription was sent at once: records as pairs of sequence and digest, and the position it was told, or None."""

    at: int
    records: list[tuple[int, str]]
    next: int | None
    state: str | None = None


@dataclass
class Session:
    """One subscribe request and all its frames."""

    client: str
    start: dict[str, Any]
    filter: dict[str, list[str]]
    begun_at: int
    frames: list[Frame] = field(default_factory=list)
    ended: str | None = None
    """The code that the server ended it with."""

    @property
    def records(self) -> list[tuple[int, str]]:
        return [record for frame in self.frames for record in frame.records]

    @property
    def sequences(self) -> list[int]:
        return [sequence for sequence, _ in self.records]


@dataclass
class Hello:
    """A welcome that a producer got: the number that the server says it expects."""

    client: str
    hub: str
    producer: str
    declared: int
    expected: int
    at: int


@dataclass
class LogRecord:
    """A record of the log as it was read at the end."""

    sequence: int
    received_at: int
    hub: str
    producer: str | None
    number: int | None
    kind: str | None
    token: str | None
    text: str | None
    digest: str
    agents: list[str]


@dataclass
class History:
    """All of a run."""

    appends: list[Append] = field(default_factory=list)
    hellos: list[Hello] = field(default_factory=list)
    subscribers: dict[str, list[Session]] = field(default_factory=dict)
    """By name: the sessions of a subscriber in their order, those of its successors after a kill included."""
    log: list[LogRecord] = field(default_factory=list)

    @classmethod
    def load(cls, directory: pathlib.Path) -> History:
        """Reads what the clients of a run wrote: NAME.GENERATION.jsonl each, and log.jsonl."""
        history = cls()
        for path in client_files(directory):
            history._load_client(path.stem, lines(path))
        for sessions in history.subscribers.values():
            sessions.sort(key=lambda session: session.begun_at)
        history.log = [LogRecord(**line) for line in lines(directory / "log.jsonl")]
        return history

    def deliveries(self) -> Iterator[tuple[str, list[int]]]:
        """Each subscriber with all that it was sent, over all its sessions."""
        for name, sessions in self.subscribers.items():
            yield name, [sequence for session in sessions for sequence in session.sequences]

    @classmethod
    def of(cls, directory: pathlib.Path, name: str) -> History:
        """What one client and its predecessors of the same name wrote so far."""
        history = cls()
        for path in client_files(directory, name):
            history._load_client(path.stem, lines(path))
        return history

    def _load_client(self, client: str, entries: Iterable[dict[str, Any]]) -> None:
        appends: dict[int, Append] = {}
        sessions: dict[int, Session] = {}
        for entry in entries:
            at, what = entry.pop("at"), entry.pop("what")
            if what == "hello":
                self.hellos.append(Hello(client, at=at, **entry))
            elif what == "send":
                events = [Event(*event) for event in entry.pop("events")]
                append = Append(client, events=events, sent_at=at, connection=entry["connection"], hub=entry["hub"],
                                producer=entry.get("producer"), number=entry.get("number"))
                appends[entry["id"]] = append
                self.appends.append(append)
            elif what == "answer":
                append = appends[entry["id"]]
                append.answered_at, append.sequences, append.duplicates = at, entry["sequences"], entry["duplicates"]
            elif what == "refusal":
                append = appends[entry["id"]]
                append.answered_at, append.refused = at, entry["code"]
            elif what == "subscribe":
                session = Session(client, entry["start"], entry["filter"], at)
                sessions[entry["session"]] = session
                self.subscribers.setdefault(client.rpartition(".")[0], []).append(session)
            elif what == "frame":
                records = [(sequence, digest) for sequence, digest in entry.get("records", [])]
                sessions[entry["session"]].frames.append(Frame(at, records, entry.get("next"), entry.get("state")))
            elif what == "end":
                sessions[entry["session"]].ended = entry["code"]


def client_files(directory: pathlib.Path, name: str = "*") -> list[pathlib.Path]:
    """The files of all clients, or of one and its predecessors."""
    return sorted(directory.glob(f"{name}.[0-9]*.jsonl"))


def lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """The finished lines."""
    return [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()]
