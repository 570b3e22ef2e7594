"""PROTOCOL.md's worked bytes, sent as they are to a server: it answers as the page says, but for times and random bytes."""

from __future__ import annotations

import hashlib
import pathlib
import re
import socket

from google.protobuf import text_format
from hubaudit._proto import frames_pb2
from wire import ROOT, Server

PAGE = (ROOT / "Proto" / "hubaudit" / "v1" / "PROTOCOL.md").read_text()


def example(title: str) -> tuple[str, bytes]:
    """The text and the bytes under a heading."""
    match = re.search(rf"### {title}\n\n```textproto\n(.*?)```\n\n```hex\n(.*?)```", PAGE, re.DOTALL)
    return match[1], bytes.fromhex(match[2])


def answer(stream) -> frames_pb2.ServerFrame:
    length = shift = 0
    while True:
        byte = stream.read(1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return frames_pb2.ServerFrame.FromString(stream.read(length))


def expected(title: str) -> frames_pb2.ServerFrame:
    return text_format.Parse(example(title)[0], frames_pb2.ServerFrame())


def test_the_server_answers_the_page_as_the_page_says(tmp_path: pathlib.Path):
    with Server(tmp_path / "log") as server, socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        stream = connection.makefile("rb")
        connection.sendall(example("Hello")[1])
        welcome = answer(stream)
        assert len(welcome.welcome.log_id) == 16
        assert len(welcome.welcome.session_token) == 16
        welcome.welcome.log_id = expected("Welcome").welcome.log_id
        welcome.welcome.session_token = expected("Welcome").welcome.session_token
        assert welcome == expected("Welcome")

        connection.sendall(example("An append of one event")[1])
        assert answer(stream) == expected("Its answer")

        connection.sendall(example("A subscribe from the beginning")[1])
        push, page = answer(stream), expected("A push")
        leaf = hashlib.sha256(b"\0" + push.records.batch.records[0].header.SerializeToString()).digest()
        record, wanted = push.records.batch.records[0], page.records.batch.records[0]
        for header in (record.header, wanted.header):
            header.ClearField("received_at")
            header.ClearField("body_sha256")
        for message in (record, wanted):
            message.ClearField("crc32c")
            message.body.ClearField("salt")
        assert push == page
        caught_up, page = answer(stream), expected("Caught up")
        assert caught_up.subscription.leaf_hash == leaf
        page.subscription.leaf_hash = leaf
        assert caught_up == page

        # Numbers 2 to 4 are missing: the page's error is the answer to this.
        gap = frames_pb2.ClientFrame(id=4)
        gap.append.producer_sequence = 5
        gap.append.events.add().custom = b"{}"
        frame = gap.SerializeToString()
        connection.sendall(bytes([len(frame)]) + frame)
        assert answer(stream) == expected("An error")
