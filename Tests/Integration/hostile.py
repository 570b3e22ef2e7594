"""Connections of peers that do not behave: raw sockets, and the bytes that they send."""

from __future__ import annotations

import contextlib
import socket
import struct

from hubaudit._proto import frames_pb2
from wire import Server, varint

MiB = 1 << 20


@contextlib.contextmanager
def hostile():
    """Sockets that are closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda server: stack.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", server.port), 60)))


def hello_bytes(**fields: object) -> bytes:
    frame = frames_pb2.ClientFrame(id=1, hello=frames_pb2.Hello(version=1, **fields))
    data = frame.SerializeToString()
    return varint(len(data)) + data


def greeted(connect, server: Server, **hello: object) -> socket.socket:
    """A connection whose peer has small buffers, so that what it does not take stays with the server."""
    peer = connect(server)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.sendall(hello_bytes(**hello))
    assert peer.recv(1 << 16)
    return peer


def request_bytes(frame: frames_pb2.ClientFrame) -> bytes:
    data = frame.SerializeToString()
    return varint(len(data)) + data


def subscribe_bytes(id: int = 2, credit: int = 64 * MiB) -> bytes:
    frame = frames_pb2.ClientFrame(id=id)
    frame.subscribe.start.earliest = True
    if credit:
        frame.subscribe.credit = credit
    return request_bytes(frame)


def read_bytes(id: int) -> bytes:
    frame = frames_pb2.ClientFrame(id=id)
    frame.read.start.earliest = True
    return request_bytes(frame)


class Flood:
    """A peer that sends the same frames over and over, and reads nothing."""

    def __init__(self, peer: socket.socket, frames: bytes) -> None:
        self.peer = peer
        self.frames = frames
        self.sent = 0

    def send_on(self) -> None:
        """Sends what the server takes at once, up to all of the frames, from where it took no more before."""
        self.peer.settimeout(0)
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self.sent = (self.sent + self.peer.send(self.frames[self.sent :])) % len(self.frames)


def fill(server: Server, megabytes: int) -> None:
    """Records of 10 KB for those who are to be written much."""
    with server.connect(hub="filler") as hub:
        for _ in range(megabytes):
            assert hub.append(*[{"kind": "filler", "pad": "x" * 10_400}] * 100).appended.recorded == 100


def ignored_append_bytes() -> bytes:
    """An append that is answered with 20 KB: events that are ignored are named one by one."""
    append = b"\x12\x00" * 10_000
    append = b"\x08\x05\x1a" + varint(len(append)) + append
    return varint(len(append)) + append


def ping_bytes() -> bytes:
    return request_bytes(frames_pb2.ClientFrame(id=3, ping=frames_pb2.Ping(payload=b"p" * 1000)))


def reset(server: Server, beginning: bytes) -> None:
    """Connects, sends this much, and resets the connection."""
    with socket.create_connection(("127.0.0.1", server.port), 60) as peer:
        if beginning:
            peer.sendall(beginning)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def beginnings() -> list[bytes]:
    """How far peers get that reset their connections."""
    return [b"", hello_bytes(hub="h")[:5], hello_bytes(hub="h"), hello_bytes(hub="h", producer="p") + subscribe_bytes()]
