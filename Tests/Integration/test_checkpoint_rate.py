"""Checkpoints that are asked for are signed at a bounded rate, whoever asks and in whichever way: each is kept for ever."""

from __future__ import annotations

import threading
import time

import pytest
from hubaudit._proto import frames_pb2
from witness import Note, keygen
from wire import Connection, Server

RATE = 5
REQUESTS = 600


def asks_for_checkpoint(connection: Connection, size: int) -> frames_pb2.ClientFrame:
    frame = connection.request()
    frame.checkpoint.size = size
    return frame


def asks_for_proof(connection: Connection, size: int) -> frames_pb2.ClientFrame:
    frame = connection.request()
    frame.proof.inclusion = size - 1
    return frame


def asks_at_append(connection: Connection, size: int) -> frames_pb2.ClientFrame:
    frame = connection.append_frame({"kind": "k"})
    frame.append.proven = True
    return frame


def note_of(reply: frames_pb2.ServerFrame) -> bytes:
    kind = reply.WhichOneof("reply")
    return {"checkpoint": lambda: reply.checkpoint.note, "proof": lambda: reply.proof.checkpoint, "appended": lambda: reply.appended.checkpoint}[kind]()


@pytest.mark.parametrize("ask", [asks_for_checkpoint, asks_for_proof, asks_at_append])
def test_who_asks_for_more_checkpoints_than_are_signed_shares_them(tmp_path, ask):
    keygen(tmp_path / "log.key", "log.example/hubs")
    flags = ("--signing-key", str(tmp_path / "log.key"), "--checkpoint-rate", str(RATE), "--checkpoint-interval", "1h")
    with Server(tmp_path / "log", *flags) as server, server.connect(hub="h") as hub, server.connect(hub="auditor") as auditor:
        begin = time.monotonic()
        sizes = []

        def read() -> None:
            while len(sizes) < REQUESTS:
                reply = auditor.receive()
                assert reply is not None
                sizes.append(Note.read(note_of(reply).decode()).size)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        # One record, one request, as fast as records can be had.
        for size in range(1, REQUESTS + 1):
            assert hub.append({"kind": "k"}).appended.recorded == 1
            auditor.send(ask(auditor, size))
        reader.join(120)
        assert len(sizes) == REQUESTS
        seconds = time.monotonic() - begin
        # A second's worth at once, then so many a second, and the one at the start.
        assert len(set(sizes)) <= RATE + RATE * seconds + 2
        # Each covers what it was asked to.
        assert all(size >= number for number, size in enumerate(sorted(sizes), 1))


def test_a_connection_has_only_so_many_requests_that_wait_for_a_checkpoint(tmp_path):
    keygen(tmp_path / "log.key", "log.example/hubs")
    flags = ("--signing-key", str(tmp_path / "log.key"), "--checkpoint-rate", "1", "--checkpoint-interval", "1h")
    with Server(tmp_path / "log", *flags) as server, server.connect(hub="h") as hub:
        codes = set()
        for _ in range(3):
            # The last of them waits for a whole second.
            appended = hub.append({"kind": "k"}).appended
            for _ in range(1500):
                hub.send(asks_for_checkpoint(hub, appended.first_sequence + 1))
            for _ in range(1500):
                reply = hub.receive()
                codes.add((reply.error.code, reply.error.retry) if reply.HasField("error") else None)
        assert codes == {None, (frames_pb2.Error.Code.CODE_OVERLOADED, True)}
        assert hub.append({"kind": "k"}).appended.recorded == 1
