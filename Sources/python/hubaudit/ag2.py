"""The drop-in AuditLog for AG2: `hub.replace_audit_log(await HubAuditLog.connect(url, hub="lab"))`. Needs the extra `hubaudit[ag2]`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Literal

try:
    from ag2.network.hub.audit import AuditLog
except ImportError as _missing:
    raise ImportError("hubaudit.ag2 needs AG2 1.0 or later, the extra hubaudit[ag2]: pip install 'ag2>=1.0'") from _missing

from . import errors
from ._ag2_cut import cut_to
from ._ag2_delivery import Delivery
from ._ag2_events import typed_event
from ._checks import not_negative, positive
from ._decode import SharedTexts, decode_batch
from ._entry import Entry
from ._proto.event_pb2 import Event
from ._tasks import settle, settle_with
from .appended import Appended
from .checkpoint import Keys
from .client import Client
from .connection import MAX_FRAME_BYTES
from .credentials import TLS, Token
from .producer import Producer

logger: logging.Logger = logging.getLogger("hubaudit.ag2")

__all__ = ("HubAuditLog",)

# The server's usual limit for a record, where it has named none yet, and what a record needs beside the event.
_RECORD_BYTES = 1024 * 1024
_RECORD_OVERHEAD = 4096
# How often it is said again that the server acknowledges nothing.
_REPEAT_SECONDS = 60.0
# Of records that are lost for one and the same reason, so many are named one by one.
_NAMED = 10

AuditSubscriber = Callable[[dict[str, Any]], Awaitable[None]]
ClockFn = Callable[[], str]
OnLost = Callable[[dict[str, Any], errors.HubauditError], object]

# As AG2 writes a record; made once, which is quicker than `json.dumps`.
_line = json.JSONEncoder(default=str, sort_keys=True).encode


class _Record(Entry):
    """A record on its way, and the append that waits for it, if any does."""

    __slots__ = ("_log", "_waiter", "kind", "line", "next_sequence", "size")

    def __init__(self, log: HubAuditLog, event: bytes, size: int, kind: object, line: str | None) -> None:
        super().__init__((event,))
        self.size = size
        """Bytes that AG2 would have written."""
        self.kind = kind
        self.line = line
        """What AG2 would have written, where somebody wants to know of losses."""
        self.next_sequence: int | None = None
        """When it is stored: the sequence behind its record."""
        self._log = log
        self._waiter: asyncio.Future[bool] | None = None

    async def answered(self, patience: float) -> bool:
        """Returns whether the server has answered within `patience` seconds. Raises what the record was refused with."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiter = waiter
        timer = loop.call_later(patience, settle, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()

    def stored(self, appended: Appended, first: int) -> None:
        log = self._log
        sequence = appended.sequences[first]
        if sequence is not None:
            self.next_sequence = sequence + 1
            if sequence >= log._next_known:
                log._next_known = sequence + 1
        if log._outage:
            log._end_outage()
        if self._waiter is not None:
            settle(self._waiter, True)

    def failed(self, error: errors.HubauditError) -> None:
        self._log._failed(self, error)
        if self._waiter is not None:
            settle_with(self._waiter, error)


class HubAuditLog(AuditLog):
    """AG2's AuditLog, kept by a hubaudit server.

    The records are AG2's own, made by AG2's own code with this log's clock; `read_all` gives back what AG2 would have read from its
    file. They are sent as typed events, so that the server can filter them, and as AG2's JSON line where a value fits no event. A text of
    AG2's own records that is too long for the server (the error of a failed turn, a reason) is cut, and says so.

    AG2 awaits its listeners on the dispatch path and swallows their exceptions, hence:

    - In mode "durable" `append` returns when the record is on the server's disk, and after `deadline` seconds at the latest. What is
      not acknowledged by then stays queued, is sent when the server is back, and is stored once. While an outage lasts, further calls
      return as soon as their record is queued. In mode "queued" every call does.
    - The queue is bounded by `queue_events` and `queue_bytes`. When it is full the record is dropped loudly: `append` raises `QueueFull`,
      the error is logged, `lost` counts it, and `on_lost` is called with the record and the error. So is a record that the server refuses.

    Subscribers are called with every record of this hub that becomes durable after `subscribe`, in the order of the log, whichever
    process appended it. They are fed by a subscription to the server that resumes after a lost connection, so a slow one delays the
    next call of a callback, never an append; `append` does not wait for them, `drain` does. With `deliver="inline"` `append` waits too, as
    AG2's does: a slow subscriber then stalls the hub. Within a subscriber `append` never waits for subscribers.

    A log belongs to the event loop and the process that it was connected in; anywhere else `append` raises `WrongLoop`. An event loop that
    ends before `close` waits up to 2 s for the queue. What was not stored then is named in the log, and in `lost` or `unconfirmed`.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: ClockFn | None = None,
        deadline: float = 2.0,
        mode: Literal["durable", "queued"] = "durable",
        deliver: Literal["background", "inline"] = "background",
        on_lost: OnLost | None = None,
    ) -> None:
        """Over a client that was made with a hub's name. `clock` as in AG2: it gives `at` where an event has no time of its own.

        `on_lost` is called with each record that was dropped, as AG2's file would have had it, and the error; it should return at once.
        """
        if client.hub is None or client.producer is None:
            raise ValueError("the client has no hub: make it with Client(url, hub=...)")
        if mode not in ("durable", "queued"):
            raise ValueError(f"mode {mode!r} is neither 'durable' nor 'queued'")
        if deliver not in ("background", "inline"):
            raise ValueError(f"deliver {deliver!r} is neither 'background' nor 'inline'")
        if (mode, deliver) == ("queued", "inline"):
            raise ValueError("deliver='inline' waits for subscribers, who get records that are on disk: use it with mode='durable'")
        # The server keeps the records: there is no store.
        super().__init__(None, clock=clock)  # type: ignore[arg-type]
        self.client = client
        self.deadline: float = positive("deadline", deadline)
        self.mode = mode
        self.deliver = deliver
        self.lost: int = 0
        """Records that were dropped and are not stored: the queue was full, the server refused them, or the log ended before they were sent."""
        self.unconfirmed: int = 0
        """Records that were sent when the log ended, and never answered: the server may have stored them."""
        self._on_lost = on_lost
        self._counting = threading.Lock()
        self._same_error: tuple[BaseException | None, int] = (None, 0)
        self._hub: str = client.hub
        self._producer: Producer = client.producer
        self._outage = False
        self._outage_since = self._said_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._next_known = 0
        self._delivery = Delivery(client, self._hub)

    @classmethod
    async def connect(
        cls,
        url: str | None = None,
        *,
        hub: str,
        clock: ClockFn | None = None,
        deadline: float = 2.0,
        mode: Literal["durable", "queued"] = "durable",
        deliver: Literal["background", "inline"] = "background",
        on_lost: OnLost | None = None,
        queue_events: int = 100_000,
        queue_bytes: int = 64 * 1024 * 1024,
        wait: bool = True,
        connect_deadline: float = 5.0,
        heartbeat: float = 10.0,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        verifier_key: Keys | None = None,
        checkpoint_file: str | os.PathLike[str] | None = None,
        tls: TLS | ssl.SSLContext | None = None,
        token: Token | None = None,
    ) -> HubAuditLog:
        """Connects to the server at `url` and returns the log of `hub`; the last seven options are those of `Client`.

        Raises `ConnectionLost` when the server cannot be reached; with `wait` false it returns at once, connects behind the scenes, and
        queues meanwhile.
        """
        client = Client(
            url,
            hub=hub,
            # A name of its own for each instance, so that its numbers begin at 1; it is not used again.
            producer=None,
            queue_events=queue_events,
            queue_bytes=queue_bytes,
            # A server that has ended appending may be repaired and started again; until then the queue decides.
            keep=("LOG_FAILED",),
            connect_deadline=connect_deadline,
            heartbeat=heartbeat,
            max_frame_bytes=max_frame_bytes,
            verifier_key=verifier_key,
            checkpoint_file=checkpoint_file,
            tls=tls,
            token=token,
        )
        log = cls(client, clock=clock, deadline=deadline, mode=mode, deliver=deliver, on_lost=on_lost)
        await client.start(wait=wait)
        return log

    # AuditLog's own surface. The listener methods are AG2's: they make the record and call `append`.

    async def append(self, record: dict[str, Any]) -> None:
        """Appends one record of any kind, serialized as AG2 does it (TypeError for keys of mixed types, as there).

        Cancelled, the record stays queued and is stored.
        """
        if not isinstance(record, dict):
            raise TypeError(f"a record is a dict, not {type(record).__name__}")
        line, event = self._encoded(record)
        entry = _Record(self, event, len(line) + 1, record.get("kind"), None if self._on_lost is None else line)
        try:
            self.client.check()
            self._producer.submit(entry)
        except errors.HubauditError as error:
            self._lose(entry, error)
            raise
        self._bytes_written += entry.size
        if self._watch is None:
            self._look_later(time.monotonic())
        if self.mode == "durable":
            await self._wait(entry)
            if self.deliver == "inline" and entry.next_sequence is not None:
                await self._delivered(entry.next_sequence)

    @property
    def bytes_written(self) -> int:
        """Bytes of the records that `append` has taken, as AG2 counts them in its file; those that were lost afterwards are taken off again."""
        return self._bytes_written

    async def read_all(self) -> list[dict[str, Any]]:
        """Every record of this hub in the order of the log; waits for those that are on their way. Needs memory for all: see `records`.

        A record that Python cannot take is {"kind": …, "unreadable": why}, and an error in the log.
        """
        share = SharedTexts().__getitem__
        records: list[dict[str, Any]] = []
        async for batch in self._batches():
            records += decode_batch(batch, share)
        return records

    async def records(self) -> AsyncIterator[dict[str, Any]]:
        """As `read_all`, one by one in bounded memory. A record whose body was erased is {"kind": …, "erased": True}."""
        async for batch in self._batches():
            for record in decode_batch(batch):
                yield record

    def subscribe(self, callback: AuditSubscriber) -> None:
        """Calls `callback` with every record of this hub that becomes durable from now on. Twice subscribed is called twice.

        What it raises is logged. Raises `Closed` after `close`, `WrongLoop` where no event loop can call it.
        """
        self._delivery.add(callback, self._position())

    def unsubscribe(self, callback: AuditSubscriber) -> None:
        """Removes one subscription of `callback`; does nothing when there is none."""
        self._delivery.remove(callback)

    # What AG2's has not

    @property
    def pending(self) -> int:
        """Records that the server has not acknowledged yet."""
        return self._producer.pending_events

    async def flush(self, timeout: float | None = None) -> None:
        """Returns when every record is on the server's disk. Raises `AppendPending` after `timeout` seconds."""
        await self.client.flush(timeout)

    async def drain(self, timeout: float | None = None) -> None:
        """Returns when the subscribers were called with every record acknowledged so far. Raises `Timeout` after `timeout` seconds.

        Raises `UsageError` within a subscriber: it would wait for itself.
        """
        await self._delivery.drain(self._next_known, timeout)

    async def close(self, timeout: float | None = None) -> None:
        """Waits up to `timeout` seconds (`deadline` where it is None) for the queue, and ends the connection. What is left is lost, loudly."""
        not_negative("timeout", timeout)
        if not self.client.ended:
            try:
                await self.flush(self.deadline if timeout is None else timeout)
            except errors.AppendPending as error:
                logger.error("hub %s: closing with %d records that were not stored: %s", self._hub, self.pending, error)
        if self._watch is not None:
            self._watch.cancel()
        await self._delivery.close()
        await self.client.close()

    async def __aenter__(self) -> HubAuditLog:
        return self

    async def __aexit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        await self.close()

    async def _batches(self) -> AsyncIterator[bytes]:
        if self.pending and not self._outage:
            await self.flush(self.client.deadline)
        async for batch in self.client.read_batches(hubs=self._hub):
            yield batch

    def _encoded(self, record: dict[str, Any]) -> tuple[str, bytes]:
        """The line that AG2 would have written, and the event to send."""
        line = _line(record)
        event = typed_event(record)
        data = (event if event is not None else Event(custom=line.encode())).SerializeToString()
        if len(data) <= _RECORD_OVERHEAD:
            return line, data
        limit = self.client.welcome.limits.record_bytes or _RECORD_BYTES
        if len(data) > limit - _RECORD_OVERHEAD and (shorter := cut_to(record, limit)) is not None:
            logger.warning("hub %s: a text in a record of kind %r is cut: its event of %d bytes is too large", self._hub, record.get("kind"), len(data))
            return self._encoded(shorter)
        return line, data

    async def _wait(self, entry: _Record) -> None:
        patience = self.deadline
        if self._outage:
            patience = 0.0
        elif self.client.disconnected_at is not None:
            patience -= time.monotonic() - self.client.disconnected_at
        # Also without patience the connection gets its turn.
        if not await entry.answered(max(0.0, patience)):
            self._begin_outage()

    async def _delivered(self, position: int) -> None:
        if not await self._delivery.reached(position, self.deadline):
            logger.warning("hub %s: subscribers get nothing from the server within %g s; append goes on without them", self._hub, self.deadline)

    def _begin_outage(self) -> None:
        if self._outage:
            return
        self._outage = True
        self._outage_since = self._said_at = time.monotonic()
        logger.warning(
            "hub %s: not acknowledged within %g s (%s); records are queued until the server is back", self._hub, self.deadline, self._reason()
        )

    def _reason(self) -> object:
        return self._producer.last_error or self.client.last_error or "no answer"

    def _look_later(self, since: float) -> None:
        """Looks after the queue, in which something waits since `since`, for as long as something does."""
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(min(self.deadline, _REPEAT_SECONDS), self._look, since)

    def _look(self, since: float) -> None:
        self._watch = None
        if not self.pending or self.client.ended:
            return
        now = time.monotonic()
        if now - max(since, self._producer.answered_at) >= self.deadline:
            self._begin_outage()
        if self._outage and now - self._said_at >= _REPEAT_SECONDS:
            self._said_at = now
            logger.warning(
                "hub %s: nothing is acknowledged for %d s (%s); %d records of %d bytes are queued, %d are lost",
                self._hub, now - self._outage_since, self._reason(), self.pending, self._producer.pending_bytes, self.lost,
            )  # fmt: skip
        self._look_later(since)

    def _end_outage(self) -> None:
        self._outage = False
        logger.warning("hub %s: the server acknowledges again, %d records are still queued", self._hub, self.pending)

    def _failed(self, entry: _Record, error: errors.HubauditError) -> None:
        """A record that was taken has not been stored, or nobody knows."""
        self._bytes_written -= entry.size
        if entry.unsure and (error.code == "PRODUCER_NUMBER_UNKNOWN" or not isinstance(error, errors.Refused)):
            self.unconfirmed += 1
            self._name(f"a record of kind {entry.kind!r} was sent and never acknowledged", error)
        else:
            self._lose(entry, error)

    def _lose(self, entry: _Record, error: errors.HubauditError) -> None:
        with self._counting:
            self.lost += 1
        self._name(f"a record of kind {entry.kind!r} is lost", error)
        if self._on_lost is not None and entry.line is not None:
            try:
                self._on_lost(json.loads(entry.line), error)
            except Exception:
                logger.exception("hub %s: on_lost raised", self._hub)

    def _name(self, what: str, error: errors.HubauditError) -> None:
        # A log that ends fails its whole queue with one error.
        same, count = self._same_error
        count = count + 1 if same is error else 1
        self._same_error = (error, count)
        if count <= _NAMED:
            logger.error("hub %s: %s: %s", self._hub, what, error)
        elif count == _NAMED + 1:
            logger.error("hub %s: and more for the same reason; `lost` and `unconfirmed` count them", self._hub)

    def _position(self) -> int | None:
        if not self.client.welcome.log_id:
            return None
        return max(self._next_known, self.client.welcome.next_sequence)
