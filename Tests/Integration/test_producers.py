"""Producers over bare connections: who has one, and which the server remembers."""

from __future__ import annotations

import json
import pathlib

import pytest
from hubaudit._proto import frames_pb2
from wire import Connection, Server

Code = frames_pb2.Error.Code


def refused(connection: Connection, **hello: object) -> frames_pb2.Error:
    """What a hello is refused with."""
    frame = connection.request()
    frame.hello.version = 1
    for name, value in hello.items():
        setattr(frame.hello, name, value)
    reply = connection.ask(frame)
    assert reply.WhichOneof("reply") == "error", reply
    # The connection ends.
    assert connection.receive() is None
    return reply.error


def visit(server: Server, hub: str, producer: str, events: int) -> None:
    with server.connect() as connection:
        connection.hello(hub=hub, producer=producer)
        if events:
            assert connection.append(*[{"kind": "k"}] * events, number=1).appended.recorded == events


def told_of_producers(connection: Connection) -> list[dict]:
    records = [json.loads(record.body.custom.json) for record in connection.read_all() if record.header.hub == "hubaudit"]
    return [record for record in records if record["kind"].startswith("producer_")]


def test_a_stranger_s_hello_does_not_silence_a_hub_whether_the_stranger_stays_or_leaves(server):
    hub = server.connect()
    token = hub.hello(hub="h", producer="p", producer_next=1).session_token
    assert len(token) == 16
    assert hub.append({"n": 1}, {"n": 2}, number=1).appended.recorded == 2
    error = refused(server.connect(), hub="h", producer="p", producer_next=1_000_000)
    assert error.code == Code.CODE_PRODUCER_GAP and error.expected_producer_sequence == 3 and "producer-jump" in error.message
    assert hub.append({"n": 3}, number=3).appended.recorded == 1
    next_number = 4
    for stays in (False, True):
        stranger = server.connect()
        welcome = stranger.hello(hub="h", producer="p", producer_next=next_number + 90_000)
        assert welcome.producer_next == next_number + 90_000 and welcome.session_token != token
        assert stranger.append({"kind": "strange"}, number=welcome.producer_next).appended.recorded == 1
        if not stays:
            stranger.close()
        reply = hub.append({"n": 4}, number=next_number)
        assert reply.error.code == Code.CODE_PRODUCER_SUPERSEDED and not reply.error.retry
        hub.close()
        hub = server.connect()
        welcome = hub.hello(hub="h", producer="p", producer_next=next_number - 1, session_token=token)
        assert welcome.session_token == token
        assert (welcome.producer_taken_at, welcome.producer_next) == (next_number, next_number + 90_001)
        # Neither what it never sent nor what the stranger sent is its own.
        for number in (next_number, next_number + 90_000):
            assert hub.append({"n": 4}, number=number).error.code == Code.CODE_PRODUCER_NUMBER_UNKNOWN
        next_number = welcome.producer_next
        assert hub.append({"n": 4}, number=next_number).appended.recorded == 1
        next_number += 1
        if stays:
            assert stranger.append({"kind": "strange"}, number=next_number).error.code == Code.CODE_PRODUCER_SUPERSEDED
        error = refused(server.connect(), hub="h", producer="p", producer_next=next_number)
        assert error.code == Code.CODE_PRODUCER_SUPERSEDED and error.retry
        # For the second round nobody has it.
        hub.close()
        if not stays:
            hub = server.connect()
            hub.hello(hub="h", producer="p", session_token=token)
            # A process that starts anew goes on where the hub was once that has gone.
            hub.close()
            hub = server.connect()
            while (welcome := hello_or_none(hub)) is None:
                hub = server.connect()
            token = welcome.session_token
    with server.connect(client="reader") as reader:
        own = told_of_producers(reader)
    assert {record["kind"] for record in own} == {"producer_jumped", "producer_taken_over", "producer_taken_back"}
    assert own[0] == {"kind": "producer_jumped", "hub": "h", "producer": "p", "from": 4, "to": 90_004}


