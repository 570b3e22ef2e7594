"""Peers that behave, and what the server tells of itself while others do not."""

from __future__ import annotations

import collections.abc
import os
import resource
import threading
import time
import urllib.request

from hubaudit._proto import frames_pb2
from wire import Connection, Server

CREDIT = 1 << 22


def eventually(condition: collections.abc.Callable[[], bool], what: str, timeout: float = 120) -> None:
    """Waits until the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def allow_files(count: int) -> None:
    """Lets this process, and the servers that it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))


def metric(server: Server, name: str) -> int:
    address = next(entry["http_listen"] for entry in server.log if entry.get("message", "").startswith("ready"))
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def memory(server: Server, field: str = "VmHWM") -> int:
    """Bytes that the server has resident: at most so far (VmHWM), or now (VmRSS)."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def open_files(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def logged(server: Server, text: str) -> int:
    """How many lines of the server's log have a reason with this text."""
    return sum(text in str(entry.get("reason", entry.get("metadata", ""))) for entry in list(server.log))


def ended(server: Server, reason: str) -> int:
    """How many connections or subscriptions the server says that it has ended for a reason."""
    with urllib.request.urlopen(f"http://{server.http_address}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f'hubaudit_ended_total{{reason="{reason}"}} ')), 0)


def subscribe_frame(connection: Connection, credit: int = CREDIT, **start: object) -> frames_pb2.ClientFrame:
    frame = connection.request()
    for name, value in start.items():
        setattr(frame.subscribe.start, name, value)
    if credit:
        frame.subscribe.credit = credit
    return frame


class GoodPeers:
    """A hub that appends without a pause, and a subscriber that follows live. At the end: every append was answered, and the subscriber has
    had every record once and in order."""

    def __init__(self, server: Server) -> None:
        self.latencies: list[float] = []
        self.acknowledged = -1
        self.seen = -1
        self._errors: list[BaseException] = []
        self._ends = threading.Event()
        self._has_ended = threading.Event()
        self._hub = server.connect(hub="good")
        self._subscriber = server.connect(client="good")
        self._subscription = subscribe_frame(self._subscriber, latest=True)
        state = self._subscriber.ask(self._subscription).subscription
        assert state.state == frames_pb2.SubscriptionState.STATE_CAUGHT_UP
        self._next = state.next_sequence
        self._threads = [threading.Thread(target=self._guard, args=(work,), daemon=True) for work in (self._append, self._follow)]

    def _guard(self, work: collections.abc.Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # told by the test's own thread
            self._errors.append(error)

    def _append(self) -> None:
        while not self._ends.is_set():
            begin = time.perf_counter()
            reply = self._hub.append({"kind": "good"})
            self.latencies.append(time.perf_counter() - begin)
            assert reply.appended.recorded == 1, reply
            self.acknowledged = reply.appended.first_sequence

    def _follow(self) -> None:
        while not (self._has_ended.is_set() and self.seen >= self.acknowledged):
            reply = self._subscriber.receive()
            assert reply is not None, "the live subscriber was disconnected"
            if reply.id != self._subscription.id:
                continue
            assert reply.WhichOneof("reply") == "records", reply
            for record in reply.records.batch.records:
                assert record.header.sequence == self._next, "a gap or a repeat"
                self._next += 1
            self.seen = self._next - 1
            credit = self._subscriber.request()
            credit.credit.subscription = self._subscription.id
            credit.credit.bytes = reply.records.batch.ByteSize()
            self._subscriber.send(credit)

    def check(self) -> None:
        if self._errors:
            raise self._errors[0]

    def go_on(self, count: int = 20) -> None:
        """Waits until so many more appends were answered, and the subscriber has seen them."""
        wanted = len(self.latencies) + count
        eventually(lambda: bool(self._errors) or len(self.latencies) >= wanted, "the good hub gets no answers")
        last = self.acknowledged
        eventually(lambda: bool(self._errors) or self.seen >= last, "the good subscriber gets no records")
        self.check()

    def __enter__(self) -> GoodPeers:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ends.set()
        self._threads[0].join(60)
        if kind is None:
            self.check()
            self._has_ended.set()
            # Wakes the subscriber where it waits for a record.
            self._hub.append({"kind": "last"})
            self._threads[1].join(60)
            self.check()
            assert self.seen >= self.acknowledged
        self._hub.close()
        self._subscriber.close()
