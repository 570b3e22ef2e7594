"""A request is understood whole or not carried out, and whoever has asked is answered."""

from __future__ import annotations

import socket

import pytest
from hubaudit._proto import frames_pb2
from wire import Connection, Server, varint

Error = frames_pb2.Error

TRUE = b"\x08\x01"
LATEST = b"\x10\x01"
SEQUENCE = b"\x19" + bytes(8)


def part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def ask_bytes(connection: Connection, request: bytes, id: int = 77) -> frames_pb2.ServerFrame:
    data = b"\x08" + varint(id) + request
    connection.send_bytes(varint(len(data)) + data)
    reply = connection.receive()
    assert reply is not None, "the connection ended without a word"
    return reply


AMBIGUOUS = {
    "two starts of a read": (part(4, part(1, TRUE + SEQUENCE)), "earliest is set already"),
    "two starts of a subscribe": (part(5, part(1, LATEST + TRUE)), "latest is set already"),
    "a start sent twice": (part(4, part(1, TRUE) + part(1, TRUE)), "Read.start"),
    "a start that is not chosen": (part(4, part(1, b"\x08\x00")), "earliest: false"),
    "the newest record, not chosen": (part(5, part(1, b"\x10\x00") + b"\x18\x01"), "latest: false"),
    "a request sent twice": (part(8, b"") + part(8, b""), "health"),
    "two requests": (part(8, b"") + part(12, b""), "health is set already"),
    "two appends": (part(3, part(2, part(10, b"{}"))) * 2, "append"),
    "two ids": (b"\x08\x05" + part(8, b""), "ClientFrame.id"),
    "a number out of range": (part(2, b"\x08" + varint((1 << 32) + 1)), "Hello.version"),
    "two subjects of a proof": (part(10, b"\x09" + bytes(8) + b"\x11" + bytes(8)), "inclusion is set already"),
    "two event arms": (part(3, part(2, part(10, b"{}") + part(1, b""))), "custom is set already"),
    "an event sent twice": (part(3, part(2, part(10, b"{}") * 2)), "Event.custom"),
    "a field of an event sent twice": (part(3, part(2, part(1, part(1, b"a") + part(1, b"b")))), "agent_id"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_can_be_understood_in_two_ways_is_refused_by_name(server: Server, case: str):
    request, words = AMBIGUOUS[case]
    with server.connect(hub="h") as connection:
        reply = ask_bytes(connection, request)
        assert reply.error.code == Error.CODE_INVALID_REQUEST, reply
        # Of two ids nobody knows which.
        assert reply.id == (5 if case == "two ids" else 77)
        assert words in reply.error.message, reply.error.message
        assert connection.read_all() == [], "something of it was carried out"


@pytest.mark.parametrize("place", ["request", "append"])
def test_an_unknown_group_is_refused_by_name_and_the_connection_goes_on(server: Server, place: str):
    group = b"\xcb\x06\x08\x01\xcc\x06"  # field 105
    with server.connect(hub="h") as connection:
        event = part(2, part(10, b"{}"))
        request = group + part(3, event) if place == "request" else part(3, event + group)
        reply = ask_bytes(connection, request)
        assert (reply.id, reply.error.code) == (77, Error.CODE_UNSUPPORTED_REQUEST) and "105" in reply.error.message
        assert connection.append({"kind": "k"}).appended.first_sequence == 0


def test_an_unknown_group_of_an_event_is_kept(server: Server):
    group = b"\xcb\x06\x08\x01\xcc\x06"
    event = part(2, part(1, b"c") + part(2, b"closed") + group)
    with server.connect(hub="h") as connection:
        assert ask_bytes(connection, part(3, part(2, event))).appended.recorded == 1
        (record,) = connection.read_all()
        assert record.header.kind == "channel_closed" and record.body.event == event


REQUESTS = {
    "append": lambda f: f.append.events.add().__setattr__("custom", b"{}"),
    "read": lambda f: f.read.start.__setattr__("earliest", True),
    "subscribe": lambda f: f.subscribe.start.__setattr__("earliest", True),
    "health": lambda f: f.health.SetInParent(),
    "settings": lambda f: f.settings.SetInParent(),
    "ping": lambda f: f.ping.SetInParent(),
    "schema": lambda f: f.schema.SetInParent(),
    "checkpoint": lambda f: f.checkpoint.SetInParent(),
    "proof": lambda f: f.proof.__setattr__("inclusion", 0),
    "credit": lambda f: f.credit.__setattr__("subscription", 50),
    "unsubscribe": lambda f: f.unsubscribe.__setattr__("subscription", 50),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_id_of_a_subscription_under_way_is_refused_for_every_request(server: Server, name: str):
    with server.connect(hub="h") as connection:
        frame = frames_pb2.ClientFrame(id=50)
        frame.subscribe.start.latest = True
        frame.subscribe.credit = 1 << 20
        assert connection.ask(frame).subscription.state == frames_pb2.SubscriptionState.STATE_CAUGHT_UP
        again = frames_pb2.ClientFrame(id=50)
        REQUESTS[name](again)
        error = connection.ask(again).error
        assert error.code == Error.CODE_INVALID_REQUEST and "50" in error.message
        # The subscription goes on.
        connection.send(connection.append_frame({"kind": "k"}))
        replies = [connection.receive(), connection.receive()]
        assert sorted(reply.WhichOneof("reply") for reply in replies) == ["appended", "records"]


def test_ending_what_has_just_ended_is_no_error(server: Server):
    with server.connect(hub="h") as connection:
        read = connection.request()
        read.read.start.earliest = True
        assert connection.ask(read).WhichOneof("reply") == "read_end"
        subscribe = connection.request()
        subscribe.subscribe.start.sequence = 99
        assert connection.ask(subscribe).subscription.state == frames_pb2.SubscriptionState.STATE_ENDED
        for id in (read.id, subscribe.id):
            frame = connection.request()
            frame.unsubscribe.subscription = id
            connection.send(frame)
        ping = connection.request()
        ping.ping.payload = b"x"
        connection.send(ping)
        # The first thing that comes: nothing answers an unsubscribe.
        assert connection.receive().id == ping.id


def everything(connection: Connection) -> list[frames_pb2.ServerFrame]:
    frames = []
    while (frame := connection.receive()) is not None:
        frames.append(frame)
    return frames


def test_who_sends_and_shuts_down_gets_all_answers_and_then_the_end(server: Server):
    with server.connect() as connection:
        hello = connection.request()
        hello.hello.version, hello.hello.hub, hello.hello.producer = 1, "h", "p"
        frames = [hello]
        for number in range(1, 101):
            frames.append(connection.append_frame({"n": number, "text": "x" * 2000}, number=number))
        last = connection.request()
        last.read.start.earliest = True
        data = b"".join(varint(len(one)) + one for one in (frame.SerializeToString() for frame in [*frames, last]))
        connection.send_bytes(data)
        connection.socket.shutdown(socket.SHUT_WR)
        replies = everything(connection)
    kinds = [reply.WhichOneof("reply") for reply in replies]
    assert kinds[0] == "welcome" and kinds.count("appended") == 100 and kinds[-1:] in (["read_end"], ["appended"]) and "read_end" in kinds
    with server.connect(client="reader") as reader:
        assert len(reader.read_all()) == 100


def test_a_large_read_reaches_who_has_shut_down_and_takes_it_slowly(server: Server):
    with server.connect(hub="h") as connection:
        for _ in range(20):
            assert connection.append(*[{"text": "y" * 4000}] * 100).appended.recorded == 100
        frame = connection.request()
        frame.read.start.earliest = True
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.send(frame)
        connection.socket.shutdown(socket.SHUT_WR)
        replies = everything(connection)
    assert sum(len(reply.records.batch.records) for reply in replies) == 2000
    assert replies[-1].read_end.records == 2000


def test_a_subscription_of_who_has_shut_down_is_served_and_ended(server: Server):
    with server.connect(hub="h") as connection:
        assert connection.append(*[{"n": n} for n in range(10)]).appended.recorded == 10
        for credit in (1 << 20, 1):
            frame = connection.request()
            frame.subscribe.start.earliest = True
            frame.subscribe.credit = credit
            connection.send(frame)
        connection.socket.shutdown(socket.SHUT_WR)
        replies = everything(connection)
    rich, poor = ([reply for reply in replies if reply.id == id] for id in (frame.id - 1, frame.id))
    assert sum(len(reply.records.batch.records) for reply in rich) == 10
    assert rich[-1].subscription.state == poor[-1].subscription.state == frames_pb2.SubscriptionState.STATE_ENDED
    assert rich[-1].subscription.next_sequence == 10 and 0 < poor[-1].subscription.next_sequence < 10
    assert not rich[-1].subscription.HasField("error")


@pytest.mark.parametrize("sent", [b"", b"\x05\x08\x01"])
def test_who_shuts_down_before_the_hello_is_let_go_at_once(server: Server, sent: bytes):
    with server.connect() as connection:
        connection.send_bytes(sent)
        connection.socket.shutdown(socket.SHUT_WR)
        assert everything(connection) == []


def test_an_error_reaches_who_has_shut_down(server: Server):
    with server.connect() as connection:
        connection.send_bytes(b"\x04\x1a\x7f\x01\x02")
        connection.socket.shutdown(socket.SHUT_WR)
        (reply,) = everything(connection)
        assert reply.error.code == Error.CODE_MALFORMED_FRAME
