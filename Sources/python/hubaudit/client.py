"""The client: one connection that is made anew when it is lost, over which events are appended and the log is followed."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Union

from . import errors, events
from ._entry import AwaitedEntry
from ._memory import CheckpointMemory
from ._proto import event_pb2, frames_pb2
from ._proving import Proving
from ._reading import ReadRequest
from ._tasks import cancelled
from .address import Address
from .appended import Appended
from .backoff import Backoff
from .checkpoint import Checkpoint, Keys
from .connection import MAX_FRAME_BYTES, Connection
from .producer import Producer
from .receipt import Receipt
from .record import Record
from .selection import Names, Position, Time, make_filter, make_start
from .tail import DEFAULT_WINDOW_BYTES, Tail

logger = logging.getLogger("hubaudit")

CLIENT_NAME = "hubaudit-python/0.1.0"
Appendable = Union[event_pb2.Event, Mapping[str, Any]]

# Below the server's limits, an append of many events is sent in parts of this size.
_PART_EVENTS = 1000
_PART_BYTES = 256 * 1024
# The server proves no more in one answer.
_PROVEN_EVENTS = 256


async def connect(url: str | None = None, **options: Any) -> Client:
    """Connects to a server and returns the client; takes the options of `Client`.

    `url` is "host:port", "hubaudit://host:port" or "unix:/path"; without it the environment's HUBAUDIT_SERVER, or 127.0.0.1:7411.
    Raises `ConnectionLost`, `Timeout`, or what the server refused the hello with; with a `verifier_key` also `TamperedLogError`.
    """
    client = Client(url, **options)
    await client.start()
    return client


class Client:
    """Appends to, reads and follows a log. Used from one event loop.

    - `hub`: name that goes into every record appended here (at most 256 bytes). Needed for appending only.
    - `producer`: name under which events are numbered, unique within the hub (at most 64 bytes); a new random one where it is None.
    - `deadline`: seconds that a request may take, also over reconnects.
    - `connect_deadline`: seconds for one attempt to connect and shake hands.
    - `heartbeat`: a server that has been silent for twice as many seconds counts as lost.
    - `queue_events`, `queue_bytes`: bounds of the queue of events that are not acknowledged yet.
    - `keep`: codes of lasting errors ("LOG_FAILED") after which an event stays queued all the same.
    - `verifier_key`: the log's public key as `hubaudit keygen` prints it, or several while it changes. The client then verifies every
      checkpoint that the server signs, and that the log only grows from one to the next, on every connection before it is used. When
      that does not hold, the client ends: whatever is called raises `TamperedLogError`, which is also logged as critical. Needs the extra
      `hubaudit[verify]`.
    - `checkpoint_file`: keeps the newest verified checkpoint there, so that the next process goes on from it. One client at a time. A
      checkpoint that does not fit is put beside it, with ".tampered" behind the name.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        hub: str | None = None,
        producer: str | None = None,
        deadline: float = 10.0,
        connect_deadline: float = 5.0,
        heartbeat: float = 10.0,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        queue_events: int = 10_000,
        queue_bytes: int = 16 * 1024 * 1024,
        keep: Collection[str] = (),
        verifier_key: Keys | None = None,
        checkpoint_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """Raises ValueError for options that make no sense; ImportError when a key is given and the cryptography package is missing.

        Raises `EvidenceError` when the checkpoint file holds no checkpoint that the key has signed.
        """
        if verifier_key is None and checkpoint_file is not None:
            raise ValueError("a checkpoint file is of no use without the log's key: pass verifier_key")
        self.address = Address.parse(url or os.environ.get("HUBAUDIT_SERVER") or "127.0.0.1:7411")
        self.hub = hub
        self.deadline = deadline
        self.disconnected_at: float | None = time.monotonic()
        """Since when there is no connection (`time.monotonic`); None while there is one."""
        self.last_error: errors.HubauditError | None = None
        """Why there is no connection; None while there is one."""
        self._connect_deadline = connect_deadline
        self._heartbeat = heartbeat
        self._max_frame_bytes = max_frame_bytes
        self._producer: Producer | None = None
        if hub is not None:
            name = producer or f"py-{secrets.token_hex(8)}"
            self._producer = Producer(
                name, fresh=producer is None, max_events=queue_events, max_bytes=queue_bytes, keep=keep
            )
        self._connection: Connection | None = None
        self._welcome = frames_pb2.Welcome()
        self._supervisor: asyncio.Task[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._ended: errors.HubauditError | None = None
        memory = CheckpointMemory(verifier_key, checkpoint_file) if verifier_key is not None else None
        self._verifies = memory is not None
        self._proving = Proving(
            memory,
            deadline=deadline,
            ask=self._ask,
            read=lambda sequence, count: self.read(sequence, limit=count),
            fail=self._fail,
        )

    # Life cycle

    async def start(self, *, wait: bool = True) -> None:
        """Connects and keeps the connection from then on. With `wait` false it returns at once and connects behind the scenes."""
        if wait:
            self._attach(await self._open())
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise(), name="hubaudit connection")

    async def close(self) -> None:
        """Ends the connection. Events that are not acknowledged fail with `Closed`; call `flush` before to wait for them."""
        if isinstance(self._ended, errors.Closed):
            return
        self._ended = error = errors.Closed(f"the client of {self.address} was closed")
        if self._supervisor is not None:
            await cancelled(self._supervisor)
        await self._proving.close()
        if self._producer is not None:
            self._producer.close(error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._wake()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if error is None and self._producer is not None and self._producer.pending_events and self._ended is None:
            await self.flush(self.deadline)
        found = self._ended
        await self.close()
        # Found behind the scenes: nobody may leave without having heard of it.
        if error is None and isinstance(found, errors.TamperedLogError):
            raise found

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.error is None

    @property
    def welcome(self) -> frames_pb2.Welcome:
        """The newest `hubaudit.v1.Welcome`: version, log id, limits, the sequences as of then. Empty before the first connection."""
        return self._welcome

    @property
    def producer(self) -> Producer | None:
        """The numbered queue behind `append`; None without a hub."""
        return self._producer

    # Appending

    async def append(
        self, item: Appendable | Iterable[Appendable], *, deadline: float | None = None, proven: bool = False
    ) -> Appended:
        """Appends events (`hubaudit.events`) or custom records (dicts), one or many; returns when every record is on disk.

        Lost connections and an overloaded server are waited out, and each event is stored once. A large number is sent in several
        parts. Raises `AppendPending` after `deadline` seconds (the events stay queued), a `Refused` when the server will not have an
        event (of its part nothing is stored), and `LogFailed` when the server has ended appending.

        With `proven` it returns when a checkpoint that the log has signed covers the records, with a `Receipt` for each in
        `Appended.receipts`, verified as far as the client can: the signature too with a `verifier_key`. Raises `InvalidRequest` when
        the server signs no checkpoints (nothing is stored), and `EvidenceError` when a proof does not hold.
        """
        if self._producer is None:
            raise errors.InvalidRequest("appending needs the name of the hub: connect(url, hub=...)")
        if isinstance(item, (event_pb2.Event, Mapping)):
            encoded = [_encode(item)]
        else:
            encoded = [_encode(event) for event in item]
        until = time.monotonic() + (self.deadline if deadline is None else deadline)
        futures = []
        try:
            for part in self._parts(encoded, _PROVEN_EVENTS if proven else _PART_EVENTS):
                entry = AwaitedEntry(part, proven=proven)
                if not self._producer.enqueue_now(entry):
                    await asyncio.wait_for(self._producer.enqueue(entry), max(0.0, until - time.monotonic()))
                futures.append(entry.future)
            if futures:
                await asyncio.wait(futures, timeout=max(0.0, until - time.monotonic()))
        except asyncio.TimeoutError:
            reason = self._producer.last_error or self.last_error
            text = f"no room in the queue for {len(encoded)} events within the deadline{f' ({reason})' if reason else ''}"
            raise errors.QueueFull(text, retry=True) from reason
        if all(future.done() for future in futures):
            appended = Appended.joined([future.result() for future in futures]) if futures else Appended(())
            return await self._proving.with_receipts(appended) if proven else appended
        reason = self._producer.last_error or self.last_error
        text = f"the server has not acknowledged {len(encoded)} events within the deadline{f' ({reason})' if reason else ''}"
        raise errors.AppendPending(f"{text}; they stay queued and will be stored once", retry=False) from reason

    async def flush(self, timeout: float | None = None) -> None:
        """Returns when every event is acknowledged. Raises `AppendPending` after `timeout` seconds."""
        if self._producer is None:
            return
        try:
            await asyncio.wait_for(self._producer.wait_until_idle(), timeout)
        except asyncio.TimeoutError:
            pending = self._producer.pending_events
            raise errors.AppendPending(f"{pending} events were not acknowledged within {timeout:g} s; they stay queued") from None

    def _parts(self, encoded: list[bytes], events: int) -> Iterable[list[bytes]]:
        limit = min(events, self._welcome.limits.append_events or events)
        part: list[bytes] = []
        size = 0
        for event in encoded:
            if part and (len(part) >= limit or size + len(event) > _PART_BYTES):
                yield part
                part, size = [], 0
            part.append(event)
            size += len(event)
        if part:
            yield part

    # Reading

    def read(
        self,
        start: Position = "earliest",
        *,
        after: int | None = None,
        limit: int | None = None,
        backwards: bool = False,
        kinds: Names = None,
        hubs: Names = None,
        agents: Names = None,
        channels: Names = None,
        tasks: Names = None,
        since: Time = None,
        until: Time = None,
    ) -> AsyncIterator[Record]:
        """The records from `start` (or behind the sequence `after`) to the end that the log has now, at most `limit`.

        Backwards it begins with the record before `start`; "latest" gives the newest record first, and is the default then. A lost
        connection is made anew and the read goes on where it was. Memory is bounded by the size of a frame.
        """
        if backwards and start == "earliest":
            start = "latest"
        origin = make_start(start) if after is None else frames_pb2.Start(after=after)
        selection = make_filter(kinds=kinds, hubs=hubs, agents=agents, channels=channels, tasks=tasks, since=since, until=until)
        return ReadRequest(origin, selection, limit, backwards).records(self._open_for_reading, self.deadline)

    def read_batches(self, **arguments: Any) -> AsyncIterator[bytes]:
        """As `read` (forwards), but in serialized `RecordBatch`es as they came."""
        start: Position = arguments.pop("start", "earliest")
        return ReadRequest(make_start(start), make_filter(**arguments), None, False).batches(self._open_for_reading, self.deadline)

    def tail(
        self,
        *,
        after: int | None = None,
        from_: Position = "earliest",
        window: int = DEFAULT_WINDOW_BYTES,
        on_caught_up: Callable[[int], object] | None = None,
        kinds: Names = None,
        hubs: Names = None,
        agents: Names = None,
        channels: Names = None,
        tasks: Names = None,
        since: Time = None,
        until: Time = None,
    ) -> Tail:
        """Replays from `from_` (or behind the sequence `after`) and then follows the log without end.

        Each record comes once and in order, also over reconnects. `window` bounds the bytes that wait here. `on_caught_up` is called
        with the next sequence when everything that was in the log has been given out. See `Tail`.
        """
        origin = make_start(from_) if after is None else frames_pb2.Start(after=after)
        selection = make_filter(kinds=kinds, hubs=hubs, agents=agents, channels=channels, tasks=tasks, since=since, until=until)
        return Tail(self.wait_connected, origin, selection, window, on_caught_up)

    # Evidence

    async def checkpoint(self, size: int | None = None) -> Checkpoint:
        """The newest signed checkpoint; with `size`, one that covers at least so many records, signed now if need be.

        Raises `InvalidRequest` when the log is shorter, or signs no checkpoints; with a `verifier_key`, `TamperedLogError`.
        """
        return await self._proving.checkpoint(size)

    async def prove(self, sequence: int) -> Receipt:
        """The receipt of the record at `sequence`: that it is in the log that a checkpoint was signed for.

        What `Receipt.verify_inclusion` verifies has been; with a `verifier_key`, the signature too. Raises `InvalidRequest` when there
        is no such record, or the log signs no checkpoints, `EvidenceError` when the proof does not hold, `TamperedLogError`.
        """
        return await self._proving.prove(sequence)

    async def prove_consistency(self, old_size: int, size: int) -> tuple[bytes, ...]:
        """The hashes that prove that the tree of `size` records begins with that of `old_size`, for `evidence.verify_consistency`."""
        return await self._proving.prove_consistency(old_size, size)

    @property
    def verified_checkpoint(self) -> Checkpoint | None:
        """The largest checkpoint that was verified. None without a `verifier_key`."""
        return self._proving.newest

    # Questions

    async def health(self) -> frames_pb2.Health:
        """The server's `hubaudit.v1.Health`: status, reasons, sizes, sequences."""
        frame = await self._ask(lambda connection: connection.request(health=frames_pb2.HealthRequest()))
        health: frames_pb2.Health = frame.health
        return health

    async def schema(self) -> frames_pb2.Schema:
        """The FileDescriptorSet that the server was built with, and its SHA-256."""
        frame = await self._ask(lambda connection: connection.request(schema=frames_pb2.SchemaRequest()))
        schema: frames_pb2.Schema = frame.schema
        return schema

    async def ping(self, payload: bytes = b"") -> float:
        """Seconds for a round trip."""
        begin = time.monotonic()
        frame = await self._ask(lambda connection: connection.request(ping=frames_pb2.Ping(payload=payload)))
        if frame.pong.payload != payload:
            raise errors.ProtocolError("the server answered a ping with another payload")
        return time.monotonic() - begin

    async def _ask(self, question: Callable[[Connection], Awaitable[Any]]) -> Any:
        async def attempts() -> Any:
            while True:
                connection = await self.wait_connected()
                try:
                    return await question(connection)
                except errors.ConnectionLost:
                    continue

        try:
            return await asyncio.wait_for(attempts(), self.deadline)
        except asyncio.TimeoutError:
            reason = f" ({self.last_error})" if self.last_error else ""
            raise errors.Timeout(f"{self.address} did not answer within {self.deadline:g} s{reason}", retry=True) from self.last_error

    # The connection

    async def wait_connected(self) -> Connection:
        """The connection, as soon as there is one. Raises `Closed`."""
        while True:
            if self._ended is not None:
                raise self._ended
            if self._connection is not None and self._connection.error is None:
                return self._connection
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def _open(self) -> Connection:
        hello = frames_pb2.Hello(version=1, client=CLIENT_NAME)
        if self.hub is not None:
            hello.hub = self.hub
        if self._producer is not None:
            hello.producer = self._producer.name
            if self._producer.next_to_answer is not None:
                hello.producer_next = self._producer.next_to_answer
        if self._verifies:
            hello.checkpoints = True
        return await self._shake_hands(hello)

    async def _open_for_reading(self) -> Connection:
        if self._ended is not None:
            raise self._ended
        try:
            return await self._shake_hands(frames_pb2.Hello(version=1, client=CLIENT_NAME))
        except errors.TamperedLogError as error:
            self._fail(error)
            raise

    async def _shake_hands(self, hello: frames_pb2.Hello) -> Connection:
        connection = await Connection.open(
            self.address, hello, deadline=self._connect_deadline, heartbeat=self._heartbeat, max_frame_bytes=self._max_frame_bytes
        )
        await self._proving.check(connection)
        return connection

    def _attach(self, connection: Connection) -> None:
        if self._welcome.log_id and self._welcome.log_id != connection.welcome.log_id:
            logger.error(
                "%s serves the log %s, before it was %s", self.address, connection.welcome.log_id.hex(), self._welcome.log_id.hex()
            )
        self._connection = connection
        self._welcome = connection.welcome
        self.disconnected_at = None
        self.last_error = None
        self._proving.watch(connection)
        if self._producer is not None:
            self._producer.attach(connection)
        self._wake()

    def _fail(self, error: errors.TamperedLogError) -> None:
        """Ends the client, loudly: what it is connected to is not the log that it knows."""
        if self._ended is not None:
            return
        notes = [f"\n{name}:\n{one.note.decode()}" for name, one in (("remembered", error.remembered), ("shown", error.shown)) if one]
        logger.critical("%s%s", error, "".join(notes))
        self._ended = self.last_error = error
        if self._producer is not None:
            self._producer.close(error)
        if self._connection is not None:
            self._connection.close(error)
        self._wake()

    async def _supervise(self) -> None:
        backoff = Backoff()
        while self._ended is None:
            if self._connection is not None:
                await asyncio.shield(self._connection.ended)
                if self._ended is not None:
                    return
                self.last_error = self._connection.error
                self.disconnected_at = time.monotonic()
                self._connection = None
                if self._producer is not None:
                    self._producer.detach()
                logger.warning("%s; connecting again", self.last_error)
                await asyncio.sleep(backoff.next())
            try:
                connection = await self._open()
            except errors.TamperedLogError as error:
                self._fail(error)
                return
            except errors.HubauditError as error:
                if type(error) is not type(self.last_error):
                    logger.warning("%s; trying on", error)
                self.last_error = error
                await asyncio.sleep(backoff.next())
                continue
            except Exception as error:
                logger.exception("connecting to %s failed", self.address)
                self.last_error = errors.ConnectionLost(f"connecting to {self.address} failed: {error}", retry=True)
                await asyncio.sleep(backoff.next())
                continue
            logger.info("connected to %s", self.address)
            backoff.reset()
            self._attach(connection)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _encode(item: Appendable) -> bytes:
    event = item if isinstance(item, event_pb2.Event) else events.custom(item)
    return event.SerializeToString()
