"""A write or a sync fails under the running server: what it says, what it goes on doing, and that it acknowledges nothing that may be lost.

An append of these tests is one write and one sync of the only segment, so it is known which of them fails.
"""

from __future__ import annotations

import pathlib

import calls
import pytest
from hubaudit._proto import frames_pb2
from wire import Connection, Server

pytestmark = pytest.mark.usefixtures("strace")

LOG_FAILED, STORAGE_FULL = frames_pb2.Error.CODE_LOG_FAILED, frames_pb2.Error.CODE_STORAGE_FULL


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """A log without a record."""
    Server(tmp_path / "log").stop()
    return tmp_path / "log"


def segment(data: pathlib.Path) -> pathlib.Path:
    return data / "segments" / f"{0:020}.seg"


def event(number: int) -> dict:
    return {"n": number}


def stored(server: Server) -> list[bytes]:
    with server.connect(client="reader") as connection:
        return [record.body.custom.json for record in connection.read_all()]


def expected(count: int) -> list[bytes]:
    return [b'{"n": %d}' % number for number in range(count)]


def subscribe(server: Server) -> tuple[Connection, frames_pb2.ClientFrame]:
    connection = server.connect(client="subscriber")
    frame = connection.request()
    frame.subscribe.start.earliest = True
    frame.subscribe.credit = 1 << 20
    connection.send(frame)
    return connection, frame


def pushed(connection: Connection) -> list[bytes]:
    """All that has been pushed by now: what comes before the answer to a ping."""
    ping = connection.request()
    ping.ping.payload = b"p"
    connection.send(ping)
    found = []
    while (reply := connection.receive()).id != ping.id:
        found += [record.body.custom.json for record in reply.records.batch.records]
    return found


def assert_appends_refused(server: Server, *words: str) -> None:
    """In its health, over HTTP and over the wire, and with why."""
    for path in ("/healthz", "/readyz"):
        status, body = server.get(path)
        assert status == 503 and all(word in body for word in words), body
    assert server.get("/livez") == (200, "ok\n")
    with server.connect(client="operator") as connection:
        frame = connection.request()
        frame.health.SetInParent()
        health = connection.ask(frame).health
    assert health.status == frames_pb2.Health.STATUS_DEGRADED and all(word in health.reasons[0] for word in words), health


@pytest.mark.parametrize(
    ("call", "what", "acknowledged"),
    [
        *[("fdatasync", f"error=EIO:when={k}", k - 1) for k in (1, 2, 3, 8)],
        ("fdatasync", "error=EIO:when=3+", 2),
        ("fdatasync", "error=ENOSPC:when=3", 2),
        ("fdatasync", "error=EINTR:when=3", 2),
        ("pwritev", "error=EIO:when=3", 2),
        ("pwritev", "error=EIO:when=3+", 2),
        ("pwritev", "error=EROFS:when=1+", 0),
    ],
)
def test_a_write_or_sync_that_fails_ends_appending_for_good(data: pathlib.Path, call: str, what: str, acknowledged: int) -> None:
    with Server(data, wrap=calls.failing(call, what, path=segment(data))) as server:
        hub = server.connect(hub="h", producer="p")
        subscriber, _ = subscribe(server)
        for number in range(acknowledged):
            assert hub.append(event(number), number=number + 1).appended.first_sequence == number
        assert server.get("/readyz")[0] == 200
        error = hub.append(event(acknowledged), number=acknowledged + 1).error
        assert error.code == LOG_FAILED and not error.retry
        # What failed, where, and what to do.
        words = (f"{call} of {segment(data)}:", "check the disk and start the server again")
        assert all(word in error.message for word in words)

        # Nothing is tried again, whoever asks, although the disk would do it.
        content = segment(data).read_bytes()
        with server.connect(hub="other") as other:
            for _ in range(5):
                assert hub.append(event(acknowledged), number=acknowledged + 1).error.code == LOG_FAILED
                assert other.append({}).error.code == LOG_FAILED
        assert segment(data).read_bytes() == content
        assert_appends_refused(server, *words)
        assert stored(server) == pushed(subscriber) == expected(acknowledged)
        server.kill()
    assert any(entry.get("level") == "error" and all(word in entry["reason"] for word in words) for entry in server.log), server.log

    with Server(data) as server:
        # It is not known whether the event that was refused has been stored; the producer sends it again.
        assert stored(server) in (expected(acknowledged), expected(acknowledged + 1))
        with server.connect(hub="h", producer="p", producer_next=acknowledged + 1) as hub:
            assert hub.append(event(acknowledged), number=acknowledged + 1).appended.first_sequence == acknowledged
        assert stored(server) == expected(acknowledged + 1)
        assert server.get("/readyz")[0] == 200


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT"])
def test_appends_are_refused_while_there_is_no_room_and_taken_after(data: pathlib.Path, error: str) -> None:
    with Server(data, wrap=calls.failing("pwritev", f"error={error}:when=4..9", path=segment(data))) as server:
        hub = server.connect(hub="h", producer="p")
        subscriber, _ = subscribe(server)
        for number in range(3):
            assert hub.append(event(number), number=number + 1).appended.first_sequence == number
        for _ in range(6):
            refusal = hub.append(event(3), number=4).error
            assert refusal.code == STORAGE_FULL and refusal.retry
            assert str(segment(data)) in refusal.message and "free space on this disk" in refusal.message
            assert_appends_refused(server, str(segment(data)), "free space on this disk")
            assert stored(server) == expected(3)
        assert hub.append(event(3), number=4).appended.first_sequence == 3
        assert server.get("/healthz") == server.get("/readyz") == (200, "ok\n")
        assert stored(server) == pushed(subscriber) == expected(4)
        server.kill()
    with Server(data) as server:
        assert stored(server) == expected(4)
        assert "torn" not in str(server.log)


def test_a_read_that_fails_says_which_file_and_the_next_one_is_served(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "log"
    with Server(data, "--segment-bytes", "65536") as server, server.connect(hub="h") as hub:
        for number in range(30):
            hub.append({"n": number, "text": "x" * 10_000})
        whole = stored(server)
        server.stop()
    # The first segment is not looked into at the start, so the first read of a client is the one that fails.
    with Server(data, "--read-threads", "1", wrap=calls.failing("pread64", "error=EIO:when=1", path=segment(data))) as server:
        with server.connect(hub="h") as connection:
            frame = connection.request()
            frame.read.start.earliest = True
            error = connection.ask(frame).error
            assert f"pread of {segment(data)}: Input/output error" in error.message and "check the disk" in error.message, error
            assert connection.append({"n": 30}).appended.first_sequence == 30
        assert stored(server)[:30] == whole
        assert server.get("/readyz")[0] == 200
