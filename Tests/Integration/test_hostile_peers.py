"""Peers that hold connections, send byte by byte, take nothing or everything at once: each is ended for a reason that it is told or the
log tells, what the server holds for them is bounded, and connected hubs and subscribers notice nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest
from hostile import (
    Flood,
    MiB,
    beginnings,
    fill,
    greeted,
    hello_bytes,
    hostile,
    ignored_append_bytes,
    ping_bytes,
    read_bytes,
    reset,
    subscribe_bytes,
)
from hubaudit._proto import frames_pb2
from peers import GoodPeers, allow_files, ended, eventually, logged, memory, metric, open_files, subscribe_frame
from wire import BINARY, Connection, Server, varint

Code = frames_pb2.Error.Code
# What a connection takes that sends next to nothing: its objects and the bytes that it sent.
IDLE_BYTES = 20 << 10
# A read or a subscription under way.
REQUEST_BYTES = 1 << 10
# The allocator's and the good peers' own.
SLACK_BYTES = 48 * MiB
GOOD = 2


def last_frames(peer: socket.socket) -> list[frames_pb2.ServerFrame]:
    """All that the server has sent, up to the end of the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := peer.recv(1 << 18):
            data += more
    frames = []
    while data:
        length = shift = index = 0
        while True:
            byte = data[index]
            length |= (byte & 0x7F) << shift
            shift += 7
            index += 1
            if byte < 0x80:
                break
        frames.append(frames_pb2.ServerFrame.FromString(data[index : index + length]))
        data = data[index + length :]
    return frames


def only_good_ones_are_left(server: Server) -> None:
    eventually(lambda: metric(server, "hubaudit_connections") == GOOD, "hostile connections stay open")


def test_8000_half_open_connections_are_ended_at_their_deadline(tmp_path):
    count = 8000
    allow_files(count + 1000)
    with Server(tmp_path / "log", "--hello-timeout", "15s") as server, GoodPeers(server) as good, hostile() as connect:
        before = memory(server)
        beginnings = [b"", hello_bytes(hub="h")[:1], hello_bytes(hub="half of a hello")[:9]]
        peers = []
        for number in range(count):
            peers.append(connect(server))
            peers[-1].sendall(beginnings[number % 3])
        eventually(lambda: metric(server, "hubaudit_connections") == count + GOOD, "they are not all open at once")
        good.go_on()
        for peer in peers:
            (frame,) = last_frames(peer)
            assert frame.error.code == Code.CODE_TIMEOUT and "hello" in frame.error.message and frame.error.retry
            peer.close()
        only_good_ones_are_left(server)
        assert ended(server, "timeout") == count
        assert 0 < logged(server, "no hello came within") <= 20
        assert memory(server) - before < count * IDLE_BYTES + SLACK_BYTES
        good.go_on()


def test_at_the_limit_a_new_connection_takes_the_place_of_the_one_without_a_hello_for_longest(tmp_path):
    limit = 300
    with Server(tmp_path / "log", "--connections", str(limit), "--hello-timeout", "10m") as server, hostile() as connect:
        with GoodPeers(server) as good:
            peers = [connect(server) for _ in range(2 * limit)]
            # The one that has given its place last may still be closing.
            assert metric(server, "hubaudit_connections") <= limit + 1
            eventually(lambda: metric(server, "hubaudit_connections") <= limit, "more than the limit are open")
            good.go_on()
            # A hub that comes now is let in, though the hostile ones hold every place.
            with server.connect(hub="new") as new:
                assert new.append({"kind": "k"}).appended.recorded == 1
            for peer in peers[:limit]:
                (frame,) = last_frames(peer)
                assert frame.error.code == Code.CODE_TOO_MANY_CONNECTIONS and str(limit) in frame.error.message
            for peer in peers:
                peer.close()
            only_good_ones_are_left(server)
            good.go_on()


def test_connections_that_said_hello_keep_their_places_and_a_flood_of_new_ones_is_refused(tmp_path):
    limit = 100
    with Server(tmp_path / "log", "--connections", str(limit)) as server, hostile() as connect, GoodPeers(server) as good:
        held = [server.connect(client="held") for _ in range(limit - GOOD)]
        peers = [connect(server) for _ in range(1000)]
        # Those over the limit are closed, and only so many of them wait for the peer to read why.
        assert metric(server, "hubaudit_connections") <= limit + 64 + 1
        good.go_on()
        codes = [frame.error.code for peer in peers for frame in last_frames(peer)]
        assert codes == [Code.CODE_TOO_MANY_CONNECTIONS] * len(peers)
        for connection in held:
            assert connection.ask(ping(connection)).pong.payload == b"p"
            connection.close()
        only_good_ones_are_left(server)


