"""The events of one producer: numbered, sent in order, and sent again after a lost connection until each is answered once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from . import errors
from ._views import AppendView
from .appended import Appended
from .backoff import Backoff
from .connection import Connection

logger = logging.getLogger("hubaudit")

# In flight at once. Below the server's own limit, so that one client cannot fill its queue.
_WINDOW_REQUESTS = 1024
_WINDOW_BYTES = 4 * 1024 * 1024
# What a frame needs beside the bytes of its events.
_FRAME_OVERHEAD = 64
_EVENT_OVERHEAD = 8


class _Entry:
    """One append: consecutive events that are sent, answered or refused together."""

    __slots__ = ("answered", "bytes", "count", "events", "future", "number", "owner", "proven", "round", "sends")

    def __init__(self, owner: Producer, events: Sequence[bytes], number: int, proven: bool) -> None:
        self.owner = owner
        self.events = events
        self.bytes = sum(map(len, events)) + _EVENT_OVERHEAD * len(events)
        self.count = len(events)
        self.number = number
        self.proven = proven
        self.sends = 0
        self.round = 0
        self.answered = False
        self.future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        # The caller may have stopped waiting; then nobody asks for the exception.
        self.future.add_done_callback(lambda future: future.cancelled() or future.exception())

    def on_reply(self, frame: Any) -> bool:
        self.owner._on_reply(self, frame)
        return True

    def on_lost(self, error: errors.HubauditError) -> None:
        # The producer is told of the loss once, by `detach`.
        return


class Producer:
    """A bounded queue of unanswered events, and the numbers that let the server store each of them once.

    The queue is bounded by `max_events` and `max_bytes`. Errors that pass, and those named in `keep`, leave an event in the queue.
    """

    def __init__(self, name: str, *, fresh: bool, max_events: int, max_bytes: int, keep: Collection[str] = ()) -> None:
        self.name = name
        self.pending_events = 0
        """Events that are not answered yet."""
        self.pending_bytes = 0
        self.last_error: errors.HubauditError | None = None
        """Why the server took nothing when it was last asked; None after a success."""
        self.answered_at = time.monotonic()
        """When the server last answered an append (`time.monotonic`)."""
        self._keep = frozenset(keep)
        self._max_events = max_events
        self._max_bytes = max_bytes
        # The numbers of a name that was used before are the server's to tell.
        self._numbered = fresh
        self._next_number = 1
        self._entries: deque[_Entry] = deque()
        self._connection: Connection | None = None
        # Entries before this index were sent on this connection.
        self._cursor = 0
        self._round = 0
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._rewind = False
        self._rewind_delay = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._backoff = Backoff()
        # One caller at a time waits for room, so that none is overtaken.
        self._gate = asyncio.Lock()
        self._room: asyncio.Future[None] | None = None
        self._idle: list[asyncio.Future[None]] = []
        self._closed: errors.HubauditError | None = None

    @property
    def next_to_answer(self) -> int | None:
        """The lowest number that is not answered yet, for the hello; None while the server has not told where the numbers begin."""
        if not self._numbered:
            return None
        return self._entries[0].number if self._entries else self._next_number

    def has_room(self, events: Sequence[bytes]) -> bool:
        """Whether the queue takes these events. One append is always taken by an empty queue."""
        size = sum(map(len, events)) + _EVENT_OVERHEAD * len(events)
        return not self.pending_events or (
            self.pending_events + len(events) <= self._max_events and self.pending_bytes + size <= self._max_bytes
        )

    def submit(self, events: Sequence[bytes], *, proven: bool = False) -> asyncio.Future[Appended]:
        """Puts encoded events at the end of the queue; they go out in this turn of the loop if the server can take them.

        The future is done when the server has answered; with `proven`, that is when a signed checkpoint covers the records. Raises
        `QueueFull` when there is no room.
        """
        if self._closed is not None:
            raise self._closed
        if not self.has_room(events):
            raise errors.QueueFull(
                f"{self.pending_events} events of {self.pending_bytes} bytes wait for the server, "
                f"the limits are {self._max_events} events and {self._max_bytes} bytes",
                retry=True,
            )
        entry = _Entry(self, events, self._next_number, proven)
        self._next_number += entry.count
        self._entries.append(entry)
        self.pending_events += entry.count
        self.pending_bytes += entry.bytes
        self._pump()
        return entry.future

    async def enqueue(self, events: Sequence[bytes], *, proven: bool = False) -> asyncio.Future[Appended]:
        """As `submit`, but waits for room. Callers are served in the order in which they came."""
        async with self._gate:
            while self._closed is None and not self.has_room(events):
                self._room = asyncio.get_running_loop().create_future()
                try:
                    await self._room
                finally:
                    self._room = None
            return self.submit(events, proven=proven)

    async def wait_until_idle(self) -> None:
        """Returns when every event is answered."""
        while self.pending_events and self._closed is None:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    def attach(self, connection: Connection) -> None:
        """A connection is up whose hello named this producer: everything unanswered is sent on it, in order."""
        expected = connection.welcome.producer_next or 1
        if not self._numbered:
            self._numbered = True
            self._renumber(expected)
        elif expected < (self.next_to_answer or 1):
            logger.error(
                "producer %s: the server expects event %d, but has acknowledged all before %d: it has lost acknowledged events",
                self.name,
                expected,
                self.next_to_answer,
            )
            self._renumber(expected)
        self._connection = connection
        self._start_round()

    def detach(self) -> None:
        """The connection ended: what was not answered waits for the next one."""
        self._connection = None
        self._round += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self, error: errors.HubauditError) -> None:
        """Takes nothing more; every event that is not answered fails with `error`."""
        self._closed = error
        self.detach()
        entries, self._entries = self._entries, deque()
        self.pending_events = self.pending_bytes = self._cursor = 0
        for entry in entries:
            if not entry.future.done():
                entry.future.set_exception(error)
        self._wake(everybody=True)

    def _start_round(self) -> None:
        self._round += 1
        self._cursor = self._in_flight = self._in_flight_bytes = 0
        self._rewind = False
        self._timer = None
        self._pump()

    def _pump(self) -> None:
        connection = self._connection
        if connection is None or self._rewind:
            return
        limits = connection.welcome.limits
        window = min(_WINDOW_BYTES, limits.pending_append_bytes or _WINDOW_BYTES)
        while self._cursor < len(self._entries) and self._in_flight < _WINDOW_REQUESTS:
            entry = self._entries[self._cursor]
            if self._in_flight and self._in_flight_bytes + entry.bytes > window:
                return
            if limits.frame_bytes and entry.bytes + _FRAME_OVERHEAD > limits.frame_bytes:
                # Sent as it is, it would end the connection, each time anew.
                text = f"an append of {entry.bytes} bytes does not fit the server's limit of {limits.frame_bytes} for a frame"
                self._refuse(entry, errors.RecordTooLarge(text, code="RECORD_TOO_LARGE"))
                continue
            if entry.answered:
                self._cursor += 1
                continue
            append = AppendView(producer_sequence=entry.number, events=entry.events)
            if entry.proven:
                append.proven = True
            entry.sends += 1
            entry.round = self._round
            self._cursor += 1
            self._in_flight += 1
            self._in_flight_bytes += entry.bytes
            connection.send(entry, append=append.SerializeToString())

    def _on_reply(self, entry: _Entry, frame: Any) -> None:
        if entry.round != self._round or entry.answered:
            return
        self._in_flight -= 1
        self._in_flight_bytes -= entry.bytes
        if frame.HasField("appended"):
            self._on_appended(entry, frame.appended)
        elif frame.HasField("error"):
            self._on_error(entry, errors.from_wire(frame.error))
        else:
            self._refuse(entry, errors.ProtocolError("the server answered an append with something else"))
        if not self._rewind:
            self._pump()
        elif self._in_flight == 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._rewind_delay, self._start_round)

    def _on_appended(self, entry: _Entry, reply: Any) -> None:
        self.last_error = None
        self.answered_at = time.monotonic()
        self._backoff.reset()
        try:
            appended = Appended.from_wire(reply, entry.count)
        except (errors.ProtocolError, errors.EvidenceError) as error:
            self._settle(entry, error)
            return
        if appended.duplicates and entry.sends == 1:
            text = f"another client numbers events as producer {self.name!r} of this hub: give each client its own name"
            self._settle(entry, errors.ProducerConflict(text))
            return
        self._settle(entry, appended)

    def _on_error(self, entry: _Entry, error: errors.HubauditError) -> None:
        if isinstance(error, errors.ProducerGap):
            # A predecessor was turned away. Alone at the head it means that the server's count is another than ours.
            if entry is self._entries[0] and not self._rewind:
                expected = error.expected or 1
                logger.error("producer %s: the server expects event %d, not %d: numbering anew", self.name, expected, entry.number)
                self._renumber(expected)
                self._turn_back(error, self._backoff.next())
            else:
                self._turn_back(None, 0.0)
        elif error.retry or error.code in self._keep:
            self._turn_back(error, self._backoff.next())
        else:
            self._refuse(entry, error)

    def _turn_back(self, error: errors.HubauditError | None, delay: float) -> None:
        if error is not None:
            self.last_error = error
        self._rewind_delay = max(self._rewind_delay, delay) if self._rewind else delay
        self._rewind = True

    def _refuse(self, entry: _Entry, error: errors.HubauditError) -> None:
        # The server stored none of it and still expects its number, so none of the later ones can be stored: they move up.
        index = self._entries.index(entry)
        number = entry.number
        sent_behind = index + 1 < self._cursor
        del self._entries[index]
        if index < self._cursor:
            self._cursor -= 1
        self._release(entry)
        if not entry.future.done():
            entry.future.set_exception(error)
        for later in list(self._entries)[index:]:
            later.number = number
            number += later.count
        self._next_number = number
        if sent_behind:
            self._turn_back(None, 0.0)
        self._wake()

    def _settle(self, entry: _Entry, outcome: Appended | errors.HubauditError) -> None:
        entry.answered = True
        while self._entries and self._entries[0].answered:
            self._entries.popleft()
            self._cursor = max(0, self._cursor - 1)
        self._release(entry)
        if not entry.future.done():
            if isinstance(outcome, Appended):
                entry.future.set_result(outcome)
            else:
                entry.future.set_exception(outcome)
        self._wake()

    def _release(self, entry: _Entry) -> None:
        self.pending_events -= entry.count
        self.pending_bytes -= entry.bytes

    def _renumber(self, number: int) -> None:
        for entry in self._entries:
            entry.number = number
            number += entry.count
        self._next_number = number

    def _wake(self, everybody: bool = False) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if everybody or not self.pending_events:
            idle, self._idle = self._idle, []
            for waiter in idle:
                if not waiter.done():
                    waiter.set_result(None)
