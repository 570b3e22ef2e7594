"""Peers that ask and ask, and read no answer: what the server, or the witness, holds for them is bounded, on every listener that there is."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import pathlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from certificates import Authority
from hostile import MiB, hello_bytes, ping_bytes, read_bytes
from peers import allow_files, eventually, memory
from witness import Witness, keygen
from secured import SecureConnection
from wire import Connection, Server

# What a peer sends at most; unbounded answers to it are hundreds of MiB.
SENT_BYTES = 8 * MiB
# What a listener may take more for all of its peers, whose answers are small or few at a time.
BOUND_BYTES = 32 * MiB


@dataclasses.dataclass
class Listener:
    process: Server | Witness
    port: int
    # Sent first, and answered.
    greeting: bytes
    requests: bytes
    is_alive: Callable[[], bool]
    # None: no TLS.
    tls: ssl.SSLContext | None = None

    def connect(self) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", self.port), 60)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if self.tls:
            peer = self.tls.wrap_socket(peer, server_hostname="127.0.0.1")
        if self.greeting:
            peer.sendall(self.greeting)
            assert peer.recv(1 << 16)
        return peer


def request(path: str, method: str = "GET", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n".encode() + body


def status(port: int, path: str, tls: ssl.SSLContext | None) -> int:
    address = ("127.0.0.1", port)
    connection = http.client.HTTPSConnection(*address, timeout=60, context=tls) if tls else http.client.HTTPConnection(*address, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def secured(path: pathlib.Path, protocol: str) -> tuple[tuple[str, ...], ssl.SSLContext]:
    """Flags of a server with TLS, and a client's context."""
    root = Authority(path)
    certificate = root.issue_server()
    context = ssl.create_default_context(cafile=str(root.cert))
    context.set_alpn_protocols([protocol])
    return ("--tls-cert", str(certificate.cert), "--tls-key", str(certificate.key)), context


@contextlib.contextmanager
def frames(path: pathlib.Path, is_secured: bool = False) -> Iterator[Listener]:
    flags, tls = secured(path, "hubaudit/1") if is_secured else ((), None)
    with Server(path / "log", *flags) as server:

        def connect(**hello: object) -> Connection:
            connection = SecureConnection(server.port, path / "root.pem") if is_secured else Connection(server.port)
            connection.hello(**hello)
            return connection

        with connect(hub="filler") as hub:
            hub.append(*[{"kind": "filler", "pad": "x" * 1000}] * 1000)

        def is_alive() -> bool:
            with connect(hub="h") as hub:
                return hub.append({"kind": "k"}).appended.recorded == 1

        yield Listener(server, server.port, hello_bytes(), b"".join(read_bytes(id) + ping_bytes() for id in range(2, 10)), is_alive, tls)


@contextlib.contextmanager
def console(path: pathlib.Path, target: str, is_secured: bool = False) -> Iterator[Listener]:
    keygen(path / "log.key", "log.example/hubs")
    flags, tls = secured(path, "http/1.1") if is_secured else ((), None)
    with Server(path / "log", "--signing-key", str(path / "log.key"), *flags) as server, contextlib.ExitStack() as stack:
        if tls:
            hub = stack.enter_context(SecureConnection(server.port, path / "root.pem"))
            hub.hello(hub="filler")
        else:
            hub = stack.enter_context(server.connect(hub="filler"))
        hub.append(*[{"kind": "filler"}] * 300)
        frame = hub.request()
        frame.checkpoint.size = 300
        assert hub.ask(frame).checkpoint.note
        port = int(server.http_address.rsplit(":", 1)[1])
        assert status(port, target, tls) == 200
        yield Listener(server, port, b"", request(target), lambda: status(port, "/livez", tls) == 200, tls)


@contextlib.contextmanager
def witness(path: pathlib.Path, method: str, target: str, body: bytes, is_secured: bool = False) -> Iterator[Listener]:
    vkey = keygen(path / "log.key", "log.example/hubs")
    keygen(path / "w.key", "w.example/w", "--witness")
    flags, tls = secured(path, "http/1.1") if is_secured else ((), None)
    with Witness(path / "w", path / "w.key", vkey, flags=flags) as process:
        yield Listener(
            process, process.port, b"", request(target, method, body), lambda: status(process.port, "/nothing", tls) == 404, tls)


LISTENERS = {
    "frames": frames,
    "frames over TLS": lambda path: frames(path, True),
    "metrics": lambda path: console(path, "/metrics"),
    "hashes": lambda path: console(path, "/tile/0/000"),
    "entries": lambda path: console(path, "/tile/entries/000"),
    "verbose health": lambda path: console(path, "/healthz?verbose"),
    "witness": lambda path: witness(path, "GET", "/" + "x" * 40, b""),
    "witness, submissions": lambda path: witness(path, "POST", "/add-checkpoint", b"no checkpoint"),
    "witness, large submissions": lambda path: witness(path, "POST", "/add-checkpoint", b"x" * 100_000),
    "metrics over TLS": lambda path: console(path, "/metrics", True),
    "hashes over TLS": lambda path: console(path, "/tile/0/000", True),
    "entries over TLS": lambda path: console(path, "/tile/entries/000", True),
    "short requests over TLS": lambda path: console(path, "/livez", True),
    "witness over TLS": lambda path: witness(path, "GET", "/" + "x" * 40, b"", True),
    "witness, large submissions over TLS": lambda path: witness(path, "POST", "/add-checkpoint", b"x" * 100_000, True),
}


