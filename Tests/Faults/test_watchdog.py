"""The watchdog hears of the server by way of the writer: a real notification socket, and a writer or a disk that hangs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import socket
import tempfile
from collections.abc import Iterator

import disks
import pytest
from threads import hanging
from wire import Server

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
# The server speaks twice in that time.
WATCHDOG_MICROSECONDS = 200_000
# Many times as long as a healthy server is silent.
SILENCE_SECONDS = 2


class Notifications:
    """What systemd listens to."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.path = directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))

    def wrap(self, **more: str) -> tuple[str, ...]:
        values = {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(WATCHDOG_MICROSECONDS)} | more
        return ("env", "-u", "WATCHDOG_PID", *(f"{name}={value}" for name, value in values.items()))

    def next(self, seconds: float = 60) -> str:
        self.socket.settimeout(seconds)
        return self.socket.recv(4096).decode()

    def fall_silent(self) -> None:
        """Waits until nothing more comes. A server that lives on is heard of so often that this never ends."""
        for _ in range(50):
            try:
                assert self.next(SILENCE_SECONDS) == "WATCHDOG=1"
            except TimeoutError:
                return
        raise AssertionError("the watchdog heard of the server all the time")

    def rest(self) -> list[str]:
        self.socket.setblocking(False)
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(4096).decode())
        return found


@pytest.fixture
def notifications() -> Iterator[Notifications]:
    # The path of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory() as directory:
        notifications = Notifications(pathlib.Path(directory))
        yield notifications
        notifications.socket.close()


def test_a_server_that_is_well_is_heard_of_until_it_stops(tmp_path: pathlib.Path, notifications: Notifications) -> None:
    with Server(tmp_path / "log", wrap=notifications.wrap()) as server:
        assert notifications.next() == "READY=1"
        for _ in range(5):
            assert notifications.next() == "WATCHDOG=1"
        # Also while there is work, and after a reload.
        server.process.send_signal(1)
        with server.connect(hub="h") as hub:
            for number in range(100):
                assert hub.append({"kind": "k", "number": number}).appended.recorded == 1
        for _ in range(3):
            assert notifications.next() == "WATCHDOG=1"
        assert server.stop() == 0
        assert [word for word in notifications.rest() if word != "WATCHDOG=1"] == ["STOPPING=1"]


@pytest.mark.parametrize("environment", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}])
def test_where_nobody_waits_for_this_process_nothing_is_sent(
    tmp_path: pathlib.Path, notifications: Notifications, environment: dict[str, str]
) -> None:
    with Server(tmp_path / "log", wrap=notifications.wrap(**{"WATCHDOG_USEC": "2000"} | environment)) as server:
        with server.connect(hub="h") as hub:
            assert hub.append({"kind": "k"}).appended.recorded == 1
        assert server.stop() == 0
    assert notifications.rest() == ["READY=1", "STOPPING=1"]


def test_the_process_that_is_named_is_heard_of_also_in_the_abstract_namespace(tmp_path: pathlib.Path) -> None:
    name = f"hubaudit-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(60)
        variables = ("env", f"NOTIFY_SOCKET=@{name}", f"WATCHDOG_USEC={WATCHDOG_MICROSECONDS}")
        # The shell's number is that of the server, which takes its place.
        with Server(tmp_path / "log", wrap=(*variables, "sh", "-c", 'WATCHDOG_PID=$$ exec "$0" "$@"')):
            assert [listener.recv(4096) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_a_writer_that_hangs_is_not_heard_of(tmp_path: pathlib.Path, notifications: Notifications) -> None:
    with Server(tmp_path / "log", wrap=notifications.wrap()) as server:
        assert notifications.next() == "READY=1" and notifications.next() == "WATCHDOG=1"
        with hanging(server.process.pid, "hubaudit-writer"):
            notifications.fall_silent()
            # Everything else is well: the process by itself would tell nothing.
            assert server.get("/livez")[0] == 200
            with server.connect(hub="h") as hub:
                assert hub.read_all() == []
        for _ in range(3):
            assert notifications.next() == "WATCHDOG=1"
        assert server.stop() == 0


@pytest.mark.parametrize("size", [100, 100_000], ids=["stored by the writer", "stored by the second thread"])
def test_a_disk_that_hangs_is_not_heard_of(
    mount_point: pathlib.Path, tmp_path: pathlib.Path, notifications: Notifications, size: int
) -> None:
    if (why := disks.why_no_image("ext4")) is not None:
        pytest.skip(why)
    disks.Image(tmp_path / "image", "ext4", 64 << 20).mount(mount_point)
    root = os.open(mount_point, os.O_RDONLY)
    with Server(mount_point / "log", "--segment-bytes", "1MiB", wrap=notifications.wrap()) as server:
        assert notifications.next() == "READY=1"
        with server.connect(hub="h") as hub:
            assert hub.append({"text": "before"}).appended.recorded == 1
            fcntl.ioctl(root, FIFREEZE, 0)
            try:
                frame = hub.append_frame({"text": "x" * size})
                hub.send(frame)
                notifications.fall_silent()
                assert server.get("/livez")[0] == 200
            finally:
                fcntl.ioctl(root, FITHAW, 0)
                os.close(root)
            # Nothing was lost: the disk answers, and so do writer and server.
            reply = hub.receive()
            assert reply is not None and reply.id == frame.id and reply.appended.recorded == 1
        for _ in range(3):
            assert notifications.next() == "WATCHDOG=1"
        assert server.stop() == 0
