"""The drop-in AuditLog for AG2: `hub.replace_audit_log(await HubAuditLog.connect(url, hub="lab"))`. Needs the extra `hubaudit[ag2]`."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Literal

from ag2.network.hub.audit import AuditLog, AuditSubscriber, ClockFn

from . import errors
from ._ag2_delivery import Delivery
from ._ag2_events import typed_event
from ._decode import SharedTexts, decode_batch
from ._entry import Entry
from ._proto.event_pb2 import Event
from .appended import Appended
from .client import Client
from .producer import Producer

logger = logging.getLogger("hubaudit.ag2")

__all__ = ("HubAuditLog",)


# As AG2 writes a record; made once, which is quicker than `json.dumps`.
_line = json.JSONEncoder(default=str, sort_keys=True).encode


class _Record(Entry):
    """A record on its way, and the append that waits for it, if any does."""

    __slots__ = ("_log", "_waiter", "kind", "size")

    def __init__(self, log: HubAuditLog, event: Event, size: int, kind: object) -> None:
        super().__init__((event.SerializeToString(),))
        self.size = size
        """Bytes that AG2 would have written."""
        self.kind = kind
        self._log = log
        self._waiter: asyncio.Future[bool] | None = None

    async def answered(self, patience: float) -> bool:
        """Returns whether the server has answered within `patience` seconds. Raises what the record was refused with."""
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(patience, _set, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()

    def stored(self, appended: Appended, first: int) -> None:
        self._log._stored(self, appended.sequences[first])
        if self._waiter is not None:
            _set(self._waiter, True)

    def failed(self, error: errors.HubauditError) -> None:
        self._log._lose(self.kind, error)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _set(waiter: asyncio.Future[bool], value: bool) -> None:
    if not waiter.done():
        waiter.set_result(value)


class HubAuditLog(AuditLog):
    """AG2's AuditLog, kept by a hubaudit server.

    The records are AG2's own, made by AG2's own code with this log's clock; `read_all` gives back what AG2 would have read from its
    file. They are sent as typed events, so that the server can filter them, and as AG2's JSON line where a value fits no event.

    AG2 awaits its listeners on the dispatch path and swallows their exceptions, hence:

    - In mode "durable" `append` returns when the record is on the server's disk, and after `deadline` seconds at the latest. What is
      not acknowledged by then stays queued, is sent when the server is back, and is stored once. While an outage lasts, further calls
      return as soon as their record is queued. In mode "queued" every call does.
    - The queue is bounded by `queue_events` and `queue_bytes`. When it is full the record is dropped loudly: `append` raises `QueueFull`,
      the error is logged, and `lost` counts it. So is a record that the server refuses.

    Subscribers are called with every record of this hub that becomes durable after `subscribe`, in the order of the log, whichever
    process appended it. They are fed by a subscription to the server that resumes after a lost connection, so a slow one delays the
    next call of a callback, never an append; `append` does not wait for them, `drain` does.
    """

    def __init__(
        self, client: Client, *, clock: ClockFn | None = None, deadline: float = 2.0, mode: Literal["durable", "queued"] = "durable"
    ) -> None:
        """Over a client that was made with a hub's name. `clock` as in AG2: it gives `at` where an event has no time of its own."""
        if client.hub is None or client.producer is None:
            raise ValueError("the client has no hub: make it with Client(url, hub=...)")
        if mode not in ("durable", "queued"):
            raise ValueError(f"mode {mode!r} is neither 'durable' nor 'queued'")
        # The server keeps the records: there is no store.
        super().__init__(None, clock=clock)  # type: ignore[arg-type]
        self.client = client
        self.deadline = deadline
        self.mode = mode
        self.lost = 0
        """Records that were dropped: the queue was full, the server refused them, or the log was closed before they were stored."""
        self._hub: str = client.hub
        self._producer: Producer = client.producer
        self._outage = False
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
        queue_events: int = 100_000,
        queue_bytes: int = 64 * 1024 * 1024,
        wait: bool = True,
        **options: Any,
    ) -> HubAuditLog:
        """Connects to the server at `url` and returns the log of `hub`; further options are those of `Client`.

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
            **options,
        )
        await client.start(wait=wait)
        return cls(client, clock=clock, deadline=deadline, mode=mode)

    # AuditLog's own surface. The listener methods are AG2's: they make the record and call `append`.

    async def append(self, record: dict[str, Any]) -> None:
        """Appends one record of any kind, serialized as AG2 does it (TypeError for keys of mixed types, as there)."""
        line = _line(record)
        event = typed_event(record)
        entry = _Record(self, event if event is not None else Event(custom=line.encode()), len(line) + 1, record.get("kind"))
        try:
            self._producer.submit(entry)
        except errors.HubauditError as error:
            self._lose(entry.kind, error)
            raise
        if self.mode == "durable":
            await self._wait(entry)

    async def read_all(self) -> list[dict[str, Any]]:
        """Every record of this hub in the order of the log; waits for those that are on their way. Needs memory for all: see `records`."""
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
        """Calls `callback` with every record of this hub that becomes durable from now on. Twice subscribed is called twice."""
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
        """Returns when the subscribers were called with every record acknowledged so far. Raises `Timeout` after `timeout` seconds."""
        await self._delivery.drain(self._next_known, timeout)

    async def close(self, timeout: float | None = None) -> None:
        """Waits up to `timeout` seconds (`deadline` where it is None) for the queue, and ends the connection. What is left is lost, loudly."""
        try:
            await self.flush(self.deadline if timeout is None else timeout)
        except errors.AppendPending as error:
            logger.error("hub %s: closing with %d records that were not stored: %s", self._hub, self.pending, error)
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

    async def _wait(self, entry: _Record) -> None:
        patience = self.deadline
        if self._outage:
            patience = 0.0
        elif self.client.disconnected_at is not None:
            patience -= time.monotonic() - self.client.disconnected_at
        # Also without patience the connection gets its turn.
        if not await entry.answered(max(0.0, patience)) and not self._outage:
            self._outage = True
            reason = self._producer.last_error or self.client.last_error or "no answer"
            logger.warning(
                "hub %s: not acknowledged within %g s (%s); records are queued until the server is back", self._hub, self.deadline, reason
            )

    def _stored(self, entry: _Record, sequence: int | None) -> None:
        self._bytes_written += entry.size
        if sequence is not None and sequence >= self._next_known:
            self._next_known = sequence + 1
        if self._outage:
            self._outage = False
            logger.warning("hub %s: the server acknowledges again, %d records are still queued", self._hub, self.pending)

    def _lose(self, kind: object, error: BaseException) -> None:
        self.lost += 1
        logger.error("hub %s: a record of kind %r is lost: %s", self._hub, kind, error)

    def _position(self) -> int | None:
        if not self.client.welcome.log_id:
            return None
        return max(self._next_known, self.client.welcome.next_sequence)
