"""Peers that ask and ask, and read no answer: what the server, or the witness, holds for them is bounded, on every listener that there is."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import pathlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hostile import MiB, hello_bytes, ping_bytes, read_bytes
from peers import allow_files, eventually, memory
from witness import Witness, keygen
from wire import Server

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

    def connect(self) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", self.port), 60)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if self.greeting:
            peer.sendall(self.greeting)
            assert peer.recv(1 << 16)
        return peer


def request(path: str, method: str = "GET", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n".encode() + body


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    return connection.getresponse().status == 200


@contextlib.contextmanager
def frames(path: pathlib.Path) -> Iterator[Listener]:
    with Server(path / "log") as server:
        with server.connect(hub="filler") as hub:
            hub.append(*[{"kind": "filler", "pad": "x" * 1000}] * 1000)

        def is_alive() -> bool:
            with server.connect(hub="h") as hub:
                return hub.append({"kind": "k"}).appended.recorded == 1

        yield Listener(server, server.port, hello_bytes(), b"".join(read_bytes(id) + ping_bytes() for id in range(2, 10)), is_alive)


@contextlib.contextmanager
def console(path: pathlib.Path, target: str) -> Iterator[Listener]:
    keygen(path / "log.key", "log.example/hubs")
    with Server(path / "log", "--signing-key", str(path / "log.key")) as server:
        with server.connect(hub="filler") as hub:
            hub.append(*[{"kind": "filler"}] * 300)
            frame = hub.request()
            frame.checkpoint.size = 300
            assert hub.ask(frame).checkpoint.note
        port = int(server.http_address.rsplit(":", 1)[1])
        assert answers(port, target)
        yield Listener(server, port, b"", request(target), lambda: answers(port, "/livez"))


@contextlib.contextmanager
def witness(path: pathlib.Path, method: str, target: str, body: bytes) -> Iterator[Listener]:
    vkey = keygen(path / "log.key", "log.example/hubs")
    keygen(path / "w.key", "w.example/w", "--witness")
    with Witness(path / "w", path / "w.key", vkey) as process:

        def is_alive() -> bool:
            connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=60)
            connection.request("GET", "/nothing")
            return connection.getresponse().status == 404

        yield Listener(process, process.port, b"", request(target, method, body), is_alive)


LISTENERS = {
    "frames": frames,
    "metrics": lambda path: console(path, "/metrics"),
    "hashes": lambda path: console(path, "/tile/0/000"),
    "entries": lambda path: console(path, "/tile/entries/000"),
    "verbose health": lambda path: console(path, "/healthz?verbose"),
    "witness": lambda path: witness(path, "GET", "/" + "x" * 40, b""),
    "witness, submissions": lambda path: witness(path, "POST", "/add-checkpoint", b"no checkpoint"),
    "witness, large submissions": lambda path: witness(path, "POST", "/add-checkpoint", b"x" * 100_000),
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
                count = peer.send(left[peer])
            except BlockingIOError:
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


class Silent:
    """Connections that begin a request at most, and never end it. One that is closed comes again at once."""

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.made = 0
        self.peers = {peer.fileno(): peer for peer in (self._connect() for _ in range(count))}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._come_again, daemon=True)
        self._thread.start()

    def _connect(self) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", self.port), 60)
        with contextlib.suppress(OSError):
            peer.sendall([b"", b"GET ", b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 100\r\n\r\nx"][self.made % 3])
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


def test_silent_connections_keep_no_log_away_from_its_witness(tmp_path):
    # More than a witness takes; the kernel's queue is theirs too.
    count = 1500
    allow_files(count + 500)
    vkey = keygen(tmp_path / "log.key", "log.example/hubs")
    witness_key = keygen(tmp_path / "w.key", "w.example/w", "--witness")
    with Witness(tmp_path / "w", tmp_path / "w.key", vkey) as process, contextlib.closing(Silent(process.port, count)):
        (tmp_path / "policy").write_text(f"log {vkey}\nwitness w {witness_key} {process.url}\nquorum w\n")
        with Server(tmp_path / "log", "--signing-key", str(tmp_path / "log.key"), "--witnesses", str(tmp_path / "policy")) as server:
            for size in (1, 2, 3):
                with server.connect(hub="h") as hub:
                    assert hub.append({"kind": "k"}).appended.recorded == 1

                def is_cosigned() -> bool:
                    note = server.get("/checkpoint")[1]
                    return "w.example/w" in note and int(note.split("\n")[1]) >= size

                eventually(is_cosigned, "the witness does not cosign")