def ping(connection: Connection, payload: bytes = b"p") -> frames_pb2.ClientFrame:
    frame = connection.request()
    frame.ping.payload = payload
    return frame


@pytest.mark.parametrize("greets", [False, True])
def test_a_frame_that_comes_byte_by_byte_ends_at_its_deadline(tmp_path, greets):
    flags = ("--frame-timeout", "400ms") if greets else ("--hello-timeout", "400ms")
    with Server(tmp_path / "log", *flags) as server, GoodPeers(server) as good, hostile() as connect:
        peers = [connect(server) for _ in range(20)]
        frame = hello_bytes(hub="slow", client="x" * 200)
        if greets:
            for peer in peers:
                peer.sendall(frame)
                assert peer.recv(1 << 16)
            frame = varint(2000) + frame * 5
        # One byte each whenever the good hub has had an answer, and never the last one: no pace of this loop completes the frame.
        told: dict[socket.socket, bytes] = {}
        sent = 0
        while len(told) < len(peers):
            good.go_on(1)
            sent += 1
            for peer in peers:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if peer not in told and sent < len(frame):
                        peer.sendall(frame[sent - 1 : sent])
                peer.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    if peer not in told:
                        told[peer] = peer.recv(1 << 16)
        for data in told.values():
            error = frames_pb2.ServerFrame.FromString(data[data[0] // 128 + 1 :]).error
            assert error.code == Code.CODE_TIMEOUT and "within 0.4 seconds" in error.message
        for peer in peers:
            peer.close()
        only_good_ones_are_left(server)
        assert ended(server, "timeout") == len(peers)
        assert logged(server, "within 0.4 seconds") > 0


def test_peers_that_read_nothing_are_cut_and_nobody_else_notices(tmp_path):
    with Server(tmp_path / "log", "--write-timeout", "1s") as server, hostile() as connect:
        fill(server, 5)
        with GoodPeers(server) as good:
            subscribers = [greeted(connect, server, client="subscriber") for _ in range(5)]
            for peer in subscribers:
                peer.sendall(subscribe_bytes())
            readers = [greeted(connect, server, client="reader") for _ in range(5)]
            for peer in readers:
                peer.sendall(read_bytes(2))
            floods = [Flood(greeted(connect, server, hub="never reads its answers"), ignored_append_bytes() * 20) for _ in range(5)]
            floods += [Flood(greeted(connect, server, client="pings for ever"), ping_bytes() * 500) for _ in range(5)]

            def all_are_cut() -> bool:
                # Until then: an answer that the kernel still takes is one that the server does not wait with.
                for flood in floods:
                    flood.send_on()
                return ended(server, "unread") == 20

            eventually(all_are_cut, "they are not all cut")
            only_good_ones_are_left(server)
            assert metric(server, "hubaudit_subscriptions") == 1
            good.go_on()


def test_a_peer_that_leaves_the_last_kilobytes_is_cut_too(tmp_path):
    # Less than what makes the server stop writing: what nobody takes does not stay for ever.
    with Server(tmp_path / "log", "--write-timeout", "1s") as server, hostile() as connect:
        with server.connect(hub="filler") as hub:
            hub.append(*[{"kind": "filler", "pad": "x" * 10_000}] * 60)
        with GoodPeers(server) as good:
            peer = greeted(connect, server, client="lazy")
            peer.sendall(read_bytes(2))
            eventually(lambda: ended(server, "unread") == 1, "it is not cut")
            only_good_ones_are_left(server)
            good.go_on()


def test_a_slow_reader_is_not_cut_while_it_takes_something(tmp_path):
    with Server(tmp_path / "log", "--write-timeout", "2s") as server:
        with server.connect(hub="filler") as hub:
            hub.append(*[{"kind": "filler", "pad": "x" * 10_000}] * 60)
        with GoodPeers(server) as good, server.connect() as connection:
            # With so little room the peer takes some 40 KB a second, and the server's kernel asks for more only every 64 KiB.
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.hello(client="slow")
            records = connection.read_all()
            assert [record.header.sequence for record in records] == list(range(len(records))) and len(records) > 60
            assert connection.ask(ping(connection)).pong.payload == b"p"
            assert ended(server, "unread") == 0
            good.go_on()


def test_a_subscriber_that_gives_no_credit_loses_its_subscription(tmp_path):
    with Server(tmp_path / "log", "--credit-timeout", "400ms") as server, hostile() as connect:
        fill(server, 1)
        with GoodPeers(server) as good:
            for credit in (0, 1):
                ended_before = ended(server, "subscription_timeout")
                peer = greeted(connect, server, client="gives none")
                peer.sendall(subscribe_bytes(credit=credit))
                eventually(lambda: ended(server, "subscription_timeout") > ended_before, "its subscription goes on")
                assert metric(server, "hubaudit_subscriptions") == 1
                peer.sendall(hello_bytes())
                peer.shutdown(socket.SHUT_WR)
                states = [frame.subscription for frame in last_frames(peer) if frame.HasField("subscription")]
                assert [state.error.code for state in states] == [Code.CODE_TIMEOUT]
            assert ended(server, "subscription_timeout") == 2 and logged(server, "no credit came for") == 2
            only_good_ones_are_left(server)
            good.go_on()


def test_peers_that_connect_and_reset_leave_nothing_behind(tmp_path):
    with Server(tmp_path / "log") as server, GoodPeers(server) as good:
        files = open_files(server)
        ways = beginnings()
        for number in range(4000):
            reset(server, ways[number % len(ways)])
            if number == 1000:
                eventually(lambda: metric(server, "hubaudit_connections") < GOOD + 10, "connections that were reset stay open")
                before = memory(server)
        good.go_on()
        only_good_ones_are_left(server)
        assert metric(server, "hubaudit_subscriptions") == 1
        # The console's connection, which is closed, may be one more.
        eventually(lambda: open_files(server) <= files + 1, "files stay open")
        assert memory(server) - before < SLACK_BYTES


def test_unfinished_frames_take_no_more_than_their_limit(tmp_path):
    receive = 64 * MiB
    count = 200
    flags = ("--receive-bytes", str(receive), "--frame-timeout", "10m")
    with Server(tmp_path / "log", *flags) as server, hostile() as connect, GoodPeers(server) as good:
        before = memory(server)
        unfinished = varint(MiB) + b"\x00" * (MiB - 1)
        peers = []
        for _ in range(count):
            peers.append(greeted(connect, server, hub="never finishes"))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peers[-1].sendall(unfinished)
        # A frame is counted with the memory that its buffer has, up to twice its size.
        eventually(lambda: ended(server, "timeout") >= count - receive // MiB, "they are not ended")
        assert memory(server) - before < receive + SLACK_BYTES
        (frame,) = last_frames(peers[0])
        assert frame.error.code == Code.CODE_TIMEOUT and frame.error.retry
        # A large frame that comes as a whole finds room.
        with server.connect(hub="large") as large:
            assert large.append({"kind": "large", "pad": "x" * 1_000_000}).appended.recorded == 1
        for peer in peers:
            peer.close()
        only_good_ones_are_left(server)
        good.go_on()


def test_what_nobody_reads_takes_no_more_than_its_limit(tmp_path):
    send = 32 * MiB
    count = 200
    with Server(tmp_path / "log", "--send-bytes", str(send), "--write-timeout", "10m") as server, hostile() as connect:
        fill(server, 20)
        with GoodPeers(server) as good:
            before = memory(server)
            peers = [greeted(connect, server, client="asks for all and reads nothing") for _ in range(count)]
            for peer in peers:
                peer.sendall(b"".join(subscribe_bytes(id) for id in range(2, 60)) + b"".join(read_bytes(id) for id in range(60, 75)))
            eventually(lambda: logged(server, "send_bytes") > 0, "none is cut, though together they leave too much")
            good.go_on()
            # Beyond the limit each gets 64 KiB and a small step, until it is cut; what each asked for is remembered.
            assert memory(server) - before < send + count * (80 << 10) + count * 73 * REQUEST_BYTES + SLACK_BYTES
            # One that reads gets what it asks for.
            with server.connect(client="reads") as connection:
                assert len(connection.read_all()) > 2000
            for peer in peers:
                peer.close()
            only_good_ones_are_left(server)
            good.go_on()


def test_all_of_them_at_once(tmp_path):
    send, receive = 32 * MiB, 32 * MiB
    flags = ["--send-bytes", str(send), "--receive-bytes", str(receive)]
    for name in ("hello", "frame", "write", "credit"):
        flags += [f"--{name}-timeout", "2s"]
    with Server(tmp_path / "log", *flags) as server, hostile() as connect:
        fill(server, 10)
        with GoodPeers(server) as good:
            before = memory(server)
            half_open = [connect(server) for _ in range(500)]
            unfinished = [greeted(connect, server, hub="never finishes") for _ in range(60)]
            for peer in unfinished:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    peer.sendall(varint(MiB) + b"\x00" * (MiB - 1))
            asking = [greeted(connect, server, client="asks for all") for _ in range(60)]
            for peer in asking:
                peer.sendall(b"".join(subscribe_bytes(id) for id in range(2, 60)) + b"".join(read_bytes(id) for id in range(60, 75)))
            creditless = [greeted(connect, server, client="gives none") for _ in range(20)]
            for peer in creditless:
                peer.sendall(subscribe_bytes(credit=0))
            floods = [Flood(greeted(connect, server, hub="noisy"), data * 20) for data in (ignored_append_bytes(), ping_bytes()) for _ in range(5)]
            cut = len(asking) + len(floods)
            # The log tells of those that read nothing: their own sockets cannot know of the end, which waits behind what they do not take.
            # A flood that holds much of what may wait is ended for that, with those that never finish.
            late = len(half_open) + len(unfinished)
            while sum(ended(server, reason) for reason in ("unread", "crowded", "timeout")) < cut + late or any(
                peer.fileno() >= 0 for peer in half_open + unfinished
            ):
                for flood in floods:
                    flood.send_on()
                for beginning in beginnings():
                    reset(server, beginning)
                good.go_on(5)
                for peer in half_open + unfinished:
                    if peer.fileno() >= 0 and has_ended(peer):
                        peer.close()
            for peer in creditless:
                peer.settimeout(60)
                assert b"no credit came for" in peer.recv(1 << 16)
                peer.close()
            for peer in asking + [flood.peer for flood in floods]:
                peer.close()
            only_good_ones_are_left(server)
            assert metric(server, "hubaudit_subscriptions") == 1
            connections = 700
            assert memory(server) - before < send + receive + connections * (100 << 10) + 60 * 73 * REQUEST_BYTES + SLACK_BYTES
            good.go_on()


def has_ended(peer: socket.socket) -> bool:
    peer.settimeout(0)
    try:
        while peer.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def test_a_ping_is_answered_up_to_its_limit(tmp_path):
    with Server(tmp_path / "log") as server, server.connect(client="c") as connection:
        assert connection.ask(ping(connection, b"p" * 4096)).pong.payload == b"p" * 4096
        error = connection.ask(ping(connection, b"p" * 4097)).error
        assert error.code == Code.CODE_LIMIT_EXCEEDED and "4096" in error.message


def test_who_holds_connections_to_the_console_keeps_no_health_check_away(tmp_path):
    with Server(tmp_path / "log") as server, contextlib.ExitStack() as stack:
        files = open_files(server)
        address = next(entry["http_listen"] for entry in server.log if entry.get("message", "").startswith("ready"))
        host, port = address.rsplit(":", 1)
        for _ in range(600):
            peer = stack.enter_context(contextlib.closing(socket.create_connection((host, int(port)), 60)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.sendall(b"GET /livez HTTP/1.1\r\nHost:")
        assert metric(server, "hubaudit_ready") == 1
        eventually(lambda: open_files(server) <= files + 129, "the console's connections have no limit")


@pytest.mark.skipif(os.geteuid() != 0, reason="making a host takes root")
def test_a_peer_whose_host_is_gone_is_found(tmp_path):
    name = f"gone{os.getpid() % 100_000}"
    # A network of its own (of those for measurements), also when the tests of another tree run.
    subnet = f"198.18.{os.getpid() % 256}"
    hold = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30); " \
        "s.sendall(bytes.fromhex(sys.argv[3])); print(len(s.recv(4096)), flush=True); sys.stdin.read()"
    with contextlib.ExitStack() as stack:
        network(f"netns add {name}")
        stack.callback(network, f"netns del {name}")
        network(f"link add {name} type veth peer name eth0 netns {name}")
        stack.callback(lambda: subprocess.run(["ip", "link", "del", name], check=False, capture_output=True))
        network(f"addr add {subnet}.1/30 dev {name}")
        network(f"link set {name} up")
        network(f"-n {name} addr add {subnet}.2/30 dev eth0")
        network(f"-n {name} link set eth0 up")
        flags = ("--keepalive-timeout", "2s", "--insecure-listen")
        server = stack.enter_context(Server(tmp_path / "log", *flags, listen="0.0.0.0:0"))
        good = stack.enter_context(GoodPeers(server))
        command = ["ip", "netns", "exec", name, sys.executable, "-c", hold, f"{subnet}.1", str(server.port), hello_bytes(client="gone").hex()]
        peer = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert int(peer.stdout.readline()) > 0
        assert metric(server, "hubaudit_connections") == GOOD + 1
        network(f"link set {name} down")
        only_good_ones_are_left(server)
        eventually(lambda: logged(server, "the peer's host answered nothing for 2.0 seconds") == 1, "its end is not logged")
        assert ended(server, "host_gone") == 1
        good.go_on()
        peer.stdin.close()


def network(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def test_where_the_process_may_open_few_files_the_log_still_finds_its_own(tmp_path):
    wrap = ("prlimit", "--nofile=500")
    with Server(tmp_path / "log", "--segment-bytes", "65536", "--hello-timeout", "10m", wrap=wrap) as server, hostile() as connect:
        assert any("raise the limit" in entry.get("message", "") for entry in server.log)
        with GoodPeers(server) as good:
            peers = [connect(server) for _ in range(600)]
            segments = metric(server, "hubaudit_log_segments")
            fill(server, 10)
            good.go_on()
            assert metric(server, "hubaudit_log_segments") > segments + 8
            for peer in peers:
                peer.close()
            only_good_ones_are_left(server)


def test_a_drain_does_not_wait_for_reads(tmp_path):
    with Server(tmp_path / "log", "--drain-timeout", "10m") as server, hostile() as connect:
        fill(server, 10)
        lazy = greeted(connect, server, client="lazy")
        lazy.sendall(read_bytes(2))
        with server.connect(client="reads on") as reader:
            read = reader.request()
            read.read.start.earliest = True
            reader.send(read)
            first = reader.receive()
            assert first.HasField("records")
            server.process.send_signal(signal.SIGTERM)
            frames = [first]
            while (frame := reader.receive()) is not None:
                frames.append(frame)
        *pages, last = frames
        if last.HasField("error"):
            assert last.id == read.id and last.error.code == Code.CODE_DRAINING and last.error.retry
            assert str(pages[-1].records.next_sequence) in last.error.message
        else:
            assert last.read_end.records == 1000
        assert server.process.wait(60) == 0


def test_a_record_that_fits_into_no_frame_any_more_is_named(tmp_path):
    with Server(tmp_path / "log", "--frame-bytes", str(4 * MiB), "--record-bytes", str(3 * MiB)) as server:
        with server.connect(hub="h") as hub:
            for size in (10, 2 * MiB, 10):
                assert hub.append({"kind": "k", "pad": "x" * size}).appended.recorded == 1
        server.stop()
    with Server(tmp_path / "log") as server, server.connect(hub="h") as connection:
        for filters, backwards in ((False, False), (True, False), (False, True), (True, True)):
            frame = connection.request()
            if backwards:
                frame.read.start.latest = frame.read.backwards = True
            else:
                frame.read.start.earliest = True
            if filters:
                frame.read.filter.kinds.append("k")
            reply = connection.ask(frame)
            if reply.HasField("records"):
                assert [record.header.sequence for record in reply.records.batch.records] == [2 if backwards else 0]
                reply = connection.receive()
            assert reply.error.code == Code.CODE_LIMIT_EXCEEDED
            assert "record 1 " in reply.error.message and "frame_bytes" in reply.error.message
        frame = subscribe_frame(connection, earliest=True)
        reply = connection.ask(frame)
        assert [record.header.sequence for record in reply.records.batch.records] == [0]
        ended = connection.receive().subscription
        assert ended.error.code == Code.CODE_LIMIT_EXCEEDED and ended.next_sequence == 1
        assert [record.header.sequence for record in connection.read_all(2)] == [2]


def test_more_events_than_an_answer_can_name_sequences_for_are_refused_as_a_setting(tmp_path):
    flags = ["--append-events", "200000", "--data", str(tmp_path / "log")]
    result = subprocess.run([BINARY, "config", "show", *flags], capture_output=True, text=True, timeout=60)
    assert result.returncode == 64 and "append-events" in result.stderr and "130560" in result.stderr
