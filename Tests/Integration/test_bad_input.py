"""Whatever a peer sends, it gets a clear error on its request or its connection, and the others notice nothing."""

from __future__ import annotations

import json
import socket
import time

import pytest
from hubaudit._proto import frames_pb2
from wire import Connection, Server, varint

Code = frames_pb2.Error.Code


@pytest.fixture
def bystander(server: Server):
    """Another client, which must not notice anything: it appends before and after, and follows the log."""
    connection = server.connect(hub="bystander")
    assert connection.append({"kind": "before"}).appended.recorded == 1
    yield connection
    assert connection.append({"kind": "after"}).appended.recorded == 1
    connection.close()


def error_of(connection: Connection) -> frames_pb2.Error:
    reply = connection.receive()
    assert reply is not None, "the connection ended without a word"
    assert reply.WhichOneof("reply") == "error", reply
    assert reply.error.message
    return reply.error


def is_closed(connection: Connection) -> bool:
    return connection.receive() is None


def goes_on(connection: Connection) -> bool:
    frame = connection.request()
    frame.ping.payload = b"still there"
    return connection.ask(frame).pong.payload == b"still there"


def test_an_oversized_frame_is_refused_from_its_length_alone(server, bystander):
    connection = server.connect(hub="h")
    connection.send_bytes(varint((1 << 20) + 1))  # nothing else is sent
    error = error_of(connection)
    assert error.code == Code.CODE_FRAME_TOO_LARGE and "1048576" in error.message
    assert is_closed(connection)


def test_the_first_frame_has_a_smaller_limit(server, bystander):
    connection = server.connect()
    connection.send_bytes(varint(20_481))
    assert error_of(connection).code == Code.CODE_FRAME_TOO_LARGE
    assert is_closed(connection)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 100, b"\x05\xff\xff\xff\xff\xff", b"\xff" * 64, b"\x01\x00"])
def test_garbage_ends_the_connection_with_an_error(server, bystander, garbage):
    connection = server.connect()
    connection.send_bytes(garbage)
    assert error_of(connection).code in (Code.CODE_MALFORMED_FRAME, Code.CODE_FRAME_TOO_LARGE, Code.CODE_UNSUPPORTED_REQUEST)
    assert is_closed(connection)


def test_garbage_after_the_hello_ends_the_connection(server, bystander):
    connection = server.connect(hub="h")
    connection.send_bytes(b"\x04\x1a\x7f\x01\x02")
    assert error_of(connection).code == Code.CODE_MALFORMED_FRAME
    assert is_closed(connection)


def test_a_cut_frame_is_ended_at_its_deadline(tmp_path):
    with Server(tmp_path / "log", "--frame-timeout", "300ms") as server, server.connect(hub="h") as other, server.connect(hub="h") as connection:
        frame = connection.append_frame({"kind": "k"}).SerializeToString()
        connection.send_bytes(varint(len(frame)) + frame[:-1])
        error = error_of(connection)
        assert error.code == Code.CODE_TIMEOUT and "frame" in error.message
        assert is_closed(connection)
        assert other.append({"kind": "k"}).appended.first_sequence == 0


def test_a_frame_cut_by_the_end_of_the_connection_stores_nothing(server, bystander):
    connection = server.connect(hub="h")
    frame = connection.append_frame({"kind": "cut"}).SerializeToString()
    connection.send_bytes(varint(len(frame)) + frame[:-1])
    connection.socket.shutdown(socket.SHUT_WR)
    while connection.receive() is not None:
        pass
    assert [record.header.kind for record in bystander.read_all()] == ["before"]


def test_no_hello_in_time_ends_the_connection(tmp_path):
    with Server(tmp_path / "log", "--hello-timeout", "300ms") as server, server.connect() as connection:
        assert error_of(connection).code == Code.CODE_TIMEOUT
        assert is_closed(connection)


def test_an_unknown_field_of_a_request_is_refused_and_the_connection_goes_on(server, bystander):
    connection = server.connect(hub="h")
    frame = connection.append_frame({"kind": "k"})
    data = frame.SerializeToString() + b"\xc8\x06\x01"  # field 105
    connection.send_bytes(varint(len(data)) + data)
    error = error_of(connection)
    assert error.code == Code.CODE_UNSUPPORTED_REQUEST and "105" in error.message
    assert goes_on(connection)


