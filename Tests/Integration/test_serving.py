"""The server over the wire: replay and live without a gap, positions, filters, numbers, drain."""

from __future__ import annotations

import signal
import threading

from hubaudit._proto import frames_pb2
from wire import Connection, Server

CAUGHT_UP = frames_pb2.SubscriptionState.STATE_CAUGHT_UP
ENDED = frames_pb2.SubscriptionState.STATE_ENDED


def subscribe(connection: Connection, credit: int = 1 << 26, **start: object) -> frames_pb2.ClientFrame:
    frame = connection.request()
    for name, value in start.items():
        setattr(frame.subscribe.start, name, value)
    frame.subscribe.credit = credit
    return frame


def follow(connection: Connection, frame: frames_pb2.ClientFrame, until: int) -> tuple[list[int], list[int]]:
    """Sequences that come up to `until`, and those before which it was said to have caught up."""
    sequences, caught_up = [], []
    while not sequences or sequences[-1] < until:
        reply = connection.receive()
        assert reply is not None and reply.id == frame.id
        if reply.WhichOneof("reply") == "records":
            sequences += [record.header.sequence for record in reply.records.batch.records]
            assert reply.records.next_sequence == sequences[-1] + 1
        elif reply.subscription.state == CAUGHT_UP:
            caught_up.append(reply.subscription.next_sequence)
    return sequences, caught_up


def test_large_commits_go_in_pieces_from_every_position(server):
    with server.connect(hub="h") as hub:
        for _ in range(10):
            assert hub.append(*[{"kind": "k", "pad": "x" * 100}] * 2000).appended.recorded == 2000
    for start in (0, 1, 700, 2500, 15_999, 19_999):
        with server.connect(client="s") as connection:
            frame = subscribe(connection, sequence=start)
            connection.send(frame)
            assert follow(connection, frame, 19_999)[0] == list(range(start, 20_000))


def test_replay_then_live_while_others_append(server):
    with server.connect(hub="h") as hub:
        for _ in range(20):
            hub.append(*[{"kind": "k"}] * 500)

        def append() -> None:
            with server.connect(hub="live") as live:
                for _ in range(200):
                    live.append(*[{"kind": "l"}] * 5)

        thread = threading.Thread(target=append)
        thread.start()
        with server.connect(client="s") as connection:
            frame = subscribe(connection, earliest=True)
            connection.send(frame)
            sequences, caught_up = follow(connection, frame, 10_999)
        thread.join()
    assert sequences == list(range(11_000))
    assert len(caught_up) == 1 and 10_000 <= caught_up[0] <= 11_000


def test_replay_from_disk_then_live_while_others_append(tmp_path):
    with Server(tmp_path / "log") as server, server.connect(hub="h") as hub:
        for _ in range(4):
            hub.append(*[{"kind": "k", "pad": "x" * 100}] * 500)
        assert server.stop() == 0
    # What was stored before the start is not in memory: each subscriber goes over from the files to the newest commits.
    with Server(tmp_path / "log") as server:
        stop = threading.Event()

        def append() -> None:
            with server.connect(hub="live") as live:
                while not stop.is_set():
                    live.append({"kind": "l"})

        thread = threading.Thread(target=append)
        thread.start()
        try:
            for _ in range(20):
                with server.connect(client="s") as connection:
                    frame = subscribe(connection, sequence=1_990)
                    connection.send(frame)
                    sequences, _ = follow(connection, frame, 2_050)
                    assert sequences == list(range(1_990, sequences[-1] + 1))
        finally:
            stop.set()
            thread.join()


def test_credit_is_kept_to_but_for_one_record(server):
    with server.connect(hub="h") as hub, server.connect(client="s") as connection:
        hub.append(*[{"kind": "k", "pad": "x" * 100}] * 1000)
        frame = subscribe(connection, credit=5000, earliest=True)
        connection.send(frame)
        granted, received, sequences = 5000, 0, []
        while len(sequences) < 1000:
            reply = connection.receive()
            received += len(reply.records.batch.SerializeToString())
            sequences += [record.header.sequence for record in reply.records.batch.records]
            assert received < granted + 500
            if received < granted or len(sequences) == 1000:
                continue
            # Nothing more comes until credit does: the next frame is the answer to a ping.
            ping = connection.request()
            ping.ping.payload = b"p"
            connection.send(ping)
            assert connection.receive().WhichOneof("reply") == "pong"
            credit = connection.request()
            credit.credit.subscription = frame.id
            credit.credit.bytes = 5000
            connection.send(credit)
            granted += 5000
        assert sequences == list(range(1000))