def send_until_nothing_is_taken(peers: list[socket.socket], data: bytes) -> int:
    """Sends over all connections until each has taken all, has ended, or takes nothing more; how many bytes were taken."""
    left = {peer: memoryview(data) for peer in peers}
    sent = 0
    for peer in peers:
        peer.setblocking(False)
    # A listener that takes nothing for two seconds does not read on; one that is slow only makes the test weaker.
    last = time.monotonic()
    while left and time.monotonic() < last + 2:
        for peer in select.select([], list(left), [], 0.1)[1]:
            try:
                # In records of TLS: it tells of what was taken only when all of a piece was.
                count = peer.send(left[peer][: 16 << 10])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                continue
            except OSError:
                del left[peer]
                continue
            sent += count
            last = time.monotonic()
            left[peer] = left[peer][count:]
            if not left[peer]:
                del left[peer]
    return sent


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("name", LISTENERS)
def test_answers_that_nobody_reads_take_bounded_memory(tmp_path, name, count):
    allow_files(1000)
    with LISTENERS[name](tmp_path) as listener, contextlib.ExitStack() as stack:
        assert listener.is_alive()
        before = memory(listener.process)
        peers = [stack.enter_context(contextlib.closing(listener.connect())) for _ in range(count)]
        data = listener.requests * (SENT_BYTES // count // len(listener.requests) + 1)
        assert send_until_nothing_is_taken(peers, data) > 0
        assert listener.is_alive()
        assert memory(listener.process) - before < BOUND_BYTES


def test_connections_over_tls_that_were_sent_much_hold_little(tmp_path):
    """The TLS handler keeps the memory of its largest flush for as long as its connection lives."""
    count = 200
    allow_files(1000)
    with frames(tmp_path, True) as listener, contextlib.ExitStack() as stack:
        assert listener.is_alive()
        before = memory(listener.process, "VmRSS")
        for _ in range(count):
            connection = stack.enter_context(SecureConnection(listener.port, tmp_path / "root.pem"))
            connection.hello(client="reads")
            assert len(connection.read_all()) >= 1000
        assert listener.is_alive()
        held = memory(listener.process, "VmRSS") - before
        print(f"{count} connections hold {held / count / 1024:.0f} KiB each")
        assert held < count * (160 << 10)


class Silent:
    """Connections that begin a request at most, and never end it. One that is closed comes again at once."""

    HEADS = (b"", b"GET ", b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 100\r\n\r\nx")
    # The beginning of a record with the beginning of a ClientHello.
    HANDSHAKES = (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")

    def __init__(self, port: int, count: int, begins: tuple[bytes, ...] = HEADS) -> None:
        self.port = port
        self.begins = begins
        self.made = 0
        self.peers = {peer.fileno(): peer for peer in (self._connect() for _ in range(count))}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._come_again, daemon=True)
        self._thread.start()

    def _connect(self) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", self.port), 60)
        with contextlib.suppress(OSError):
            peer.sendall(self.begins[self.made % len(self.begins)])
        self.made += 1
        return peer

    def _come_again(self) -> None:
        poll = select.poll()
        for number in self.peers:
            poll.register(number, select.POLLIN)
        while not self._ends.is_set():
            for number, _ in poll.poll(100):
                poll.unregister(number)
                self.peers.pop(number).close()
                peer = self._connect()
                self.peers[peer.fileno()] = peer
                poll.register(peer, select.POLLIN)

    def close(self) -> None:
        self._ends.set()
        self._thread.join(60)
        for peer in self.peers.values():
            peer.close()


@pytest.mark.parametrize("is_secured", [False, True])
def test_silent_connections_keep_no_log_away_from_its_witness(tmp_path, is_secured):
    # More than a witness takes; the kernel's queue is theirs too.
    count = 1500
    allow_files(count + 500)
    vkey = keygen(tmp_path / "log.key", "log.example/hubs")
    witness_key = keygen(tmp_path / "w.key", "w.example/w", "--witness")
    begins = Silent.HANDSHAKES if is_secured else Silent.HEADS
    flags = secured(tmp_path, "http/1.1")[0] if is_secured else ()
    trusted = ("--witness-cacert", str(tmp_path / "root.pem")) if is_secured else ()
    with Witness(tmp_path / "w", tmp_path / "w.key", vkey, flags=flags) as process, contextlib.closing(Silent(process.port, count, begins)):
        (tmp_path / "policy").write_text(f"log {vkey}\nwitness w {witness_key} {process.url}\nquorum w\n")
        with Server(tmp_path / "log", "--signing-key", str(tmp_path / "log.key"), "--witnesses", str(tmp_path / "policy"), *trusted) as server:
            for size in (1, 2, 3):
                with server.connect(hub="h") as hub:
                    assert hub.append({"kind": "k"}).appended.recorded == 1

                def is_cosigned() -> bool:
                    note = server.get("/checkpoint")[1]
                    return "w.example/w" in note and int(note.split("\n")[1]) >= size

                eventually(is_cosigned, "the witness does not cosign")