def test_a_request_that_the_server_does_not_know_is_refused(server, bystander):
    connection = server.connect(hub="h")
    connection.send_bytes(b"\x02\x08\x07")  # an id and nothing else
    reply = connection.receive()
    assert reply.id == 7 and reply.error.code == Code.CODE_UNSUPPORTED_REQUEST
    assert goes_on(connection)


def test_a_request_without_an_id_is_refused(server, bystander):
    connection = server.connect(hub="h")
    connection.send(frames_pb2.ClientFrame(health=frames_pb2.HealthRequest()))
    assert error_of(connection).code == Code.CODE_INVALID_REQUEST
    assert goes_on(connection)


@pytest.mark.parametrize("version", [0, 2, 99])
def test_a_wrong_version_is_told_the_right_one(server, bystander, version):
    connection = server.connect()
    frame = connection.request()
    frame.hello.version = version
    reply = connection.ask(frame)
    assert reply.error.code == Code.CODE_UNSUPPORTED_VERSION and "speaks 1" in reply.error.message
    assert is_closed(connection)


def test_a_second_hello_is_refused(server, bystander):
    connection = server.connect(hub="h")
    frame = connection.request()
    frame.hello.version = 1
    assert connection.ask(frame).error.code == Code.CODE_INVALID_REQUEST
    assert goes_on(connection)


def test_append_before_hello_is_refused(server, bystander):
    connection = server.connect()
    reply = connection.append({"kind": "k"})
    assert reply.error.code == Code.CODE_HELLO_EXPECTED
    assert is_closed(connection)


def test_append_without_a_hub_is_refused(server, bystander):
    connection = server.connect(client="reader")
    assert connection.append({"kind": "k"}).error.code == Code.CODE_INVALID_REQUEST
    assert goes_on(connection)


def test_a_hub_name_over_256_bytes_is_refused(server, bystander):
    connection = server.connect()
    frame = connection.request()
    frame.hello.version = 1
    frame.hello.hub = "h" * 257
    reply = connection.ask(frame)
    assert reply.error.code == Code.CODE_INVALID_REQUEST and "256" in reply.error.message


@pytest.mark.parametrize("name", ["hubaudit", "Hubaudit", "hubaud\u0456t", " hub", "hub ", "a\nb", "a\u202eb", "\x1b[2J"])
def test_a_hub_name_that_misleads_is_refused_and_not_repeated_raw(server, bystander, name):
    connection = server.connect()
    frame = connection.request()
    frame.hello.version = 1
    frame.hello.hub = name
    reply = connection.ask(frame)
    assert reply.error.code == Code.CODE_INVALID_REQUEST and "hub's name" in reply.error.message
    assert reply.error.message.isprintable()


def test_an_event_of_a_newer_schema_is_stored_as_it_came_and_answered_as_recorded(server, bystander):
    connection = server.connect(hub="h")
    frame = connection.append_frame({"kind": "known"})
    promoted = frame.append.events.add().agent
    promoted.kind, promoted.agent_id = "promoted", "a-1"
    frame.append.events.add().channel.kind = "opened"  # AG2 names it and does not record it
    frame.append.events.add()
    later = bytes.fromhex("fa01020801")  # field 31 of Event
    body = frame.append.SerializeToString() + b"\x12" + varint(len(later)) + later
    data = b"\x08" + varint(frame.id) + b"\x1a" + varint(len(body)) + body
    connection.send_bytes(varint(len(data)) + data)
    appended = connection.receive().appended
    assert (appended.recorded, appended.ignored, list(appended.ignored_events)) == (3, 2, [2, 3])
    known, one, other = connection.read_all(appended.first_sequence)
    assert [record.header.kind for record in (known, one, other)] == ["known", "unrecognised", "unrecognised"]
    assert one.body.event == frame.append.events[1].SerializeToString() and other.body.event == later
    assert (one.body.unrecognised.agent_id, one.body.unrecognised.event_kind) == ("a-1", "promoted")
    assert other.body.unrecognised.event_field == 31
    request = connection.request()
    request.read.start.earliest = True
    request.read.filter.agents.append("a-1")
    assert [record.header.sequence for record in connection.ask(request).records.batch.records] == [appended.first_sequence + 1]


