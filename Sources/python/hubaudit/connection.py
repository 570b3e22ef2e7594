"""One connection: hello and welcome, then requests and replies by id. It ends once and is not used again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol, cast

from . import _tls_errors, errors
from ._proto import frames_pb2
from ._renewal import renew
from ._views import ClientFrameView, ServerFrameView, parse
from .address import Address
from .credentials import Credentials
from .framing import FrameDecoder, encode_frame

logger: logging.Logger = logging.getLogger("hubaudit")

PROTOCOL_VERSION = 1
MAX_FRAME_BYTES = 16 * 1024 * 1024
# One write over TLS. What encrypts it keeps a buffer of the largest.
_TLS_WRITE_BYTES = 64 * 1024
# How long the other side may take to end a TLS connection in good order.
_TLS_CLOSE_SECONDS = 1.0


class Replies(Protocol):
    """Takes the replies to one request."""

    def on_reply(self, frame: Any) -> bool:
        """A reply came; returns whether it was the last one."""

    def on_lost(self, error: errors.HubauditError) -> None:
        """The connection ended before the last reply."""


class _OneReply:
    """Hands the only reply to whoever awaits it."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def on_reply(self, frame: Any) -> bool:
        if not self.future.done():
            if frame.HasField("error"):
                self.future.set_exception(errors.from_wire(frame.error))
            else:
                self.future.set_result(frame)
        return True

    def on_lost(self, error: errors.HubauditError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Connection(asyncio.Protocol):
    """A connection after its handshake. Used from its event loop only."""

    def __init__(self, address: Address, *, heartbeat: float, max_frame_bytes: int) -> None:
        self.address = address
        self.welcome: frames_pb2.Welcome = frames_pb2.Welcome()
        self.error: errors.HubauditError | None = None
        """Why it ended; None while it is up."""
        self.on_checkpoint: Callable[[bytes], None] | None = None
        """Called with each checkpoint that comes unasked: with an acknowledgement, or when a subscription has caught up."""
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._heartbeat = heartbeat
        self.max_frame_bytes = max_frame_bytes
        """The largest frame that is taken here."""
        self._decoder = FrameDecoder(max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._replies: dict[int, Replies] = {}
        self._next_id = 1
        self._out: list[bytes] = []
        self._paused = False
        self._heard = True
        self._ping_sent = False
        self._timer: asyncio.TimerHandle | None = None
        self._heard_frame = False
        self._renewal: asyncio.Task[None] | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        address: Address,
        hello: frames_pb2.Hello,
        *,
        deadline: float,
        heartbeat: float,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        credentials: Credentials | None = None,
    ) -> Connection:
        """Connects and shakes hands within `deadline` seconds.

        A peer that has been silent for two `heartbeat` intervals in seconds counts as lost. Raises `ConnectionLost`, `CredentialsError`,
        `Timeout`, or what the server refused the hello with.
        """
        connection = cls(address, heartbeat=heartbeat, max_frame_bytes=max_frame_bytes)
        try:
            await asyncio.wait_for(connection._shake_hands(hello, credentials or Credentials(address, None, None)), deadline)
        except asyncio.TimeoutError:
            error = errors.Timeout(f"{address} did not answer within {deadline:g} s: is it a hubaudit server?", retry=True)
            connection.close(error)
            raise error from None
        except OSError as error:
            text = f"cannot connect to {address}: {error.strerror or error}: is the server up?"
            raise errors.ConnectionLost(text, retry=True) from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def _shake_hands(self, hello: frames_pb2.Hello, credentials: Credentials) -> None:
        token = await credentials.token()
        if token is not None:
            hello.token = token
        if self.address.tls:
            await self._connect_tls(credentials)
        elif self.address.path is not None:
            await self._loop.create_unix_connection(lambda: self, self.address.path)
        else:
            await self._loop.create_connection(lambda: self, self.address.host or "localhost", self.address.port)
        frame = await self.request(hello=hello)
        if not frame.HasField("welcome"):
            raise errors.ProtocolError(f"{self.address} answered the hello with something else: is it a hubaudit server?")
        if frame.welcome.version != PROTOCOL_VERSION:
            raise errors.ProtocolError(
                f"{self.address} speaks version {frame.welcome.version} of the protocol, this package version {PROTOCOL_VERSION}"
            )
        self.welcome = frame.welcome
        self._timer = self._loop.call_later(self._heartbeat, self._beat)
        if credentials.renewable and self.welcome.expires_at:
            self._renewal = self._loop.create_task(renew(self, credentials), name="hubaudit token")

    async def _connect_tls(self, credentials: Credentials) -> None:
        host = self.address.host or "localhost"
        # Reads files; the system's roots take a while.
        context = await self._loop.run_in_executor(None, credentials.context)
        try:
            await self._loop.create_connection(
                lambda: self, host, self.address.port, ssl=context, server_hostname=host.removesuffix(".")
            )
        except (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError) as error:
            raise _tls_errors.of_handshake(self.address, error) from error
        assert self._transport is not None
        _tls_errors.check(self.address, self._transport.get_extra_info("ssl_object"))

    async def request(self, **request: Any) -> Any:
        """Sends a request that has one reply and returns it. Raises what the server answered as an error, or `ConnectionLost`."""
        reply = _OneReply()
        id = self.send(reply, **request)
        try:
            return await reply.future
        finally:
            self._replies.pop(id, None)

    def send(self, replies: Replies, *, at_once: bool = False, **request: Any) -> int:
        """Sends a request and returns its id. What is sent in one turn of the loop goes out in one write, but for what goes `at_once`."""
        id = self._next_id
        self._next_id += 1
        if self.error is not None:
            self._loop.call_soon(replies.on_lost, self.error)
            return id
        self._replies[id] = replies
        frame = encode_frame(ClientFrameView(id=id, **request).SerializeToString())
        if at_once and not self._out and self._transport is not None:
            self._write_out(frame)
        else:
            self._write(frame)
        return id

    def send_credit(self, subscription: int, bytes: int) -> None:
        """Lets the server push `bytes` more to a subscription."""
        if subscription in self._replies:
            self._notify(credit=frames_pb2.Credit(subscription=subscription, bytes=bytes))

    def unsubscribe(self, subscription: int) -> None:
        """Ends a subscription or a read; its further replies are dropped."""
        if self._replies.pop(subscription, None) is not None:
            self._notify(unsubscribe=frames_pb2.Unsubscribe(subscription=subscription))

    def _notify(self, **request: Any) -> None:
        if self.error is None:
            id = self._next_id
            self._next_id += 1
            self._write(encode_frame(ClientFrameView(id=id, **request).SerializeToString()))

    def pause_reading(self) -> None:
        """Lets the server's further bytes wait in the socket."""
        if self._transport is not None and not self._paused and self.error is None:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and self._paused and self.error is None:
            self._paused = False
            self._heard = True
            self._transport.resume_reading()

    def close(self, error: errors.HubauditError | None = None) -> None:
        """Ends the connection; what waits for a reply gets `error`. What was sent before still goes out."""
        if self.error is not None:
            return
        self._flush()
        self.error = error or errors.ConnectionLost(f"the connection to {self.address} was closed on this side", retry=True)
        if self._timer is not None:
            self._timer.cancel()
        if self._renewal is not None and not self._loop.is_closed():
            self._renewal.cancel()
        if self._transport is not None:
            if error is None:
                self._transport.close()
                if self.address.tls and not self._loop.is_closed():
                    self._loop.call_later(_TLS_CLOSE_SECONDS, self._transport.abort)
            else:
                self._transport.abort()
        replies, self._replies = self._replies, {}
        for waiting in replies.values():
            waiting.on_lost(self.error)
        if not self.ended.done():
            self.ended.set_result(None)

    async def wait_closed(self) -> None:
        """Returns when a connection over TLS that was closed here has ended in good order, or was cut."""
        if self.address.tls and self._transport is not None:
            await asyncio.wait({self._closed}, timeout=2 * _TLS_CLOSE_SECONDS)

    def _write(self, frame: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None and self.error is None:
            self._write_out(b"".join(out))

    def _write_out(self, data: bytes) -> None:
        if self._transport is None:
            return
        if not self.address.tls or len(data) <= _TLS_WRITE_BYTES:
            self._transport.write(data)
            return
        for begin in range(0, len(data), _TLS_WRITE_BYTES):
            self._transport.write(data[begin : begin + _TLS_WRITE_BYTES])

    def _beat(self) -> None:
        if self.error is not None:
            return
        if self._heard or self._paused:
            self._heard = self._ping_sent = False
        elif self._ping_sent:
            self.close(errors.ConnectionLost(f"{self.address} has been silent for {2 * self._heartbeat:g} s", retry=True))
            return
        if not self._ping_sent and not self._paused:
            self._ping_sent = True
            self._notify(ping=frames_pb2.Ping())
        self._timer = self._loop.call_later(self._heartbeat, self._beat)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Judged by what it can do: the transports of other event loops (uvloop) need not be subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            # Event loops set it themselves, and their sockets may refuse to.
            with contextlib.suppress(OSError, TypeError, AttributeError, NotImplementedError):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.error is not None:
            self._transport.abort()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if not self._heard_frame:
            self._heard_frame = True
            # A TLS alert (RFC 8446, section 5.1). No frame begins so: its body would begin with field number 0.
            if data[:2] == b"\x15\x03" and not self.address.tls:
                self.close(errors.ProtocolError(f"{self.address} speaks TLS: write hubaudits://{self.address}"))
                return
        try:
            for body in self._decoder.feed(data):
                if self.error is not None:
                    return
                self._dispatch(body)
        except errors.HubauditError as error:
            self.close(error)

    def _dispatch(self, body: bytes) -> None:
        frame = parse(ServerFrameView, body)
        if not frame.HasField("id"):
            if frame.HasField("error"):
                self.close(errors.from_wire(frame.error))
            return
        replies = self._replies.get(frame.id)
        if replies is not None and replies.on_reply(frame):
            self._replies.pop(frame.id, None)
        if self.on_checkpoint is not None:
            kind = frame.WhichOneof("reply")
            if kind in ("appended", "subscription") and getattr(frame, kind).HasField("checkpoint"):
                self.on_checkpoint(getattr(frame, kind).checkpoint)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exception: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
        if exception is not None and self.address.tls:
            self.close(_tls_errors.after_handshake(self.address, exception, heard=self._heard_frame))
            return
        reason = f": {exception}" if exception is not None else " by the server"
        self.close(errors.ConnectionLost(f"the connection to {self.address} was closed{reason}", retry=True))
