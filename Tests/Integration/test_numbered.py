"""Numbered events over a bare connection: an answer speaks only of what is in the log."""

from __future__ import annotations

import json
import random

import pytest
from hubaudit import Appended
from hubaudit._proto import frames_pb2
from wire import Connection, Server

Code = frames_pb2.Error.Code


def numbered_frame(connection: Connection, first: int, kinds: list[bool]) -> frames_pb2.ClientFrame:
    """An append of events from `first` on; those that are False make no record."""
    frame = connection.request()
    frame.append.producer_sequence = first
    for index, is_recorded in enumerate(kinds):
        event = frame.append.events.add()
        if is_recorded:
            event.custom = json.dumps({"kind": "n", "n": first + index}).encode()
        else:
            event.inbox_pressure.agent_id = "a"
    return frame


def append_numbers(connection: Connection, first: int, kinds: list[bool]) -> frames_pb2.ServerFrame:
    return connection.ask(numbered_frame(connection, first, kinds))


def in_log(connection: Connection, producer: str = "p") -> list[int]:
    return [record.header.producer_sequence for record in connection.read_all() if record.header.producer == producer]


@pytest.mark.parametrize("first", [498, 499, 1, 490])
def test_an_old_number_that_the_log_has_no_record_of_is_an_error_and_nothing_of_its_append_is_stored(server, first):
    connection = server.connect(hub="h", producer="p", producer_next=500)
    reply = append_numbers(connection, first, [True] * (501 - first))
    assert reply.error.code == Code.CODE_PRODUCER_NUMBER_UNKNOWN and reply.error.event == 0 and not reply.error.retry, reply
    reply = append_numbers(connection, first, [True])
    assert reply.error.code == Code.CODE_PRODUCER_NUMBER_UNKNOWN, reply
    assert in_log(connection) == []
    # No number was used by it.
    assert append_numbers(connection, 500, [True]).appended.recorded == 1
    assert append_numbers(connection, 498, [False, False, True]).appended.duplicates == 1
    assert in_log(connection) == [500]


def test_where_some_of_the_old_numbers_have_records_the_first_one_that_has_none_is_named(server):
    with server.connect(hub="h", producer="p") as connection:
        append_numbers(connection, 1, [True, True])
    with server.connect(hub="h", producer="p", producer_next=10) as connection:
        for kinds in ([True] * 4, [True] * 12):
            reply = append_numbers(connection, 1, kinds)
            assert reply.error.code == Code.CODE_PRODUCER_NUMBER_UNKNOWN and reply.error.event == 2, reply
        assert in_log(connection) == [1, 2]


def test_an_event_that_was_ignored_and_is_sent_again_as_another_is_not_taken_for_stored(server):
    connection = server.connect(hub="h", producer="p")
    assert append_numbers(connection, 1, [True, False, True]).appended.recorded == 2
    assert append_numbers(connection, 1, [True, True, True]).error.event == 1
    assert append_numbers(connection, 1, [True, True, True, True]).error.event == 1
    assert append_numbers(connection, 1, [True, False, True, True]).appended.recorded == 3
    assert in_log(connection) == [1, 3, 4]


class Model:
    """What a log without memory limits answers to one producer."""

    def __init__(self) -> None:
        self.next = 1
        self.records: dict[int, int] = {}
        self.end = 0

    def hello(self, declared: int) -> int:
        self.next = max(self.next, declared)
        return self.next

    def append(self, first: int, kinds: list[bool]) -> object:
        """The sequences of the events, or the error's code and what it names."""
        if first > self.next:
            return Code.CODE_PRODUCER_GAP, self.next
        numbers = range(first, first + len(kinds))
        for index, (number, is_recorded) in enumerate(zip(numbers, kinds, strict=True)):
            if is_recorded and number < self.next and number not in self.records:
                return Code.CODE_PRODUCER_NUMBER_UNKNOWN, index
        answer = []
        for number, is_recorded in zip(numbers, kinds, strict=True):
            if is_recorded and number >= self.next:
                self.records[number] = self.end
                self.end += 1
            answer.append(self.records[number] if is_recorded else None)
        self.next = max(self.next, numbers.stop)
        return tuple(answer)


def told(reply: frames_pb2.ServerFrame, events: int) -> object:
    if reply.WhichOneof("reply") == "error":
        named = reply.error.expected_producer_sequence if reply.error.code == Code.CODE_PRODUCER_GAP else reply.error.event
        return reply.error.code, named
    return Appended.from_wire(reply.appended, events).sequences


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_sent_in_whatever_pieces_is_answered_as_a_simple_model_does(tmp_path, seed):
    chance = random.Random(seed)
    model = Model()
    with Server(tmp_path / "log") as server:
        token = {}
        for _ in range(12):
            declared = chance.choice([1, model.next, model.next + chance.randint(1, 9)])
            connection = server.connect()
            welcome = connection.hello(hub="h", producer="p", producer_next=declared, **token)
            token = {"session_token": welcome.session_token}
            assert welcome.producer_next == model.hello(declared)
            for _ in range(12):
                expected = {}
                burst = []
                for _ in range(chance.randint(1, 6)):
                    first = max(1, model.next + chance.choice([0, 0, 0, -1, -2, -5, -12, 2]))
                    kinds = [chance.random() < 0.7 for _ in range(chance.choice([1, 2, 3, 8, 20]))]
                    frame = numbered_frame(connection, first, kinds)
                    burst.append(frame)
                    expected[frame.id] = (len(kinds), model.append(first, kinds))
                for frame in burst:
                    connection.send(frame)
                for _ in burst:
                    reply = connection.receive()
                    assert reply is not None
                    events, answer = expected.pop(reply.id)
                    assert told(reply, events) == answer, f"seed {seed}"
            connection.close()
        with server.connect(client="reader") as reader:
            assert in_log(reader) == sorted(model.records)


def test_a_frame_that_waits_for_its_old_numbers_is_answered_before_a_server_that_drains_closes(tmp_path):
    with Server(tmp_path / "log") as server:
        connection = server.connect(hub="h", producer="p")
        for number in range(1, 40):
            connection.send(numbered_frame(connection, max(1, number - 1), [True, True]))
        while (reply := connection.receive()) is not None and reply.id < connection.ids:
            assert reply.WhichOneof("reply") == "appended", reply
        assert reply is not None and reply.appended.recorded == 2
        assert server.stop() == 0