def test_filters_are_evaluated_on_the_server(server):
    with server.connect(hub="a") as a, server.connect(hub="b") as b, server.connect(client="s") as connection:
        frame = subscribe(connection, latest=True)
        frame.subscribe.filter.hubs.append("b")
        frame.subscribe.filter.kinds.append("wanted")
        assert connection.ask(frame).subscription.state == CAUGHT_UP
        a.append({"kind": "wanted"})
        b.append({"kind": "other"}, {"kind": "wanted", "n": 1})
        reply = connection.receive()
        assert [record.body.custom.json for record in reply.records.batch.records] == [b'{"kind": "wanted", "n": 1}']
        assert reply.records.next_sequence == 3
        # What does not match moves the position on all the same.
        a.append({"kind": "wanted"})
        reply = connection.receive()
        assert reply.subscription.state == frames_pb2.SubscriptionState.STATE_PROGRESS and reply.subscription.next_sequence == 4


def test_unsubscribe_ends_it_and_the_id_is_free_again(server):
    with server.connect(hub="h") as connection:
        frame = subscribe(connection, latest=True)
        assert connection.ask(frame).subscription.state == CAUGHT_UP
        end = connection.request()
        end.unsubscribe.subscription = frame.id
        connection.send(end)
        reply = connection.receive()
        assert reply.id == frame.id and reply.subscription.state == ENDED and not reply.subscription.HasField("error")
        connection.append({"kind": "k"})
        assert connection.ask(frame).subscription.state == CAUGHT_UP


def test_a_resent_append_is_answered_with_its_first_sequences_also_after_a_restart(tmp_path):
    with Server(tmp_path / "log") as server, server.connect(hub="h", producer="p") as one, server.connect(hub="other") as other:
        assert one.append({}, {}, number=1).appended.first_sequence == 0
        other.append({})
        assert one.append({}, number=3).appended.first_sequence == 3
        server.kill()
    with Server(tmp_path / "log") as server, server.connect() as connection:
        assert connection.hello(hub="h", producer="p").producer_next == 4
        appended = connection.append({}, {}, {}, {}, number=1).appended
        assert appended.recorded == 4 and appended.duplicates == 3 and list(appended.sequences) == [0, 1, 3, 4]
        assert len(connection.read_all()) == 5


def test_sigterm_answers_what_is_under_way_tells_subscribers_and_exits_0(tmp_path):
    with Server(tmp_path / "log") as server:
        hub = server.connect(hub="h")
        subscriber = server.connect(client="s")
        frame = subscribe(subscriber, latest=True)
        assert subscriber.ask(frame).subscription.state == CAUGHT_UP
        frames = [hub.append_frame({"n": n}) for n in range(50)]
        for one in frames:
            hub.send(one)
        # The first answer: at least that one was taken.
        replies = [hub.receive()]
        server.process.send_signal(signal.SIGTERM)
        while (reply := hub.receive()) is not None:
            replies.append(reply)
        # Each that was taken has its answer: stored, or refused since the server goes down.
        acknowledged = {reply.id: reply.appended.first_sequence for reply in replies if reply.WhichOneof("reply") == "appended"}
        refused = [reply for reply in replies if reply.WhichOneof("reply") == "error"]
        assert acknowledged and len(acknowledged) + len(refused) == len(replies)
        assert all(reply.error.code == frames_pb2.Error.CODE_DRAINING for reply in refused)
        pushed, state = [], None
        while (reply := subscriber.receive()) is not None:
            if reply.WhichOneof("reply") == "records":
                pushed += [record.header.sequence for record in reply.records.batch.records]
            else:
                state = reply.subscription
        assert state is not None and state.state == ENDED and state.error.code == frames_pb2.Error.CODE_DRAINING and state.error.retry
        assert server.process.wait(30) == 0
    with Server(tmp_path / "log") as server, server.connect() as connection:
        connection.hello()
        stored = {record.header.sequence: record.body.custom.json for record in connection.read_all()}
    for number, one in enumerate(frames):
        if one.id in acknowledged:
            assert stored[acknowledged[one.id]] == b'{"n": %d}' % number
    assert set(pushed) <= set(stored)


def test_a_sigterm_right_after_the_start_is_heard(tmp_path):
    for _ in range(100):
        with Server(tmp_path / "log") as server:
            assert server.stop() == 0
