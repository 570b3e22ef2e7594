"""What /metrics says, over HTTP as Prometheus reads it, against what the test did and what the kernel says of the process."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import resource

import pytest
from hubaudit._proto import frames_pb2
from peers import eventually, subscribe_frame
from threads import hanging
from witness import keygen
from wire import ROOT, Server, varint

PAGE = ROOT / "Documentation" / "operators.md"
LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"([a-z_]+)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
UNITS = ("_total", "_seconds", "_bytes", "_records", "_info")


@dataclasses.dataclass
class Metrics:
    kinds: dict[str, str]
    samples: dict[tuple[str, str], float]

    def __getitem__(self, name: str) -> float:
        return self.samples[name, ""]

    def refused(self) -> dict[str, float]:
        """By code, without those that nothing was refused for."""
        found = {labels: value for (name, labels), value in self.samples.items() if name == "hubaudit_appends_refused_total"}
        return {labels.removeprefix('code="').removesuffix('"'): value for labels, value in found.items() if value}


def read(server: Server) -> Metrics:
    """Reads the text format 0.0.4, and refuses what is not of it."""
    status, text = server.get("/metrics")
    assert status == 200 and text.endswith("\n")
    kinds: dict[str, str] = {}
    samples: dict[tuple[str, str], float] = {}
    helped = ""
    current = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped, words = line.removeprefix("# HELP ").split(" ", 1)
            assert words and helped not in kinds
        elif line.startswith("# TYPE "):
            current, kinds[current] = line.removeprefix("# TYPE ").split(" ")
            assert current == helped and kinds[current] in ("counter", "gauge", "histogram")
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match[1], match[2] or "", float(match[3])
            family = re.sub(r"_(bucket|sum|count)$", "", name) if kinds[current] == "histogram" else name
            assert family == current and (name, labels) not in samples, line
            samples[name, labels] = value
    return Metrics(kinds, samples)


@pytest.fixture
def signed(tmp_path: pathlib.Path):
    keygen(tmp_path / "log.key", "log.example/metrics")
    with Server(tmp_path / "log", "--signing-key", str(tmp_path / "log.key"), "--checkpoint-interval", "100ms") as server:
        yield server


def test_names_follow_the_conventions_and_the_page_lists_them_all(signed: Server) -> None:
    found = read(signed)
    for name, kind in found.kinds.items():
        assert name.startswith(("hubaudit_", "process_")) and not any(word in name for word in ("milli", "micro", "percent", "_kb"))
        assert name.endswith("_total") == (kind == "counter"), name
        assert kind != "histogram" or name.endswith("_seconds")
    listed = re.findall(r"^\| `((?:hubaudit|process)_[a-z_]+)(?:\{[a-z]+\})?` \| (counter|gauge|histogram) \|", PAGE.read_text(), re.MULTILINE)
    assert len(dict(listed)) == len(listed)
    # Those of witnesses are there where there are witnesses.
    witnessed = {name for name, _ in listed if name.startswith("hubaudit_witness_") or name == "hubaudit_cosigned_records"}
    assert len(witnessed) == 5
    # And that of the certificate where there is one.
    elsewhere = witnessed | {"hubaudit_certificate_expiry_timestamp_seconds"}
    assert {name: kind for name, kind in listed if name not in elsewhere} == found.kinds


def test_the_process_is_told_as_the_kernel_tells_it(server: Server) -> None:
    process = pathlib.Path(f"/proc/{server.process.pid}")
    before = read(server)
    mapped, resident = [int(pages) * resource.getpagesize() for pages in (process / "statm").read_text().split()[:2]]
    assert resident / 4 < before["process_resident_memory_bytes"] < resident * 4
    assert mapped / 4 < before["process_virtual_memory_bytes"] < mapped * 4
    assert before["process_max_fds"] == resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[0]
    ticks = int((process / "stat").read_text().rpartition(")")[2].split()[19])
    boot = next(int(line.split()[1]) for line in pathlib.Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    # The kernel gives the time of boot in whole seconds.
    assert abs(before["process_start_time_seconds"] - boot - ticks / os.sysconf("SC_CLK_TCK")) < 3
    connections = [server.connect(hub="h") for _ in range(20)]
    # Twenty connections, and the one that asks for the metrics came and went both times.
    eventually(lambda: read(server)["process_open_fds"] == before["process_open_fds"] + 20, "twenty more files")
    assert len(list((process / "fd").iterdir())) >= before["process_open_fds"]
    for connection in connections:
        connection.close()
    eventually(lambda: read(server)["process_cpu_seconds_total"] > before["process_cpu_seconds_total"], "work is counted")


def test_refused_appends_are_counted_by_their_code(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path / "log", "--append-events", "3") as server:
        assert read(server).refused() == {}
        names = {label for name, label in read(server).samples if name == "hubaudit_appends_refused_total"}
        assert {'code="OVERLOADED"', 'code="STORAGE_FULL"', 'code="INVALID_JSON"', 'code="LOG_FAILED"'} <= names
        # As the contract writes them.
        assert {label.split('"')[1] for label in names} <= {name.removeprefix("CODE_") for name in frames_pb2.Error.Code.keys()}
        with server.connect(hub="h", producer="p") as hub, server.connect(client="r") as nobody:
            assert hub.append({"kind": "k"}, number=1).appended.recorded == 1
            wanted: dict[str, float] = {}

            def refuse(code: str, reply: frames_pb2.ServerFrame | None) -> None:
                assert reply is not None
                assert frames_pb2.Error.Code.Name(reply.error.code) == f"CODE_{code}", reply
                wanted[code] = wanted.get(code, 0) + 1
                assert read(server).refused() == wanted

            refuse("INVALID_JSON", hub.append(b"{"))
            refuse("INVALID_JSON", hub.append(b"[]"))
            refuse("LIMIT_EXCEEDED", hub.append({}, {}, {}, {}))
            refuse("RECORD_TOO_LARGE", hub.append({"text": "x" * 1_045_000}))
            refuse("INVALID_REQUEST", nobody.append({"kind": "k"}))
            # Found before the request is looked at: text that is not UTF-8, no event, an id that a subscription has.
            frame = hub.append_frame(number=2)
            frame.append.events.add().agent.name = "NAME"
            data = frame.SerializeToString().replace(b"NAME", b"\xff\xfe\xfd\xfc")
            hub.send_bytes(varint(len(data)) + data)
            refuse("INVALID_TEXT", hub.receive())
            refuse("INVALID_REQUEST", hub.append(number=2))
            subscription = subscribe_frame(hub, credit=1, sequence=0)
            hub.send(subscription)
            frame = hub.append_frame({"kind": "k"}, number=2)
            frame.id = subscription.id
            hub.send(frame)
            reply = hub.receive()
            while reply is not None and reply.WhichOneof("reply") != "error":
                reply = hub.receive()
            refuse("INVALID_REQUEST", reply)
            # Found on the writer's thread.
            refuse("PRODUCER_GAP", hub.append({"kind": "k"}, number=7))
            with server.connect(hub="h", producer="p"):
                refuse("PRODUCER_SUPERSEDED", hub.append({"kind": "k"}, number=2))
            # What is refused and is no append is not counted.
            request = hub.request()
            request.read.limit = 1
            request.read.start.sequence = 99
            hub.ask(request)
            assert read(server).refused() == wanted


def test_bytes_are_counted_as_they_came_went_and_were_stored(server: Server) -> None:
    with server.connect(hub="h") as hub:
        before = read(server)
        frame = hub.append_frame({"text": "x" * 5000})
        size = len(frame.SerializeToString()) + 2
        reply = hub.ask(frame)
        after = read(server)
        assert after["hubaudit_received_bytes_total"] - before["hubaudit_received_bytes_total"] == size
        assert after["hubaudit_sent_bytes_total"] - before["hubaudit_sent_bytes_total"] == len(reply.SerializeToString()) + 1
        (record,) = hub.read_all()
        stored = after["hubaudit_stored_bytes_total"] - before["hubaudit_stored_bytes_total"]
        assert stored == record.ByteSize() + 3
        assert stored < after["hubaudit_log_bytes"] - before["hubaudit_log_bytes"] < stored + 100
        # A read sends the record.
        assert read(server)["hubaudit_sent_bytes_total"] - after["hubaudit_sent_bytes_total"] > 5000


def test_what_waits_for_a_writer_that_hangs_is_told(server: Server) -> None:
    with server.connect(hub="h") as hub:
        assert hub.append({"kind": "k"}).appended.recorded == 1
        assert read(server)["hubaudit_append_queue_requests"] == read(server)["hubaudit_append_queue_bytes"] == 0
        with hanging(server.process.pid, "hubaudit-writer"):
            frames = [hub.append_frame({"text": "x" * 10_000}) for _ in range(3)]
            for frame in frames:
                hub.send(frame)
            eventually(lambda: read(server)["hubaudit_append_queue_bytes"] >= 30_000, "30 kB wait")
            # Each append counts, however many the event loop has put into one batch.
            assert read(server)["hubaudit_append_queue_requests"] == 3
        for frame in frames:
            reply = hub.receive()
            assert reply is not None and reply.id == frame.id and reply.appended.recorded == 1
        eventually(lambda: read(server)["hubaudit_append_queue_bytes"] == 0, "nothing waits")
        assert read(server)["hubaudit_append_queue_requests"] == 0


def test_the_lag_is_that_of_the_subscription_furthest_behind(server: Server) -> None:
    def lag() -> tuple[float, float]:
        found = read(server)
        return found["hubaudit_lagging_subscriptions"], found["hubaudit_subscription_lag_records"]

    with server.connect(hub="h") as hub, server.connect(client="r") as first, server.connect(client="r") as second:
        subscriptions = [subscribe_frame(first, credit=1, sequence=0), subscribe_frame(second, credit=1 << 20, sequence=0)]
        for connection, frame in zip((first, second), subscriptions, strict=True):
            connection.send(frame)
        eventually(lambda: read(server)["hubaudit_subscriptions"] == 2, "two subscriptions")
        for number in range(50):
            assert hub.append({"kind": "k", "number": number}).appended.recorded == 1
        # The first has credit for one record.
        eventually(lambda: lag() == (1, 49), "one of them lacks credit")
        request = first.request()
        request.credit.subscription = subscriptions[0].id
        request.credit.bytes = 1 << 20
        first.send(request)
        eventually(lambda: lag() == (0, 0), "it has caught up")
        assert read(server)["hubaudit_subscriptions"] == 2


def test_room_on_the_disk_is_that_of_the_data_directory(server: Server, tmp_path: pathlib.Path) -> None:
    room = os.statvfs(tmp_path)
    # Others write to the same disk.
    assert read(server)["hubaudit_data_free_bytes"] == pytest.approx(room.f_bavail * room.f_frsize, rel=0.2)


def test_the_age_of_the_newest_checkpoint_is_told_where_there_is_one(signed: Server, tmp_path: pathlib.Path) -> None:
    assert 0 <= read(signed)["hubaudit_checkpoint_age_seconds"] < 600
    with Server(tmp_path / "unsigned") as server:
        assert "hubaudit_checkpoint_age_seconds" not in read(server).kinds
