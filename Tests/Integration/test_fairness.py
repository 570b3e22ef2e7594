"""Whose turn it is: seen in the order in which answers come, never in how long they take."""

from __future__ import annotations

import collections.abc
import contextlib
import select
import signal

from hubaudit._proto import frames_pb2
from peers import allow_files, subscribe_frame
from wire import Connection, Server, varint

Code = frames_pb2.Error.Code


def test_an_append_is_answered_while_a_commit_is_being_pushed_before_the_last_subscriber_has_it(tmp_path):
    count = 1500
    allow_files(2 * count + 1000)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "log"))
        first, second = (stack.enter_context(server.connect(hub=name)) for name in ("first", "second"))
        subscribers = {}
        for _ in range(count):
            connection = stack.enter_context(server.connect(client="subscriber"))
            state = connection.ask(subscribe_frame(connection, latest=True)).subscription
            assert state.state == frames_pb2.SubscriptionState.STATE_CAUGHT_UP
            subscribers[connection.socket.fileno()] = connection
        poll = select.epoll()
        stack.callback(poll.close)
        for number in [*subscribers, second.socket.fileno()]:
            poll.register(number, select.EPOLLIN)
        next = 0
        for _ in range(50):
            first.send(first.append_frame({"kind": "first", "pad": "x" * 3000}))
            assert poll.poll(60), "no subscriber is sent anything"
            # The first subscriber has it: the commit is being pushed now.
            reply = second.ask(second.append_frame({"kind": "second"}))
            assert reply.appended.recorded == 1
            late = count - len([number for number, _ in poll.poll(0, count + 1) if number in subscribers])
            follow(subscribers, next, next + 2)
            next += 2
            assert first.receive().appended.recorded == 1
            if late > 0:
                return
        raise AssertionError("every append waited until all subscribers had the commit before it")


def follow(subscribers: dict[int, Connection], start: int, end: int) -> None:
    """Every subscriber gets every record from start up to end once, in order."""
    for connection in subscribers.values():
        position = start
        while position < end:
            frame = connection.receive()
            assert frame is not None and frame.WhichOneof("reply") == "records", frame
            sequences = [record.header.sequence for record in frame.records.batch.records]
            assert sequences == list(range(position, frame.records.next_sequence))
            position = frame.records.next_sequence


def test_look_ups_of_numbers_that_no_record_has_take_turns_with_another_connections_read(tmp_path):
    look_ups = 5
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "log"))
        with server.connect(hub="filler") as filler:
            for _ in range(100):
                assert filler.append(*[{"kind": "filler", "pad": "x" * 100}] * 1000).appended.recorded == 1000
        resending = []
        for number in range(20):
            connection = stack.enter_context(server.connect(hub="re-sends", producer=f"p{number}", producer_next=2))
            assert connection.append({"kind": "second"}, number=2).appended.recorded == 1
            resending.append(connection)
        reader = stack.enter_context(server.connect(client="reads"))
        early = 0
        for connection in resending:
            # For each of these the whole log is gone through, as no record has the number.
            for _ in range(look_ups):
                connection.send(connection.append_frame({"kind": "first"}, number=1))
            # What is answered behind them says that they are being looked up.
            frame = connection.append_frame({"kind": "third"})
            connection.send(frame)
            while (reply := connection.receive()).id != frame.id:
                early += not_there(reply)
        read = reader.request()
        read.read.start.earliest = True
        read.read.limit = 1
        reply = reader.ask(read)
        assert reply.records.batch.records[0].header.sequence == 0
        early += sum(not_there(connection.receive()) for connection in resending for _ in waiting(connection))
        assert early < len(resending) * look_ups // 2, "the read waited for the look-ups"
        for connection in resending:
            assert connection.ask(connection.append_frame({"kind": "first"}, number=1)).error.code == Code.CODE_PRODUCER_NUMBER_UNKNOWN


def waiting(connection: Connection) -> collections.abc.Iterator[None]:
    """Goes on as long as something has come that was not taken."""
    while connection.buffer or select.select([connection.socket], [], [], 0)[0]:
        yield


def not_there(reply: frames_pb2.ServerFrame) -> int:
    assert reply.error.code == Code.CODE_PRODUCER_NUMBER_UNKNOWN, reply
    return 1


def test_a_connection_that_floods_leaves_others_their_turn(tmp_path):
    """Its append stands behind thousands of its own requests; another's, sent later, comes first."""
    count = 8000

    def requests(connection: Connection, request: str) -> bytes:
        frames = []
        for _ in range(count):
            frame = connection.request()
            if request == "ping":
                frame.ping.SetInParent()
            else:
                frame.append.events.add().custom = b"{}"
            data = frame.SerializeToString()
            frames.append(varint(len(data)) + data)
        return b"".join(frames)

    for request in ("ping", "append"):
        with Server(tmp_path / request) as server, server.connect(hub="flood") as flood, server.connect(hub="other") as other:
            # The server reads more at once from a connection that has sent much.
            for _ in range(4):
                flood.send_bytes(requests(flood, request))
                for _ in range(count):
                    assert flood.receive() is not None
            many = requests(flood, request)
            server.process.send_signal(signal.SIGSTOP)
            flood.send_bytes(many)
            flood.send(flood.append_frame({"kind": "flood's last"}))
            other.send(other.append_frame({"kind": "other"}))
            server.process.send_signal(signal.SIGCONT)
            for _ in range(count + 1):
                assert flood.receive() is not None
            assert other.receive() is not None
            start = 5 * count if request == "append" else 0
            last = [record.header.kind for record in other.read_all(start - count if start else 0)]
            assert last.index("other") < last.index("flood's last"), request
            if request == "append":
                assert last.index("other") < count - 1000
