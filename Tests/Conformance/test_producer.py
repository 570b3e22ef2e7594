"""What a producer sends, to a connection that only notes it: which events share a request, and which numbers they have."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hubaudit import Appended, errors
from hubaudit._entry import AwaitedEntry
from hubaudit._proto import frames_pb2
from hubaudit.producer import Producer

Error = frames_pb2.Error


class Wire:
    """A producer on a connection that notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, frames_pb2.Append]] = []
        self.welcome = frames_pb2.Welcome(producer_next=1)
        self.max_frame_bytes = 1 << 20
        self.producer = Producer("p", fresh=True, max_events=10_000, max_bytes=1 << 24)
        self.producer.attach(self)  # type: ignore[arg-type]

    def send(self, request: Any, *, at_once: bool, append: bytes) -> int:
        self.sent.append((request, frames_pb2.Append.FromString(append)))
        return len(self.sent)

    def submit(self, *counts: int, proven: bool = False) -> list[asyncio.Future]:
        entries = [AwaitedEntry([b""] * count, proven=proven) for count in counts]
        for entry in entries:
            self.producer.submit(entry)
        return [entry.future for entry in entries]

    async def shown(self) -> list[tuple[int, int]]:
        """First number and count of each request that was sent, once the loop has had its turns."""
        for _ in range(5):
            await asyncio.sleep(0)
        return [(append.producer_sequence, len(append.events)) for _, append in self.sent]

    def answer(self, index: int, first_sequence: int, **fields: Any) -> None:
        request, append = self.sent[index]
        answer = frames_pb2.Appended(recorded=len(append.events), first_sequence=first_sequence, **fields)
        request.on_reply(frames_pb2.ServerFrame(appended=answer))

    def refuse(self, index: int, code: int, **fields: Any) -> None:
        self.sent[index][0].on_reply(frames_pb2.ServerFrame(error=Error(code=code, **fields)))


def outcome(future: asyncio.Future) -> Any:
    return type(future.exception()) if future.exception() else future.result().sequences


async def test_what_is_submitted_in_one_turn_shares_requests_of_a_bounded_size() -> None:
    wire = Wire()
    futures = wire.submit(*[1] * 300, 1000, 1)
    assert await wire.shown() == [(1, 256), (257, 44), (301, 1000), (1301, 1)]
    for index, (number, _) in enumerate(await wire.shown()):
        wire.answer(index, number + 9)
    assert [outcome(future) for future in (futures[0], futures[299], futures[301])] == [(10,), (309,), (1310,)]
    assert outcome(futures[300]) == tuple(range(310, 1310))
    assert wire.producer.pending_events == 0


async def test_of_a_refused_request_only_the_event_that_is_to_blame_is_refused() -> None:
    wire = Wire()
    futures = wire.submit(1, 2, 1)
    assert await wire.shown() == [(1, 4)]
    later = wire.submit(1)
    assert await wire.shown() == [(1, 4), (5, 1)]
    wire.refuse(0, Error.CODE_INVALID_JSON, event=2)
    wire.refuse(1, Error.CODE_PRODUCER_GAP, expected_producer_sequence=1)
    # The numbers of the refused go to those behind.
    assert (await wire.shown())[2:] == [(1, 3)]
    wire.answer(2, 0)
    assert [outcome(future) for future in futures + later] == [(0,), errors.InvalidJSON, (1,), (2,)]
    assert futures[1].exception().event == 1


async def test_where_nobody_says_which_event_is_to_blame_each_is_sent_by_itself() -> None:
    wire = Wire()
    futures = wire.submit(1, 1, 1)
    await wire.shown()
    wire.refuse(0, Error.CODE_LIMIT_EXCEEDED)
    assert (await wire.shown())[1:] == [(1, 1), (2, 1), (3, 1)]
    wire.answer(1, 0)
    wire.refuse(2, Error.CODE_LIMIT_EXCEEDED)
    wire.refuse(3, Error.CODE_PRODUCER_GAP, expected_producer_sequence=2)
    assert (await wire.shown())[4:] == [(2, 1)]
    wire.answer(4, 1)
    assert [outcome(future) for future in futures] == [(0,), errors.LimitExceeded, (1,)]