def hello_or_none(connection: Connection) -> frames_pb2.Welcome | None:
    """The welcome to a hello without a token; None while the producer is defended."""
    frame = connection.request()
    frame.hello.version = 1
    frame.hello.hub, frame.hello.producer = "h", "p"
    reply = connection.ask(frame)
    return reply.welcome if reply.WhichOneof("reply") == "welcome" else None


@pytest.mark.parametrize("token", [b"", b"x", b"x" * 15, b"x" * 17, b"x" * 3000])
def test_a_token_of_another_length_is_none_and_the_hello_is_refused(server, token):
    assert refused(server.connect(), hub="h", producer="p", session_token=token).code == Code.CODE_INVALID_REQUEST


def test_a_token_that_the_server_does_not_know_counts_as_none(server):
    with server.connect() as one:
        welcome = one.hello(hub="h", producer="p", session_token=b"x" * 16)
        assert welcome.session_token not in (b"", b"x" * 16) and welcome.producer_next == 1
        with server.connect() as other:
            # That of another producer neither.
            other.hello(hub="h", producer="q", session_token=welcome.session_token)
            assert one.append({}, number=1).appended.recorded == 1


def test_hellos_and_records_of_other_hubs_make_the_server_forget_nothing(tmp_path: pathlib.Path):
    with Server(tmp_path / "log", "--producers", "64", "--hub-producers", "8") as server:
        visit(server, "victim", "v", 40)
        for index in range(600):
            visit(server, f"s{index}", "x", 0)
            visit(server, "one", f"x{index}", 0)
        for index in range(150):
            visit(server, f"s{index}", "x", 1)
            visit(server, "one", f"x{index}", 1)
        with server.connect() as victim:
            welcome = victim.hello(hub="victim", producer="v", producer_next=40)
            assert welcome.producer_next == 41 and not welcome.producer_forgotten and welcome.limits.hub_producers == 8
            reply = victim.append({"kind": "k"}, number=40)
            assert reply.appended.duplicates == 1, reply
        server.kill()
    # The state that a segment begins with, and what is read again at a start, are bounded alike.
    with Server(tmp_path / "log", "--producers", "64", "--hub-producers", "8") as server, server.connect() as victim:
        assert victim.hello(hub="victim", producer="v", producer_next=41).producer_next == 41


def test_a_producer_that_may_have_been_forgotten_is_told_and_what_it_sends_again_is_not_stored_twice(tmp_path: pathlib.Path):
    with Server(tmp_path / "log", "--hub-producers", "8") as server:
        visit(server, "h", "first", 5)
        held = server.connect(hub="h", producer="held")
        assert held.append({}, number=1).appended.recorded == 1
        for index in range(20):
            visit(server, "h", f"p{index}", 5)
        assert held.append({}, number=2).appended.recorded == 1
        with server.connect() as first:
            welcome = first.hello(hub="h", producer="first", producer_next=5)
            assert welcome.producer_forgotten and welcome.producer_next == 5
            for number in (5, 4, 1):
                assert first.append({"kind": "k"}, number=number).error.code == Code.CODE_PRODUCER_NUMBER_UNKNOWN
        # It does not get round that by asking again, with or without the token.
        for token in ({}, {"session_token": welcome.session_token}):
            with server.connect() as first:
                welcome = first.hello(hub="h", producer="first", producer_next=5, **token)
                assert welcome.producer_forgotten
                assert first.append({"kind": "k"}, number=5).error.code == Code.CODE_PRODUCER_NUMBER_UNKNOWN
        with server.connect() as other:
            # The token is good for this producer alone.
            assert other.hello(hub="h", producer="p0", producer_next=9, session_token=welcome.session_token).producer_forgotten
        with server.connect() as first:
            # Number 6 it may have sent too.
            welcome = first.hello(hub="h", producer="first", producer_next=7, session_token=welcome.session_token)
            assert welcome.producer_next == 7 and not welcome.producer_forgotten
            assert first.append({"kind": "k"}, number=7).appended.recorded == 1
        with server.connect(client="reader") as reader:
            numbers = [record.header.producer_sequence for record in reader.read_all() if record.header.producer == "first"]
        assert numbers == [1, 2, 3, 4, 5, 7]
