"""A small server that speaks frames, over TLS or without, and answers what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
import contextlib
import socket
import ssl
import threading

from certificates import Authority, Certificate
from hubaudit._proto import frames_pb2
from hubaudit.framing import FrameDecoder, encode_frame

Frame = frames_pb2.ServerFrame
Code = frames_pb2.Error


def welcome(frame: Frame, expires_at: int = 0) -> None:
    frame.welcome.version = 1
    frame.welcome.log_id = bytes(range(16))
    frame.welcome.identity = "token:1"
    frame.welcome.producer_next = 1
    if expires_at:
        frame.welcome.expires_at = expires_at


def context(certificate: Certificate, *, alpn: tuple[str, ...] = ("hubaudit/1",), clients: Authority | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate.cert, certificate.key)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if clients is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(clients.cert)
    return made


class FrameServer:
    """Answers each request with what `answer` puts into a frame; returns it False, the connection ends behind that. Appends are stored.

    Of threads and sockets: asyncio's TLS servers send no alerts.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, answer: Callable[[frames_pb2.ClientFrame, Frame], bool | None] | None = None) -> None:
        self.requests: list[frames_pb2.ClientFrame] = []
        self.stored = 0
        self.tls = tls
        """Of new connections."""
        self._answer = answer or _welcoming
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._peers: set[socket.socket] = set()

    async def __aenter__(self) -> FrameServer:
        self._start(self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        # Wakes accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        for peer in list(self._peers):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 30)
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._start(self._serve, peer)

    def _serve(self, plain: socket.socket) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers.add(plain)
        peer = plain
        try:
            with contextlib.suppress(OSError, ssl.SSLError):
                if self.tls is not None:
                    # A handshake within wrap_socket would close the socket when it fails.
                    peer = self.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                    self._peers.add(peer)
                    try:
                        peer.do_handshake()
                    except ssl.SSLError:
                        # What the client has sent is read, so that no reset overtakes the alert. A shutdown makes it a plain socket.
                        peer.shutdown(socket.SHUT_WR)
                        while peer.recv(65536):
                            pass
                        return
                decoder = FrameDecoder(1 << 24)
                while data := peer.recv(65536):
                    for body in decoder.feed(data):
                        if not self._reply(frames_pb2.ClientFrame.FromString(body), peer):
                            return
        finally:
            self._peers -= {plain, peer}
            peer.close()

    def _reply(self, request: frames_pb2.ClientFrame, peer: socket.socket) -> bool:
        self.requests.append(request)
        frame = Frame(id=request.id)
        if request.HasField("append"):
            count = len(request.append.events)
            frame.appended.recorded = count
            frame.appended.first_sequence = self.stored
            self.stored += count
            goes_on = True
        else:
            goes_on = self._answer(request, frame) is not False
        if frame.WhichOneof("reply") is not None:
            peer.sendall(encode_frame(frame.SerializeToString()))
        return goes_on


def _welcoming(request: frames_pb2.ClientFrame, frame: Frame) -> None:
    if request.HasField("hello"):
        welcome(frame)
    elif request.HasField("ping"):
        frame.pong.payload = request.ping.payload
