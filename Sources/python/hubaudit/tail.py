"""A tail: replays the log from a position and follows it, without a gap or a repeat."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from . import errors
from ._proto import frames_pb2
from ._views import RecordBatchView, RecordsView, parse
from .backoff import Backoff
from .connection import Connection
from .evidence import leaf_hash
from .history import History
from .record import Record

DEFAULT_WINDOW_BYTES = 1024 * 1024


class _Feed:
    """The frames of one subscription on one connection. Holds at most what the credit allows."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.id = 0
        self.frames: deque[Any] = deque()
        self.lost: errors.HubauditError | None = None
        self._arrival: asyncio.Future[None] | None = None

    def on_reply(self, frame: Any) -> bool:
        self.frames.append(frame)
        self._notify()
        if frame.HasField("subscription"):
            return bool(frame.subscription.state == frames_pb2.SubscriptionState.STATE_ENDED)
        return bool(frame.HasField("error"))

    def on_lost(self, error: errors.HubauditError) -> None:
        self.lost = error
        self._notify()

    async def wait(self) -> None:
        """Returns when there is a frame, or there will be no more."""
        while not self.frames and self.lost is None:
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival

    def _notify(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


class Tail:
    """An endless async iterator of records; made by `Client.tail`, iterated by one task.

    After a lost connection it subscribes again from where it was. The server pushes as much as the window allows and waits, so a slow
    consumer lags and loses nothing. Raises `LogChanged` when the server comes back with another log, `HistoryDiffers` when it comes back
    with an older copy or one that went on differently, and `ProtocolError` when it leaves a record out or repeats one.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        start: frames_pb2.Start,
        filter: frames_pb2.Filter | None,
        window: int,
        on_caught_up: Callable[[int], object] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.position: int | None = None
        """The sequence to go on with; None before the first frame. To resume later, take `history`, which also knows the log."""
        self.caught_up: bool = False
        """Whether everything that was in the log when the server last said so has been given out."""
        self.erased_skipped: int = 0
        """Erased records that were passed over, as of the last word of the server on it: nobody can tell any more whether they matched."""
        self._erased_before = 0
        self._connect = connect
        self._start = start
        self._filter = filter
        self._window = window
        self._on_caught_up = on_caught_up
        # Raises where this is not the event loop of the client.
        self._check = check
        self._log_id: bytes | None = None
        self._feed: _Feed | None = None
        self._records: list[bytes] = []
        self._payload_bytes = 0
        self._consumed_bytes = 0
        self._resume_at: tuple[int, bytes | None] | None = None
        # Of the record before `position`: its header, or its leaf hash.
        self._header: bytes | None = None
        self._leaf_hash: bytes | None = None
        self._backoff = Backoff()
        self._closed = False

    @property
    def history(self) -> History | None:
        """Where to resume later, also in another process: `client.tail(from_=tail.history)`. None before the first frame."""
        if self.position is None or self._log_id is None:
            return None
        known = self._leaf_hash if self._header is None else leaf_hash(self._header)
        return History(self._log_id, self.position, known)

    def __aiter__(self) -> Tail:
        return self

    async def __anext__(self) -> Record:
        while True:
            if self._closed:
                raise StopAsyncIteration
            if self._records:
                return self._next_record()
            self._check()
            feed = self._feed
            if feed is None:
                feed = await self._subscribe()
            self._batch_done(feed)
            await feed.wait()
            if not feed.frames:
                # What had come before the loss has been given out.
                self._feed = None
                self.caught_up = False
                continue
            frame = feed.frames.popleft()
            if frame.HasField("records"):
                self._on_records(frame.records)
            elif frame.HasField("subscription"):
                await self._on_state(frame.subscription)
            elif frame.HasField("error"):
                await self._on_end(errors.from_wire(frame.error))
            else:
                raise errors.ProtocolError("the server answered a subscription with something else")

    async def aclose(self) -> None:
        """Ends the subscription; the iteration stops."""
        self._closed = True
        self._unsubscribe()

    async def __aenter__(self) -> Tail:
        return self

    async def __aexit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # A loop that was left by `break` has nobody who closes the tail.
        feed = self._feed
        if feed is not None and feed.lost is None:
            loop = feed.connection.ended.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(feed.connection.unsubscribe, feed.id)

    def _next_record(self) -> Record:
        record = Record(self._records.pop())
        sequence, position = record.sequence, self.position
        if position is not None and (sequence < position or (self._filter is None and sequence != position)):
            raise errors.ProtocolError(f"the server pushed record {sequence} where {position} was due")
        self.position = sequence + 1
        self._header, self._leaf_hash = record.header_bytes, None
        return record

    def _advance(self, position: int, known: bytes | None) -> None:
        """Goes on to a position that the server told. What is known of the one before stays where it is the same."""
        if self.position is None or position > self.position or (position == self.position and known is not None):
            self.position, self._header, self._leaf_hash = position, None, known

    def _batch_done(self, feed: _Feed) -> None:
        """The records of a push are given out: its bytes may be pushed again."""
        if self._resume_at is not None:
            self._advance(*self._resume_at)
            self._resume_at = None
        self._consumed_bytes += self._payload_bytes
        self._payload_bytes = 0
        # Not for every small push, but before the server runs out.
        if self._consumed_bytes * 4 >= self._window:
            feed.connection.send_credit(feed.id, self._consumed_bytes)
            self._consumed_bytes = 0

    def _on_records(self, payload: bytes) -> None:
        records = parse(RecordsView, payload)
        self._payload_bytes = len(records.batch)
        self._records = list(reversed(parse(RecordBatchView, records.batch).records))
        if records.HasField("next_sequence"):
            self._resume_at = (records.next_sequence, records.leaf_hash or None)
        self._backoff.reset()

    async def _on_state(self, state: frames_pb2.SubscriptionState) -> None:
        if state.HasField("next_sequence"):
            self._advance(state.next_sequence, state.leaf_hash or None)
        self.erased_skipped = self._erased_before + state.erased_skipped
        if state.state == frames_pb2.SubscriptionState.STATE_CAUGHT_UP:
            self.caught_up = True
            self._backoff.reset()
            if self._on_caught_up is not None:
                self._on_caught_up(self.position or 0)
        elif state.state == frames_pb2.SubscriptionState.STATE_ENDED:
            error = errors.from_wire(state.error) if state.HasField("error") else None
            await self._on_end(error or errors.ConnectionLost("the server ended the subscription", retry=True))

    async def _on_end(self, error: errors.HubauditError) -> None:
        self._feed = None
        self.caught_up = False
        # A consumer that rested longer than the server waits for credit goes on where it was.
        if not error.retry and error.code != "TIMEOUT":
            raise error
        await asyncio.sleep(self._backoff.next())

    async def _subscribe(self) -> _Feed:
        connection = await self._connect()
        log_id = connection.welcome.log_id
        if self._log_id is not None and self._log_id != log_id:
            raise errors.LogChanged(
                f"{connection.address} now serves the log {log_id.hex()}; position {self.position} is one of {self._log_id.hex()}"
            )
        self._log_id = log_id
        history = self.history
        if history is not None:
            self._start = history.to_start()
        window = min(self._window, connection.welcome.limits.credit_bytes or self._window)
        request = frames_pb2.Subscribe(start=self._start, credit=window)
        if self._filter is not None:
            request.filter.CopyFrom(self._filter)
        self._erased_before = self.erased_skipped
        feed = _Feed(connection)
        feed.id = connection.send(feed, subscribe=request)
        self._window = window
        self._payload_bytes = self._consumed_bytes = 0
        self._feed = feed
        return feed

    def _unsubscribe(self) -> None:
        feed, self._feed = self._feed, None
        self._records = []
        if feed is not None and feed.lost is None:
            feed.connection.unsubscribe(feed.id)
