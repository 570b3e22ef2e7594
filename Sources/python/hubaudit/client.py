"""The client: one connection that is made anew when it is lost, over which events are appended and the log is followed."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from types import TracebackType
from typing import Any

from . import _live, errors
from ._checks import at_least_one, not_negative, positive
from ._entry import AwaitedEntry
from ._home import Home
from ._memory import CheckpointMemory
from ._parts import Appendable, encoded_events, parts
from ._proto import frames_pb2
from ._proving import Proving
from ._reading import ReadRequest
from ._tasks import cancelled, settle
from .address import Address
from .appended import Appended
from .backoff import Backoff
from .checkpoint import Checkpoint, Keys
from .connection import MAX_FRAME_BYTES, Connection
from .credentials import TLS, Credentials, Token
from .pending import PendingAppend
from .producer import Producer
from .receipt import Receipt
from .record import Record
from .selection import Names, Position, Time, make_filter, make_start
from .tail import DEFAULT_WINDOW_BYTES, Tail

logger: logging.Logger = logging.getLogger("hubaudit")

CLIENT_NAME = "hubaudit-python/0.1.0"
# How long an event loop that is ending is held up for events that are not acknowledged yet.
_LAST_SECONDS = 2.0
# How often it is said again that there is no connection.
_REPEAT_SECONDS = 60.0


async def connect(
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
    tls: TLS | ssl.SSLContext | None = None,
    token: Token | None = None,
) -> Client:
    """Connects to a server and returns the client; the options are those of `Client`.

    `url` is "host:port", "hubaudits://host:port" (TLS) or "unix:/path"; without it the environment's HUBAUDIT_SERVER, or 127.0.0.1:7411.

        await connect("hubaudits://audit.example:7411", hub="lab", tls=TLS(cacert="ca.pem"), token=Path("/run/secrets/token"))

    Raises `ConnectionLost`, `CredentialsError`, `Timeout`, or what the server refused the hello with; with a `verifier_key` also `TamperedLogError`.
    """
    client = Client(
        url, hub=hub, producer=producer, deadline=deadline, connect_deadline=connect_deadline, heartbeat=heartbeat,
        max_frame_bytes=max_frame_bytes, queue_events=queue_events, queue_bytes=queue_bytes, keep=keep,
        verifier_key=verifier_key, checkpoint_file=checkpoint_file, tls=tls, token=token,
    )  # fmt: skip
    await client.start()
    return client


class Client:
    """Appends to, reads and follows a log.

    It belongs to the event loop and the process that it is started in: anywhere else (a second `asyncio.run`, another thread, a fork) it
    raises `WrongLoop` at once. An event loop that ends before the client is closed (`asyncio.run` returns) waits up to 2 s for events that
    are not acknowledged; what is left then is named in the log, as at the end of the process.

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
    - `tls`: for a "hubaudits://" address, whom to trust and which certificate to show: `TLS(cacert=, cert=, key=)`, or an SSLContext that
      verifies servers. Without it the environment's HUBAUDIT_CACERT, HUBAUDIT_CERT and HUBAUDIT_KEY, or the system's roots.
    - `token`: says who this is: the token itself, the path of a file (`pathlib.Path`), or a function or coroutine function that returns it.
      Files and functions are asked again for each connection, and before the token expires: the connection then goes on with the new one,
      which must be the same identity's. Sent only over TLS, a Unix socket or loopback. Without it HUBAUDIT_TOKEN_FILE or HUBAUDIT_TOKEN.

    When the server refuses the credentials of a client that was connected, nothing is lost: that is logged as an error, events stay queued,
    and it tries on with what the files and functions then give.
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
        tls: TLS | ssl.SSLContext | None = None,
        token: Token | None = None,
    ) -> None:
        """Raises ValueError for options that make no sense; ImportError when a key is given and the cryptography package is missing.

        Raises `EvidenceError` when the checkpoint file holds no checkpoint that the key has signed.
        """
        if verifier_key is None and checkpoint_file is not None:
            raise ValueError("a checkpoint file is of no use without the log's key: pass verifier_key")
        self.address: Address = Address.parse(url or os.environ.get("HUBAUDIT_SERVER") or "127.0.0.1:7411")
        self._credentials = Credentials(self.address, tls, token)
        self.hub = hub
        self.home: Home = Home(f"the client of {self.address}")
        """The event loop and the process that it belongs to."""
        self.deadline: float = positive("deadline", deadline)
        self.disconnected_at: float | None = time.monotonic()
        """Since when there is no connection (`time.monotonic`); None while there is one."""
        self.last_error: errors.HubauditError | None = None
        """Why there is no connection; None while there is one."""
        self._connect_deadline = positive("connect_deadline", connect_deadline)
        self._heartbeat = positive("heartbeat", heartbeat)
        self._max_frame_bytes = at_least_one("max_frame_bytes", max_frame_bytes)
        at_least_one("queue_events", queue_events)
        at_least_one("queue_bytes", queue_bytes)
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
        self.ending: bool = False
        """Whether the event loop is ending before the client was closed."""
        memory = CheckpointMemory(verifier_key, checkpoint_file) if verifier_key is not None else None
        self._verifies = memory is not None
        self._proving = Proving(
            memory,
            deadline=deadline,
            ask=self._ask,
            read=lambda sequence, count: self.read(sequence, limit=count),
            fail=self._fail,
            identity=lambda: self._welcome.identity,
        )

    # Life cycle

    async def start(self, *, wait: bool = True) -> None:
        """Connects and keeps the connection from then on. With `wait` false it returns at once and connects behind the scenes."""
        self.check()
        if self._ended is not None:
            raise self._ended
        if self._supervisor is not None:
            raise errors.UsageError(f"the client of {self.address} was started before")
        if wait:
            self._attach(await self._open())
        _live.add(self)
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise(), name="hubaudit connection")

    def check(self) -> None:
        """Raises `WrongLoop` where this is not the event loop or the process that the client belongs to."""
        try:
            self.home.check()
        except errors.WrongLoop:
            if self.home.here and self.home.ended:
                self.abandon("its event loop has ended")
            raise

    async def close(self) -> None:
        """Ends the connection. Events that are not acknowledged fail with `Closed`; call `flush` before to wait for them."""
        if isinstance(self._ended, errors.Closed) and self.home.here:
            return
        self.check()
        _live.discard(self)
        self._ended = error = errors.Closed(f"the client of {self.address} was closed")
        if self._supervisor is not None:
            await cancelled(self._supervisor)
        await self._proving.close()
        if self._producer is not None:
            self._producer.close(error)
        connection, self._connection = self._connection, None
        self._wake()
        if connection is not None:
            connection.close()
            await connection.wait_closed()

    def abandon(self, reason: str) -> None:
        """Ends the client without its event loop, and names the events that were not acknowledged."""
        _live.discard(self)
        if self._ended is not None:
            return
        self._ended = error = errors.Closed(f"the client of {self.address} was not closed, and {reason}")
        if self._producer is not None and self._producer.pending_events:
            logger.error("%s: %d events were not acknowledged", error, self._producer.pending_events)
        if self._producer is not None:
            self._producer.close(error)
        if self._connection is not None and not self.home.ended:
            self._connection.close()
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
    def ended(self) -> bool:
        """Whether it was closed, or had to end."""
        return self._ended is not None

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
        parts. Raises a `Refused` when the server will not have an event (of its part nothing is stored), and `LogFailed` when the server
        has ended appending.

        After `deadline` seconds it raises `AppendPending`: the events stay queued and will be stored. So they do when this call is
        cancelled, also by `asyncio.wait_for`. Calling it again would store them twice: go on with `await error.pending.wait()`, or take a
        handle before, which may be awaited, cancelled and awaited again: `pending = client.submit(item)`.

        With `proven` it returns when a checkpoint that the log has signed covers the records, with a `Receipt` for each in
        `Appended.receipts`, verified as far as the client can: the signature too with a `verifier_key`. Raises `InvalidRequest` when
        the server signs no checkpoints (nothing is stored), and `EvidenceError` when a proof does not hold.
        """
        producer = self._appending()
        until = time.monotonic() + (self.deadline if deadline is None else positive("deadline", deadline))
        encoded = encoded_events(item)
        pending = PendingAppend(len(encoded), self._answer, proven=proven)
        taken = 0
        try:
            for part in parts(encoded, proven, self._welcome.limits.append_events):
                entry = AwaitedEntry(part, proven=proven)
                if not producer.enqueue_now(entry):
                    await asyncio.wait_for(producer.enqueue(entry), max(0.0, until - time.monotonic()))
                pending.futures.append(entry.future)
                taken += entry.count
        except asyncio.TimeoutError:
            reason = producer.last_error or self.last_error
            before = f"; the {taken} before them stay queued and will be stored once" if taken else ""
            text = f"no room in the queue for {len(encoded) - taken} of {len(encoded)} events within the deadline{before}"
            error = errors.QueueFull(f"{text}{f' ({reason})' if reason else ''}", retry=True, event=taken)
            error.pending = pending if taken else None
            raise error from reason
        return await self._answer(pending, max(0.0, until - time.monotonic()))

    def submit(self, item: Appendable | Iterable[Appendable], *, proven: bool = False) -> PendingAppend:
        """As `append`, without waiting: the events are queued when it returns, and stored once, whether or not the handle is awaited.

        Raises `QueueFull` when there is no room for all of them at once; nothing is taken then.
        """
        producer = self._appending()
        encoded = encoded_events(item)
        pending = PendingAppend(len(encoded), self._answer, proven=proven)
        entries = [AwaitedEntry(part, proven=proven) for part in parts(encoded, proven, self._welcome.limits.append_events)]
        producer.submit_all(entries)
        pending.futures += [entry.future for entry in entries]
        return pending

    def _appending(self) -> Producer:
        self.check()
        if self._producer is None:
            raise errors.InvalidRequest("appending needs the name of the hub: connect(url, hub=...)")
        return self._producer

    async def _answer(self, pending: PendingAppend, seconds: float | None) -> Appended:
        self.check()
        if not pending.done:
            await asyncio.wait(pending.futures, timeout=seconds)
        if pending.done:
            appended = pending.result()
            return await self._proving.with_receipts(appended) if pending.proven else appended
        reason = self.last_error or (self._producer.last_error if self._producer is not None else None)
        text = f"the server has not acknowledged {pending.count} events within the deadline{f' ({reason})' if reason else ''}"
        error = errors.AppendPending(f"{text}; they stay queued and will be stored once", retry=False)
        error.pending = pending
        raise error from reason

    async def flush(self, timeout: float | None = None) -> None:
        """Returns when every event is acknowledged. Raises `AppendPending` after `timeout` seconds."""
        not_negative("timeout", timeout)
        self.check()
        if self._producer is None:
            return
        try:
            await asyncio.wait_for(self._producer.wait_until_idle(), timeout)
        except asyncio.TimeoutError:
            pending = self._producer.pending_events
            raise errors.AppendPending(f"{pending} events were not acknowledged within {timeout:g} s; they stay queued") from None

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
        on_erased_skipped: Callable[[int], object] | None = None,
    ) -> AsyncIterator[Record]:
        """The records from `start` (or behind the sequence `after`) to the end that the log has now, at most `limit`.

        Backwards it begins with the record before `start`; "latest" gives the newest record first, and is the default then. A lost
        connection is made anew and the read goes on where it was. Memory is bounded by the size of a frame.

        When a filter by agent, channel or task has passed over erased records, `on_erased_skipped` is called at the end with their number.
        """
        if limit is not None and not 0 <= limit < 2**64:
            raise ValueError(f"limit={limit} is not a number of records from 0 to 2^64 - 1: leave it out to read to the end")
        if backwards and start == "earliest":
            start = "latest"
        origin = make_start(start) if after is None else frames_pb2.Start(after=after)
        selection = make_filter(kinds=kinds, hubs=hubs, agents=agents, channels=channels, tasks=tasks, since=since, until=until)
        wanted = ReadRequest(origin, selection, limit, backwards, on_erased_skipped=on_erased_skipped)
        return wanted.records(self._open_for_reading, self.deadline)

    def read_batches(
        self,
        start: Position = "earliest",
        *,
        kinds: Names = None,
        hubs: Names = None,
        agents: Names = None,
        channels: Names = None,
        tasks: Names = None,
        since: Time = None,
        until: Time = None,
    ) -> AsyncIterator[bytes]:
        """As `read` (forwards), but in serialized `RecordBatch`es as they came."""
        selection = make_filter(kinds=kinds, hubs=hubs, agents=agents, channels=channels, tasks=tasks, since=since, until=until)
        return ReadRequest(make_start(start), selection, None, False).batches(self._open_for_reading, self.deadline)

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
        return Tail(self.wait_connected, origin, selection, at_least_one("window", window), on_caught_up, self.check)

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
        """The server's `hubaudit.v1.Health`: status, reasons, sizes, sequences, and how far signing, witnesses and scrub are."""
        frame = await self._ask(lambda connection: connection.request(health=frames_pb2.HealthRequest()))
        health: frames_pb2.Health = frame.health
        return health

    async def settings(self) -> frames_pb2.Settings:
        """What the server runs with: name, value and source of each of its settings."""
        frame = await self._ask(lambda connection: connection.request(settings=frames_pb2.SettingsRequest()))
        settings: frames_pb2.Settings = frame.settings
        return settings

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
        """The connection, as soon as there is one. Raises `Closed`, `WrongLoop`."""
        self.check()
        while True:
            if self._ended is not None:
                raise self._ended
            if self._supervisor is None:
                raise errors.UsageError(f"the client of {self.address} was not started: await client.start(), or use hubaudit.connect")
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
            if self._producer.session_token:
                hello.session_token = self._producer.session_token
        if self._verifies:
            hello.checkpoints = True
        try:
            return await self._shake_hands(hello)
        except errors.ProducerGap as error:
            if self._producer is not None and error.expected:
                self._producer.go_on_from(error.expected)
            raise

    async def _open_for_reading(self) -> Connection:
        self.check()
        if self._ended is not None:
            raise self._ended
        try:
            return await self._shake_hands(frames_pb2.Hello(version=1, client=CLIENT_NAME))
        except errors.TamperedLogError as error:
            self._fail(error)
            raise

    async def _shake_hands(self, hello: frames_pb2.Hello) -> Connection:
        connection = await Connection.open(
            self.address, hello, deadline=self._connect_deadline, heartbeat=self._heartbeat, max_frame_bytes=self._max_frame_bytes,
            credentials=self._credentials,
        )  # fmt: skip
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
        try:
            await self._keep_connected()
        except asyncio.CancelledError:
            # Not by `close`, which has named the end before: whoever runs the event loop ends it, and with it all tasks.
            self.ending = True
            if self._ended is None:
                await self._end_with_loop()
            raise

    async def _end_with_loop(self) -> None:
        try:
            if self._producer is not None and self.connected:
                await asyncio.wait_for(self._producer.wait_until_idle(), _LAST_SECONDS)
        except (asyncio.CancelledError, asyncio.TimeoutError):
            pass
        finally:
            self.abandon("its event loop ends")

    async def _keep_connected(self) -> None:
        backoff = Backoff()
        said_at = time.monotonic()
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
                said_at = time.monotonic()
                await asyncio.sleep(backoff.next())
            try:
                connection = await self._open()
            except errors.TamperedLogError as error:
                self._fail(error)
                return
            except errors.HubauditError as error:
                if type(error) is not type(self.last_error) or time.monotonic() - said_at >= _REPEAT_SECONDS:
                    said_at = time.monotonic()
                    gone = said_at - (self.disconnected_at or said_at)
                    level = logging.ERROR if isinstance(error, errors.CredentialsError) else logging.WARNING
                    logger.log(level, "%s; trying on, without a connection for %d s", error, gone)
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
            settle(waiter, None)
