"""The events of one producer: numbered, sent in order, and sent again after a lost connection until each is answered once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from . import errors
from ._entry import Entry, Request
from ._tasks import settle
from ._views import AppendView
from .appended import Appended
from .backoff import Backoff
from .connection import Connection

logger: logging.Logger = logging.getLogger("hubaudit")

# In flight at once. Below the server's own limit, so that one client cannot fill its queue.
_WINDOW_REQUESTS = 1024
_WINDOW_BYTES = 4 * 1024 * 1024
# Appends that wait at the same time share a request of at most this size. The server proves as many events in one answer.
_REQUEST_EVENTS = 256
_REQUEST_BYTES = 64 * 1024
# What a frame needs beside the bytes of its events.
_FRAME_OVERHEAD = 64


class Producer:
    """A bounded queue of unanswered events, and the numbers that let the server store each of them once.

    The queue is bounded by `max_events` and `max_bytes`. Errors that pass, and those named in `keep`, leave an event in the queue.
    """

    def __init__(self, name: str, *, fresh: bool, max_events: int, max_bytes: int, keep: Collection[str] = ()) -> None:
        self.name = name
        self.pending_events: int = 0
        """Events that are not answered yet."""
        self.pending_bytes: int = 0
        self.last_error: errors.HubauditError | None = None
        """Why the server took nothing when it was last asked; None after a success."""
        self.answered_at: float = time.monotonic()
        """When the server last answered an append (`time.monotonic`)."""
        self.session_token: bytes = b""
        """What shows the server that this client had the producer before; empty before the first connection."""
        self._keep = frozenset(keep)
        self._max_events = max_events
        self._max_bytes = max_bytes
        # The numbers of a name that was used before are the server's to tell.
        self._numbered = fresh
        # An entry gets its number when it is sent; those that have one stand before those that have none.
        self._next_number = 1
        # Numbers below this one the server has used already, as the connection's welcome told: it has stored the events, or ignored them.
        self._used_below = 1
        self._waiting: deque[Entry] = deque()
        # Requests of this connection that are not settled, in the order in which they were sent.
        self._sent: dict[Request, None] = {}
        self._connection: Connection | None = None
        self._round = 0
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._scheduled = False
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
        first = self._first()
        return first.number if first is not None and first.number else self._next_number

    def has_room(self, entry: Entry) -> bool:
        """Whether the queue takes these events. One append is always taken by an empty queue."""
        return self._fits(entry.count, entry.bytes)

    def _fits(self, events: int, size: int) -> bool:
        return not self.pending_events or (
            self.pending_events + events <= self._max_events and self.pending_bytes + size <= self._max_bytes
        )

    def submit(self, entry: Entry) -> None:
        """Puts an entry at the end of the queue. What is submitted in one turn of the loop goes out at its end, if the server can take it.

        Raises `QueueFull` when there is no room.
        """
        if self._closed is not None:
            raise self._closed
        if not self._fits(entry.count, entry.bytes):
            raise self._full()
        self._take(entry)

    def submit_all(self, entries: Sequence[Entry]) -> None:
        """Puts all entries at the end of the queue, or raises `QueueFull` and takes none."""
        if self._closed is not None:
            raise self._closed
        events, size = sum(entry.count for entry in entries), sum(entry.bytes for entry in entries)
        if self._gate.locked() or not self._fits(events, size):
            raise self._full()
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        self._waiting.append(entry)
        self.pending_events += entry.count
        self.pending_bytes += entry.bytes
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _full(self) -> errors.QueueFull:
        return errors.QueueFull(
            f"{self.pending_events} events of {self.pending_bytes} bytes wait for the server, "
            f"the limits are {self._max_events} events and {self._max_bytes} bytes",
            retry=True,
        )

    def enqueue_now(self, entry: Entry) -> bool:
        """Submits an entry if it need not wait for room; returns whether it did."""
        if self._gate.locked() or not self.has_room(entry):
            return False
        self.submit(entry)
        return True

    async def enqueue(self, entry: Entry) -> None:
        """Submits an entry as soon as there is room, callers in the order in which they came."""
        async with self._gate:
            while self._closed is None and not self.has_room(entry):
                self._room = asyncio.get_running_loop().create_future()
                try:
                    await self._room
                finally:
                    self._room = None
            self.submit(entry)

    async def wait_until_idle(self) -> None:
        """Returns when every event is answered."""
        while self.pending_events and self._closed is None:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    def attach(self, connection: Connection) -> None:
        """A connection is up whose hello named this producer: everything unanswered is sent on it, in order."""
        welcome = connection.welcome
        expected = welcome.producer_next or 1
        self.session_token = welcome.session_token
        self._used_below = expected
        self._recall()
        lowest = self.next_to_answer
        if lowest is None:
            self._numbered = True
            self._number_from(expected)
        elif welcome.producer_forgotten and (lowest > 1 or self._next_number > lowest):
            self._fail_sent(f"the server has forgotten producer {self.name!r} (producer_forgotten)")
            # It takes no number that it was told before.
            self._number_from(max(self._next_number, lowest + 1))
            connection.close(errors.ConnectionLost("the connection is made again to agree on the events' numbers", retry=True))
            return
        elif welcome.HasField("producer_taken_at"):
            logger.error(
                "producer %s: another client had taken it over and is at event %d: numbering anew what has number %d or more; "
                "give each client a name of its own",
                self.name,
                expected,
                welcome.producer_taken_at,
            )
            self._number_from(welcome.producer_taken_at, anew=expected)
        elif expected > self._next_number:
            self._fail_sent(f"another client numbers events as producer {self.name!r} of this hub: give each client its own name")
            self._number_from(expected)
        elif expected < lowest:
            logger.error(
                "producer %s: the server expects event %d, but has acknowledged all before %d: it has lost acknowledged events",
                self.name,
                expected,
                lowest,
            )
            self._number_from(expected)
        self._connection = connection
        self._start_round()

    def go_on_from(self, expected: int) -> None:
        """The server did not take the hello, since its number is too far from the one expected: nothing from that on is stored."""
        if self._numbered and expected < (self.next_to_answer or 1):
            self._recall()
            self._number_from(expected)

    def detach(self) -> None:
        """The connection ended: what was not answered waits for the next one."""
        for request in self._sent:
            if not request.answered:
                for entry in request.entries:
                    entry.unsure = True
        self._connection = None
        self._round += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self, error: errors.HubauditError) -> None:
        """Takes nothing more; every event that is not answered fails with `error`."""
        self._closed = error
        self.detach()
        self._recall()
        entries, self._waiting = self._waiting, deque()
        self.pending_events = self.pending_bytes = 0
        for entry in entries:
            entry.failed(error)
        self._wake(everybody=True)

    def on_reply(self, request: Request, frame: Any) -> None:
        """The server has answered a request."""
        if request.round != self._round:
            return
        request.answered = True
        self._in_flight -= 1
        self._in_flight_bytes -= request.bytes
        if frame.HasField("appended"):
            self._on_appended(request, frame.appended)
        elif frame.HasField("error"):
            self._on_error(request, errors.from_wire(frame.error))
        else:
            self._on_refused(request, errors.ProtocolError("the server answered an append with something else"))
        if not self._rewind:
            if self._waiting:
                self._pump()
        elif self._in_flight == 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._rewind_delay, self._start_round)

    def _first(self) -> Entry | None:
        for request in self._sent:
            return request.entries[0]
        return self._waiting[0] if self._waiting else None

    def _recall(self) -> None:
        """What was sent and not settled waits again, before the rest."""
        for request in reversed(self._sent):
            self._waiting.extendleft(reversed(request.entries))
        self._sent.clear()

    def _start_round(self) -> None:
        self._recall()
        self._round += 1
        self._in_flight = self._in_flight_bytes = 0
        self._rewind = False
        self._timer = None
        self._pump()

    def _pump(self) -> None:
        self._scheduled = False
        connection = self._connection
        if connection is None or self._rewind:
            return
        limits = connection.welcome.limits
        window = min(_WINDOW_BYTES, limits.pending_append_bytes or _WINDOW_BYTES)
        most_events = min(_REQUEST_EVENTS, limits.append_events or _REQUEST_EVENTS)
        most_bytes = (limits.frame_bytes or connection.max_frame_bytes) - _FRAME_OVERHEAD
        while self._waiting and self._in_flight < _WINDOW_REQUESTS:
            head = self._waiting[0]
            if self._in_flight and self._in_flight_bytes + head.bytes > window:
                return
            if head.bytes > most_bytes:
                # Sent as it is, it would end the connection, each time anew.
                text = f"an append of {head.bytes} bytes does not fit the limit of {most_bytes} for a frame"
                self._drop(self._waiting.popleft(), errors.RecordTooLarge(text, code="RECORD_TOO_LARGE"))
                continue
            request = self._next_request(most_events, min(most_bytes, _REQUEST_BYTES))
            append = AppendView(producer_sequence=head.number, events=request.events)
            if head.proven:
                append.proven = True
            self._sent[request] = None
            self._in_flight += 1
            self._in_flight_bytes += request.bytes
            connection.send(request, at_once=True, append=append.SerializeToString())

    def _next_request(self, most_events: int, most_bytes: int) -> Request:
        """Takes from the queue its head, and what may travel with it, and numbers it."""
        head = self._waiting[0]
        entries: list[Entry] = []
        again = head.sent
        events = size = 0
        while self._waiting:
            entry = self._waiting[0]
            events += entry.count
            if entries and (
                events > most_events
                or size + entry.bytes > most_bytes
                or entry.alone
                or head.alone
                or entry.proven != head.proven
                # What was sent before may be answered as a duplicate, what is new may not.
                or entry.sent != again
                # Between them stands one that was answered.
                or (entry.number or self._next_number) != head.number + events - entry.count
            ):
                break
            self._waiting.popleft()
            if not entry.number:
                entry.number = self._next_number
                self._next_number += entry.count
            size += entry.bytes
            entries.append(entry)
        for entry in entries:
            entry.sent = True
        return Request(self, entries, size, again, self._round)

    def _on_appended(self, request: Request, reply: Any) -> None:
        self.last_error = None
        self.answered_at = time.monotonic()
        self._backoff.reset()
        del self._sent[request]
        self._release(request.entries)
        try:
            appended = Appended.from_wire(reply, sum(entry.count for entry in request.entries))
            if appended.duplicates and not request.again:
                text = f"another client numbers events as producer {self.name!r} of this hub: give each client its own name"
                raise errors.ProducerConflict(text)
        except errors.HubauditError as error:
            for entry in request.entries:
                entry.failed(error)
        else:
            first = 0
            for entry in request.entries:
                entry.stored(appended, first)
                first += entry.count
        self._wake()

    def _on_error(self, request: Request, error: errors.HubauditError) -> None:
        if isinstance(error, errors.ProducerGap):
            # A predecessor was turned away. Alone at the head it means that the server's count is another than ours.
            head = self._first()
            if head is request.entries[0] and not self._rewind:
                expected = error.expected or 1
                logger.error("producer %s: the server expects event %d, not %d: numbering anew", self.name, expected, head.number)
                self._number_from(expected)
                self._turn_back(error, self._backoff.next())
            else:
                self._turn_back(None, 0.0)
        elif error.code == "PRODUCER_SUPERSEDED":
            # The token of this connection takes it back.
            self._turn_back(error, 0.0)
            if self._connection is not None:
                self._connection.close(errors.ConnectionLost(f"another client has taken producer {self.name!r} over", retry=True))
        elif error.retry or error.code in self._keep:
            self._turn_back(error, self._backoff.next())
        else:
            self._on_refused(request, error)

    def _turn_back(self, error: errors.HubauditError | None, delay: float) -> None:
        if error is not None:
            self.last_error = error
        self._rewind_delay = max(self._rewind_delay, delay) if self._rewind else delay
        self._rewind = True

    def _on_refused(self, request: Request, error: errors.HubauditError) -> None:
        # The server stored none of it and still expects its number, so none of what was sent behind it can be stored: go back.
        blamed = request.blamed(error)
        if blamed is None:
            for entry in request.entries:
                entry.alone = True
            self._turn_back(None, 0.0)
            return
        entry, error = blamed
        sent_behind = next(reversed(self._sent)) is not request
        request.entries.remove(entry)
        if request.entries or sent_behind:
            self._turn_back(None, 0.0)
        if not request.entries:
            del self._sent[request]
        self._drop(entry, error)

    def _drop(self, entry: Entry, error: errors.HubauditError) -> None:
        """An entry that is in no queue any more was not stored; its number, if it had one, goes to the next.

        But for one whose number is used: it keeps that, and so do those behind it. The log may have no record of it; or the entry was stored
        before the connection was lost, and the server that is there now does not take it (a proven one, where no key signs any more).
        """
        is_stored = 0 < entry.number < self._used_below
        if error.code == "PRODUCER_NUMBER_UNKNOWN":
            pass
        elif is_stored:
            text = f"it was stored before the connection was lost (event {entry.number} of producer {self.name}), and now is refused: {error}"
            error = type(error)(text, code=error.code, event=error.event)
        elif entry.number:
            self._number_from(entry.number)
        self._release([entry])
        entry.failed(error)
        self._wake()

    def _number_from(self, number: int, *, anew: int | None = None) -> None:
        """Entries that had a number from `number` on get new ones when they are sent again, beginning with this one, or with `anew`.

        With `anew` the old ones are another client's.
        """
        for request in self._sent:
            for entry in request.entries:
                if entry.number >= number:
                    entry.number = 0
        for entry in self._waiting:
            if not entry.number:
                break
            if entry.number >= number:
                entry.number = 0
                if anew is not None:
                    entry.sent = entry.unsure = False
        self._next_number = number if anew is None else anew

    def _fail_sent(self, reason: str) -> None:
        """Gives up what was sent and not answered, on no connection: it may be stored or not, and is not sent again."""
        text = f"{reason}: it cannot be told whether these events, which were sent and not acknowledged, are stored"
        while self._waiting and self._waiting[0].sent:
            entry = self._waiting.popleft()
            entry.unsure = True
            logger.error("producer %s: events %d to %d: %s", self.name, entry.number, entry.number + entry.count - 1, text)
            self._release([entry])
            entry.failed(errors.ProducerConflict(text, code="PRODUCER_NUMBER_UNKNOWN"))
        self._wake()

    def _release(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.pending_events -= entry.count
            self.pending_bytes -= entry.bytes

    def _wake(self, everybody: bool = False) -> None:
        if self._room is not None:
            settle(self._room, None)
        if everybody or not self.pending_events:
            idle, self._idle = self._idle, []
            for waiter in idle:
                settle(waiter, None)
