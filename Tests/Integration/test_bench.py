"""`hubaudit bench`: each subcommand on a running server; what it counts is what the server has. Never how fast."""

from __future__ import annotations

import json
import subprocess

import pytest
from wire import BINARY, Server

LATENCY = {"count", "min", "mean", "p50", "p90", "p99", "p999", "max"}


@pytest.fixture
def bench(server: Server):
    def bench(*arguments: str, status: int = 0) -> dict:
        result = subprocess.run(
            [BINARY, "bench", *arguments, "--server", server.address, "--json"], capture_output=True, text=True, timeout=120)
        assert result.returncode == status, (result.stdout[-500:], result.stderr[-500:])
        # Progress is for terminals.
        assert status or result.stderr == ""
        bench.stderr = result.stderr
        return json.loads(result.stdout) if status == 0 else {}

    return bench


def stored(server: Server) -> list:
    with server.connect(client="test") as connection:
        return connection.read_all()


def check_latency(latency: dict, count: int) -> None:
    assert set(latency) == LATENCY and latency["count"] == count
    assert 0 <= latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"] <= latency["max"]


def check_server(report: dict, before: int, appended: int) -> None:
    server = report["server"]
    assert (server["records_before"], server["records"]) == (before, appended)
    assert server["limits"] == {
        "append_events": 10_000, "credit_bytes": 64 << 20, "frame_bytes": 1 << 20, "pending_append_bytes": 8 << 20, "reads": 16,
        "record_bytes": (1 << 20) - 4096, "subscriptions": 64,
    }
    assert "synced" in server["durability"] and server["software"].startswith("hubaudit ")


def test_append_counts_what_the_server_stored(server, bench):
    report = bench("append", "--clients", "3", "--records", "1000", "--in-flight", "20", "--batch", "5")
    assert report["bench"] == "append"
    assert report["load"] == {"batch": 5, "clients": 3, "event_bytes": 200, "in_flight": 20, "threads": report["load"]["threads"]}
    appended = report["appended"]
    assert (appended["records"], appended["refused"]) == (1000, 0) and appended["seconds"] > 0 and appended["per_second"] > 0
    check_latency(appended["latency_microseconds"], 1000)
    check_server(report, 0, 1000)
    assert report["server"]["commits"] >= 1 and 200 < report["server"]["bytes_per_record"] < 400
    records = stored(server)
    assert {record.header.hub for record in records} == {"bench-0", "bench-1", "bench-2"}
    assert {record.header.kind for record in records} == {"task_terminated", "channel_closed"}


def test_an_event_has_the_size_that_was_asked_for(server, bench):
    bench("append", "--records", "4", "--size", "3000")
    assert all(2800 < record.ByteSize() < 3200 for record in stored(server))
    bench("append", "--size", "60", "--records", "1", status=1)
    assert "--size" in bench.stderr


def test_an_open_loop_sends_all_that_was_due(server, bench):
    report = bench("append", "--clients", "2", "--rate", "1000", "--duration", "1s", "--warm-up", "0s")
    assert report["load"]["rate"] == 1000 and report["appended"]["records"] == 1000
    check_latency(report["appended"]["latency_microseconds"], 1000)
    assert len(stored(server)) == 1000


def test_tail_delivers_everything_to_every_subscriber(server, bench):
    report = bench("tail", "--subscribers", "4", "--records", "300", "--in-flight", "10")
    delivered = report["delivered"]
    assert (delivered["records"], delivered["disorder"]) == (1200, 0)
    check_latency(delivered["latency_microseconds"], 1200)
    check_server(report, 0, 300)
    # With filters each record goes to those who asked for its channel: of ten channels one to each of two subscribers.
    report = bench("tail", "--subscribers", "20", "--filters", "10", "--records", "400", "--in-flight", "10")
    assert report["delivered"]["records"] == 800 and report["load"]["filters"] == 10


def test_read_replays_the_log_to_every_reader(server, bench):
    bench("read", "--records", "500", status=1)
    assert "0 records" in bench.stderr
    bench("append", "--records", "2000", "--in-flight", "500", "--batch", "100")
    report = bench("read", "--clients", "2")
    read = report["read"]
    assert (read["records"], read["disorder"]) == (4000, 0) and read["bytes"] > 4000 * 200
    check_latency(read["first_record_microseconds"], 2)
    check_server(report, 2000, 0)


def test_mixed_does_all_at_once(server, bench):
    bench("append", "--records", "1000", "--in-flight", "1000", "--batch", "100")
    report = bench(
        "mixed", "--clients", "2", "--subscribers", "2", "--readers", "2", "--rate", "500", "--duration", "1s", "--warm-up", "100ms")
    assert report["appended"]["records"] == 550 and report["delivered"]["records"] == 1100
    assert report["read"]["records"] >= 2000 and report["delivered"]["disorder"] == report["read"]["disorder"] == 0
    check_server(report, 1000, 550)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("append", "--clients", "0"), "--clients: 0 is not between"),
        (("append", "--in-flight", "5", "--batch", "10"), "--in-flight: 5 is not between 10"),
        (("append", "--records", "5", "--duration", "1s"), "--records or --duration"),
        (("append", "--duration", "soon"), "--duration"),
        (("tail", "--rate", "-1"), "--rate"),
    ],
)
def test_a_wrong_option_is_a_usage_error(bench, arguments, words):
    bench(*arguments, status=64)
    assert words in bench.stderr


def test_without_a_server_it_says_so(server, bench):
    server.stop()
    bench("append", "--records", "1", status=2)
    assert "cannot connect" in bench.stderr