async def test_what_was_on_its_way_is_sent_again_with_its_numbers_and_not_together_with_what_is_new() -> None:
    wire = Wire()
    futures = wire.submit(1, 1) + wire.submit(1, proven=True) + wire.submit(1)
    assert await wire.shown() == [(1, 2), (3, 1), (4, 1)]
    # The answer to a proven one may come after later ones.
    wire.answer(2, 3)
    wire.producer.detach()
    futures += wire.submit(1)
    assert wire.producer.next_to_answer == 1
    wire.producer.attach(SimpleNamespace(welcome=wire.welcome, max_frame_bytes=1 << 20, send=wire.send))  # type: ignore[arg-type]
    assert (await wire.shown())[3:] == [(1, 2), (3, 1), (5, 1)]
    wire.answer(3, 0, duplicates=1)
    assert [outcome(future) for future in futures[:2]] == [(0,), (1,)]
    assert [future.result().duplicates for future in futures[:2]] == [1, 0]
    # New numbers that the server knows are somebody else's.
    wire.answer(5, 4, duplicates=1)
    assert outcome(futures[4]) is errors.ProducerConflict


async def test_an_event_whose_number_is_used_and_unknown_fails_alone_and_those_behind_it_keep_their_numbers() -> None:
    wire = Wire()
    futures = wire.submit(1, 1, 1)
    assert await wire.shown() == [(1, 3)]
    futures += wire.submit(1)
    assert await wire.shown() == [(1, 3), (4, 1)]
    wire.refuse(0, Error.CODE_PRODUCER_NUMBER_UNKNOWN, event=1)
    wire.answer(1, 7)
    assert (await wire.shown())[2:] == [(1, 1), (3, 1)]
    wire.answer(2, 4, duplicates=1)
    wire.answer(3, 6, duplicates=1)
    assert [outcome(future) for future in futures] == [(4,), errors.ProducerConflict, (6,), (7,)]


@pytest.mark.parametrize("is_behind", [False, True])
async def test_a_number_is_not_given_out_twice_when_what_was_stored_under_it_is_refused_later(is_behind: bool) -> None:
    wire = Wire()
    proven = wire.submit(1, proven=True)
    assert await wire.shown() == [(1, 1)]
    # It is stored, and the connection is lost before the answer. The server comes back without its key.
    wire.producer.detach()
    behind = wire.submit(1) if is_behind else []
    unsigned = frames_pb2.Welcome(producer_next=2)
    wire.producer.attach(SimpleNamespace(welcome=unsigned, max_frame_bytes=1 << 20, send=wire.send))  # type: ignore[arg-type]
    assert (await wire.shown())[1:] == [(1, 1), (2, 1)][: 1 + is_behind]
    wire.refuse(1, Error.CODE_UNSUPPORTED_REQUEST, message="this log signs no checkpoints")
    if is_behind:
        wire.answer(2, 1)
    behind += wire.submit(1)
    # Under number 1 the server would take it for the one that it has, and drop it.
    assert (await wire.shown())[-1] == (2 + is_behind, 1)
    wire.answer(len(wire.sent) - 1, 1 + is_behind)
    assert "was stored" in str(proven[0].exception()) and proven[0].exception().code == "UNSUPPORTED_REQUEST"
    assert [outcome(future) for future in behind] == [(1,), (2,)][: 1 + is_behind]


@pytest.mark.parametrize(
    "answer",
    [
        frames_pb2.Appended(recorded=0, ignored=0),
        frames_pb2.Appended(recorded=1, first_sequence=3),
        frames_pb2.Appended(recorded=2),
        frames_pb2.Appended(recorded=2, sequences=[1]),
        frames_pb2.Appended(recorded=2, sequences=[1, 3, 4]),
        frames_pb2.Appended(recorded=1, ignored=1, ignored_events=[0, 1], first_sequence=3),
        frames_pb2.Appended(recorded=1, ignored=1, ignored_events=[2], first_sequence=3),
        frames_pb2.Appended(recorded=2, first_sequence=3, duplicates=3),
    ],
)
def test_an_answer_that_does_not_say_what_became_of_each_event_is_none(answer: frames_pb2.Appended) -> None:
    with pytest.raises(errors.ProtocolError):
        Appended.from_wire(answer, 2)


class OtherConnection:
    """A connection after the first one, with another welcome."""

    def __init__(self, wire: Wire, **welcome: Any) -> None:
        self.welcome = frames_pb2.Welcome(**welcome)
        self.max_frame_bytes = 1 << 20
        self.send = wire.send
        self.closed: errors.HubauditError | None = None

    def close(self, error: errors.HubauditError) -> None:
        self.closed = error