def bad_event(connection: Connection, event: bytes) -> frames_pb2.ServerFrame:
    """Sends an append of a good event and this one."""
    good = connection.append_frame({"kind": "good"}).append.events[0].SerializeToString()
    append = b"".join(b"\x12" + varint(len(one)) + one for one in (good, event))
    data = b"\x08\x63\x1a" + varint(len(append)) + append
    connection.send_bytes(varint(len(data)) + data)
    return connection.receive()


def test_bad_utf8_is_refused_with_field_and_event(server, bystander):
    connection = server.connect(hub="h")
    reply = bad_event(connection, b"\x0a\x04\x0a\x02a\xff")
    assert reply.id == 99 and reply.error.code == Code.CODE_INVALID_TEXT and reply.error.event == 1
    assert "agent_id" in reply.error.message and "UTF-8" in reply.error.message
    assert goes_on(connection)


def test_a_nul_in_text_is_refused(server, bystander):
    connection = server.connect(hub="h")
    reply = bad_event(connection, b"\x0a\x05\x0a\x03a\x00b")
    assert reply.error.code == Code.CODE_INVALID_TEXT and "NUL" in reply.error.message
    assert goes_on(connection)


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b'{"a":}', b"{}{}", b'{"a":"\xff"}', b'{"a":1}\x00', b"nonsense"])
def test_not_json_where_json_is_due_is_refused(server, bystander, text):
    connection = server.connect(hub="h")
    reply = connection.append({"kind": "good"}, text)
    assert reply.error.code == Code.CODE_INVALID_JSON and reply.error.event == 1
    assert "byte" in reply.error.message
    assert goes_on(connection)
    # All or nothing: the good event beside it was not stored.
    assert [record.header.kind for record in bystander.read_all()] == ["before"]


def test_not_json_in_an_expectations_params_is_refused(server, bystander):
    connection = server.connect(hub="h")
    frame = connection.request()
    event = frame.append.events.add().expectation_fired
    event.channel_id, event.params = "c", b"{'a': 1}"
    reply = connection.ask(frame)
    assert reply.error.code == Code.CODE_INVALID_JSON and "params" in reply.error.message


def test_a_record_over_the_limit_is_refused(tmp_path):
    with Server(tmp_path / "log", "--record-bytes", "2048") as server, server.connect(hub="h") as connection:
        reply = connection.append({"kind": "k"}, {"kind": "k", "x": "y" * 3000})
        assert reply.error.code == Code.CODE_RECORD_TOO_LARGE and reply.error.event == 1 and "2048" in reply.error.message
        assert connection.append({"kind": "k"}).appended.first_sequence == 0


def test_too_many_events_in_an_append_are_refused(tmp_path):
    with Server(tmp_path / "log", "--append-events", "3") as server, server.connect(hub="h") as connection:
        assert connection.append(*[{}] * 4).error.code == Code.CODE_LIMIT_EXCEEDED
        assert connection.append(*[{}] * 3).appended.recorded == 3


def test_a_memory_bomb_is_refused(server, bystander):
    connection = server.connect(hub="h")
    append = b"\x12\x00" * 500_000
    data = b"\x08\x05\x1a" + varint(len(append)) + append
    connection.send_bytes(varint(len(data)) + data)
    reply = connection.receive()
    assert reply.id == 5 and reply.error.code == Code.CODE_LIMIT_EXCEEDED
    assert goes_on(connection)


