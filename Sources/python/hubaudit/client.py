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
from ._proto import event_pb2, frames_pb2
from ._reading import ReadRequest
from ._tasks import cancelled
from .address import Address
from .appended import Appended
from .backoff import Backoff
from .connection import MAX_FRAME_BYTES, Connection
from .producer import Producer
from .record import Record
from .selection import Names, Position, Time, make_filter, make_start
from .tail import DEFAULT_WINDOW_BYTES, Tail

logger = logging.getLogger("hubaudit")

CLIENT_NAME = "hubaudit-python/0.1.0"
Appendable = Union[event_pb2.Event, Mapping[str, Any]]

# Below the server's limits, an append of many events is sent in parts of this size.
_PART_EVENTS = 1000
_PART_BYTES = 256 * 1024


async def connect(url: str | None = None, **options: Any) -> Client:
    """Connects to a server and returns the client; takes the options of `Client`.

    `url` is "host:port", "hubaudit://host:port" or "unix:/path"; without it the environment's HUBAUDIT_SERVER, or 127.0.0.1:7411.
    Raises `ConnectionLost`, `Timeout`, or what the server refused the hello with.
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
    ) -> None:
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
        self._closed = False

    # Life cycle

    async def start(self, *, wait: bool = True) -> None:
        """Connects and keeps the connection from then on. With `wait` false it returns at once and connects behind the scenes."""
        if wait:
            self._attach(await self._open())
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise(), name="hubaudit connection")

    async def close(self) -> None:
        """Ends the connection. Events that are not acknowledged fail with `Closed`; call `flush` before to wait for them."""
        if self._closed:
            return
        self._closed = True
        error = errors.Closed(f"the client of {self.address} was closed")
        if self._supervisor is not None:
            await cancelled(self._supervisor)
        if self._producer is not None:
            self._producer.close(error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._wake()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if error is None and self._producer is not None and self._producer.pending_events and not self._closed:
            await self.flush(self.deadline)
        await self.close()

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

    async def append(self, item: Appendable | Iterable[Appendable], *, deadline: float | None = None) -> Appended:
        """Appends events (`hubaudit.events`) or custom records (dicts), one or many; returns when every record is on disk.

        Lost connections and an overloaded server are waited out, and each event is stored once. A large number is sent in several
        parts. Raises `AppendPending` after `deadline` seconds (the events stay queued), a `Refused` when the server will not have an
        event (of its part nothing is stored), and `LogFailed` when the server has ended appending.
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
            for part in self._parts(encoded):
                futures.append(await asyncio.wait_for(self._producer.enqueue(part), max(0.0, until - time.monotonic())))
            if futures:
                await asyncio.wait(futures, timeout=max(0.0, until - time.monotonic()))
        except asyncio.TimeoutError:
            reason = self._producer.last_error or self.last_error
            text = f"no room in the queue for {len(encoded)} events within the deadline{f' ({reason})' if reason else ''}"
            raise errors.QueueFull(text, retry=True) from reason
        if all(future.done() for future in futures):
            return Appended.joined([future.result() for future in futures]) if futures else Appended(())
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

    def _parts(self, encoded: list[bytes]) -> Iterable[list[bytes]]:
        limit = min(_PART_EVENTS, self._welcome.limits.append_events or _PART_EVENTS)
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
            if self._closed:
                raise errors.Closed(f"the client of {self.address} was closed")
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
        return await Connection.open(
            self.address, hello, deadline=self._connect_deadline, heartbeat=self._heartbeat, max_frame_bytes=self._max_frame_bytes
        )

    async def _open_for_reading(self) -> Connection:
        if self._closed:
            raise errors.Closed(f"the client of {self.address} was closed")
        hello = frames_pb2.Hello(version=1, client=CLIENT_NAME)
        return await Connection.open(
            self.address, hello, deadline=self._connect_deadline, heartbeat=self._heartbeat, max_frame_bytes=self._max_frame_bytes
        )

    def _attach(self, connection: Connection) -> None:
        if self._welcome.log_id and self._welcome.log_id != connection.welcome.log_id:
            logger.error(
                "%s serves the log %s, before it was %s", self.address, connection.welcome.log_id.hex(), self._welcome.log_id.hex()
            )
        self._connection = connection
        self._welcome = connection.welcome
        self.disconnected_at = None
        self.last_error = None
        if self._producer is not None:
            self._producer.attach(connection)
        self._wake()

    async def _supervise(self) -> None:
        backoff = Backoff()
        while not self._closed:
            if self._connection is not None:
                await asyncio.shield(self._connection.ended)
                self.last_error = self._connection.error
                self.disconnected_at = time.monotonic()
                self._connection = None
                if self._producer is not None:
                    self._producer.detach()
                logger.warning("%s; connecting again", self.last_error)
                await asyncio.sleep(backoff.next())
            try:
                connection = await self._open()
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
