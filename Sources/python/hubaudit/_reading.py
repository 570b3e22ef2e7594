"""A read, over a connection of its own: a consumer that takes its time lets bytes wait in the socket and holds up nobody else."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from . import errors
from ._proto import frames_pb2
from ._views import RecordBatchView, RecordsView, parse
from .backoff import Backoff
from .connection import Connection
from .evidence import leaf_hash
from .history import History
from .record import Record

# Frames that wait for the consumer before the connection is told to wait.
_MAX_WAITING_FRAMES = 4


class _Replies:
    """The frames of a read, in order, with the connection paused while enough of them wait."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._frames: deque[Any] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._lost: errors.HubauditError | None = None

    def on_reply(self, frame: Any) -> bool:
        self._frames.append(frame)
        if len(self._frames) >= _MAX_WAITING_FRAMES:
            self._connection.pause_reading()
        self._notify()
        return not frame.HasField("records")

    def on_lost(self, error: errors.HubauditError) -> None:
        self._lost = error
        self._notify()

    async def next(self) -> Any:
        """The next frame. Raises what ended the connection when all frames that came before are taken."""
        while not self._frames:
            if self._lost is not None:
                raise self._lost
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        frame = self._frames.popleft()
        if len(self._frames) < _MAX_WAITING_FRAMES // 2:
            self._connection.resume_reading()
        return frame

    def _notify(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)


@dataclass(slots=True)
class ReadRequest:
    """What a read still has to give: after a lost connection it is sent again from where it was."""

    start: frames_pb2.Start
    filter: frames_pb2.Filter | None
    limit: int | None
    backwards: bool
    last: int | None = None
    """The sequence of the last record that was given out, where there is no better place to go on."""
    log_id: bytes | None = None
    known: tuple[int, bytes] | None = None
    """A position, and the header of the record before it: what the server compares when the read goes on over another connection."""
    told: tuple[int, bytes] | None = None
    """A position behind that, and the leaf hash of the record before it, as the server told."""
    on_erased_skipped: Callable[[int], object] | None = None
    """Told at the end how many erased records were passed over, if any."""
    batch: bytes = b""
    """The last batch, where nobody has looked at its records."""

    async def records(self, open: Callable[[], Awaitable[Connection]], deadline: float) -> AsyncIterator[Record]:
        """The records one by one."""
        batches = self._payloads(open, deadline)
        try:
            async for frame in batches:
                for raw in parse(RecordBatchView, frame.batch).records:
                    record = Record(raw)
                    # Before the record is given out, so that a read that goes on does not repeat it.
                    self.last = record.sequence
                    if not self.backwards or self.known is None:
                        self.known = (record.sequence + 1, record.header_bytes)
                    if self.limit is not None:
                        self.limit -= 1
                    yield record
                self._advance(frame)
        finally:
            await batches.aclose()

    async def batches(self, open: Callable[[], Awaitable[Connection]], deadline: float) -> AsyncIterator[bytes]:
        """The records in serialized `RecordBatch`es. Only without a limit."""
        batches = self._payloads(open, deadline)
        try:
            async for frame in batches:
                self.batch = frame.batch
                self._advance(frame)
                yield frame.batch
        finally:
            await batches.aclose()

    def _advance(self, frame: Any) -> None:
        if frame.HasField("next_sequence"):
            self.start = frames_pb2.Start(sequence=frame.next_sequence)
            self.last = None
            if frame.leaf_hash:
                self.told = (frame.next_sequence, frame.leaf_hash)

    async def _payloads(self, open: Callable[[], Awaitable[Connection]], deadline: float) -> Any:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        progress_at = loop.time()
        while self.limit is None or self.limit > 0:
            connection: Connection | None = None
            try:
                connection = await open()
                request = self._request()
                self.log_id = self.log_id or connection.welcome.log_id
                replies = _Replies(connection)
                connection.send(replies, read=request)
                while True:
                    frame = await replies.next()
                    if frame.HasField("read_end"):
                        if self.on_erased_skipped is not None and frame.read_end.erased_skipped:
                            self.on_erased_skipped(frame.read_end.erased_skipped)
                        return
                    if frame.HasField("error"):
                        raise errors.from_wire(frame.error)
                    if not frame.HasField("records"):
                        raise errors.ProtocolError("the server answered a read with something else")
                    yield parse(RecordsView, frame.records)
                    backoff.reset()
                    progress_at = loop.time()
            except errors.HubauditError as error:
                if not error.retry or loop.time() - progress_at > deadline:
                    raise
                await asyncio.sleep(backoff.next())
            finally:
                if connection is not None:
                    connection.close()

    def _history(self) -> History | None:
        """What is known of the log; None before the first connection, whose request brings its own."""
        if self.log_id is None:
            return None
        if self.batch:
            last = Record(parse(RecordBatchView, self.batch).records[-1])
            self.known, self.batch = (last.sequence + 1, last.header_bytes), b""
        if self.known is None and self.told is None and self.start.HasField("history"):
            return None
        size, header = self.known or (0, b"")
        if self.told is not None and self.told[0] > size:
            return History(self.log_id, *self.told)
        return History(self.log_id, size, leaf_hash(header) if size else None)

    def _request(self) -> frames_pb2.Read:
        if self.last is not None:
            self.start = frames_pb2.Start(sequence=self.last) if self.backwards else frames_pb2.Start(after=self.last)
        request = frames_pb2.Read(start=self.start)
        history = self._history()
        if history is not None:
            request.start.history.CopyFrom(history.to_wire())
        if self.filter is not None:
            request.filter.CopyFrom(self.filter)
        if self.limit is not None:
            request.limit = self.limit
        if self.backwards:
            request.backwards = True
        return request