def test_deep_nesting_is_refused(server, bystander):
    connection = server.connect(hub="h")
    reply = connection.append(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
    assert reply.error.code == Code.CODE_INVALID_JSON and "256" in reply.error.message
    assert goes_on(connection)


def test_a_gap_in_a_producers_numbers_names_the_number_that_was_expected(server, bystander):
    connection = server.connect(hub="h", producer="p")
    assert connection.append({}, number=1).appended.recorded == 1
    reply = connection.append({}, number=5)
    assert reply.error.code == Code.CODE_PRODUCER_GAP and reply.error.expected_producer_sequence == 2
    assert connection.append({}, number=2).appended.recorded == 1


def test_numbers_without_a_producer_are_refused(server, bystander):
    connection = server.connect(hub="h")
    assert connection.append({}, number=1).error.code == Code.CODE_INVALID_REQUEST


def test_a_subscription_that_is_never_given_credit_is_ended_at_its_deadline(tmp_path):
    with Server(tmp_path / "log", "--credit-timeout", "300ms") as server, server.connect(hub="h") as connection:
        assert connection.append({"kind": "k"}).appended.recorded == 1
        frame = connection.request()
        frame.subscribe.start.earliest = True
        reply = connection.ask(frame)
        assert reply.subscription.state == frames_pb2.SubscriptionState.STATE_ENDED
        assert reply.subscription.error.code == Code.CODE_TIMEOUT and reply.subscription.next_sequence == 0
        assert goes_on(connection)


def test_a_position_beyond_the_end_is_refused(server, bystander):
    connection = server.connect(hub="h")
    for request in ("read", "subscribe"):
        frame = connection.request()
        getattr(frame, request).start.sequence = 1000
        reply = connection.ask(frame)
        error = reply.error if request == "read" else reply.subscription.error
        assert error.code == Code.CODE_INVALID_REQUEST and "1000" in error.message
    assert goes_on(connection)


def test_a_read_without_a_start_is_refused(server, bystander):
    connection = server.connect(hub="h")
    frame = connection.request()
    frame.read.limit = 1
    assert connection.ask(frame).error.code == Code.CODE_INVALID_REQUEST


def test_a_peer_that_does_not_read_is_cut_and_nobody_else_notices(tmp_path):
    with Server(tmp_path / "log", "--write-timeout", "500ms") as server, server.connect(hub="h") as other:
        for _ in range(40):
            assert other.append(*[{"x": "y" * 4000}] * 100).appended.recorded == 100
        lazy = server.connect(client="lazy")
        frame = lazy.request()
        frame.subscribe.start.earliest = True
        frame.subscribe.credit = 1 << 26
        lazy.send(frame)
        deadline = time.monotonic() + 30
        while not any(entry.get("message") == "connection cut" for entry in server.log):
            assert time.monotonic() < deadline, "the server did not cut it"
            assert other.append({"kind": "k"}).appended.recorded == 1


def test_more_connections_than_allowed_are_told_so(tmp_path):
    with Server(tmp_path / "log", "--connections", "2") as server, server.connect(hub="a") as one, server.connect(hub="b"):
        with server.connect() as third:
            assert error_of(third).code == Code.CODE_TOO_MANY_CONNECTIONS
            assert is_closed(third)
        assert one.append(json.dumps({"kind": "k"}).encode()).appended.recorded == 1


def peak_memory(server: Server) -> int:
    """The most memory that the server has had resident, in bytes."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


@pytest.mark.parametrize("producer", [None, "p"])
def test_many_small_requests_with_large_replies_that_nobody_reads_take_bounded_memory(server, bystander, producer):
    connection = Connection(server.port)
    hello = connection.request()
    hello.hello.version = 1
    hello.hello.hub = "h"
    if producer:
        hello.hello.producer = producer
    # Behind the hello at once: 200,000 requests whose replies are 11 KB each.
    data = hello.SerializeToString()
    request = b"\x04\x08\x07\x5a\x00"
    connection.socket.settimeout(0.5)
    try:
        connection.send_bytes(varint(len(data)) + data + request * 200_000)
    except TimeoutError:
        pass  # it is not listened to any more, as it should be
    assert bystander.append({"kind": "during"}).appended.recorded == 1
    assert peak_memory(server) < 150 << 20
    connection.close()


def test_ignored_events_count_against_the_limits_like_others(server, bystander):
    connection = server.connect(hub="h")
    append = b"\x12\x00" * 10_000
    data = b"\x08\x05\x1a" + varint(len(append)) + append
    for _ in range(200):
        connection.send_bytes(varint(len(data)) + data)
    for _ in range(200):
        assert connection.receive().appended.ignored == 10_000
    assert peak_memory(server) < 150 << 20