def reconnected(wire: Wire, **welcome: Any) -> OtherConnection:
    wire.producer.detach()
    connection = OtherConnection(wire, **welcome)
    wire.producer.attach(connection)  # type: ignore[arg-type]
    return connection


async def test_where_another_client_has_taken_the_producer_over_the_rest_goes_out_under_new_numbers() -> None:
    wire = Wire()
    futures = wire.submit(1, 1) + wire.submit(1, proven=True) + wire.submit(1)
    assert await wire.shown() == [(1, 2), (3, 1), (4, 1)]
    first = reconnected(wire, producer_next=1, session_token=b"t" * 16)
    assert (await wire.shown())[3:] == [(1, 2), (3, 1), (4, 1)]
    wire.refuse(4, Error.CODE_PRODUCER_SUPERSEDED)
    assert first.closed is not None
    assert wire.producer.session_token == b"t" * 16
    # The first two were stored, so the server says.
    reconnected(wire, producer_next=90, producer_taken_at=3)
    futures += wire.submit(1)
    assert (await wire.shown())[6:] == [(1, 2), (90, 1), (91, 1), (92, 1)]
    wire.answer(6, 0, duplicates=2)
    wire.answer(7, 9)
    wire.answer(8, 10)
    wire.answer(9, 11)
    assert [outcome(future) for future in futures] == [(0,), (1,), (9,), (10,), (11,)]
    assert wire.producer.next_to_answer == 93


async def test_where_the_server_has_forgotten_the_producer_what_was_sent_fails_and_the_rest_goes_out_under_fresh_numbers() -> None:
    wire = Wire()
    futures = wire.submit(1)
    await wire.shown()
    wire.answer(0, 0)
    futures += wire.submit(1, 1)
    assert (await wire.shown())[1:] == [(2, 2)]
    wire.producer.detach()
    futures += wire.submit(1)
    doubtful = reconnected(wire, producer_next=2, producer_forgotten=True)
    assert doubtful.closed is not None
    assert [outcome(future) for future in futures[:3]] == [(0,), errors.ProducerConflict, errors.ProducerConflict]
    assert wire.producer.next_to_answer == 4
    reconnected(wire, producer_next=4)
    assert (await wire.shown())[2:] == [(4, 1)]
    wire.answer(2, 5)
    assert outcome(futures[3]) == (5,) and wire.producer.pending_events == 0
    # Nothing is in doubt, and the server does not know that.
    assert reconnected(wire, producer_next=5, producer_forgotten=True).closed is not None
    assert wire.producer.next_to_answer == 6


async def test_where_nothing_says_whose_the_numbers_are_that_another_client_has_used_what_was_sent_fails() -> None:
    wire = Wire()
    futures = wire.submit(1)
    await wire.shown()
    wire.producer.detach()
    futures += wire.submit(1)
    reconnected(wire, producer_next=7)
    assert (await wire.shown())[1:] == [(7, 1)]
    wire.answer(1, 3)
    assert [outcome(future) for future in futures] == [errors.ProducerConflict, (3,)]


async def test_a_server_that_expects_a_number_far_below_gets_the_rest_under_the_numbers_from_there_on() -> None:
    wire = Wire()
    futures = wire.submit(1)
    await wire.shown()
    wire.answer(0, 0)
    futures += wire.submit(1)
    await wire.shown()
    wire.producer.detach()
    wire.producer.go_on_from(1)
    assert wire.producer.next_to_answer == 1
    reconnected(wire, producer_next=1)
    assert (await wire.shown())[2:] == [(1, 1)]


async def test_a_server_that_lost_acknowledged_events_is_sent_the_rest_with_the_numbers_that_it_expects() -> None:
    wire = Wire()
    wire.submit(1, 1)
    await wire.shown()
    wire.answer(0, 0)
    wire.submit(1)
    await wire.shown()
    wire.producer.detach()
    wire.submit(1)
    lost = frames_pb2.Welcome(producer_next=2)
    wire.producer.attach(SimpleNamespace(welcome=lost, max_frame_bytes=1 << 20, send=wire.send))  # type: ignore[arg-type]
    assert (await wire.shown())[2:] == [(2, 1), (3, 1)]
