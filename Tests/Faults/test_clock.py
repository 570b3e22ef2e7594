"""The machine's clock is wrong, or is set while the server runs."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time

import pytest
from clocks import Clock
from peers import metric
from wire import BINARY, Server

HOUR, DAY = 3600, 86_400


@pytest.fixture
def clock(tmp_path: pathlib.Path) -> Clock:
    return Clock(tmp_path)


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("seconds", "year"), [(-220_000_000, "1970"), (0, "1970"), (4_000_000_000, "2096"), (9_300_000_000, "2262"), (17_800_000_000, "2262"), (1 << 40, "2262")])
def test_a_server_runs_whatever_the_clock_says(clock: Clock, tmp_path: pathlib.Path, seconds: int, year: str) -> None:
    subprocess.run([BINARY, "keygen", "a.example/log", "-o", str(tmp_path / "key")], check=True, capture_output=True)
    clock.set_to(seconds)
    for start in range(2):
        with Server(tmp_path / "log", "--signing-key", str(tmp_path / "key"), wrap=clock.wrap) as server, server.connect(hub="h") as hub:
            for _ in range(3):
                assert hub.append({"start": start}).appended.recorded == 1
            for words in (["read", "-o", "json"], ["read", "-o", "table"], ["tail", "--since", "-15m", "-o", "json"], ["read", "--until", "yesterday"],
                          ["health"], ["verify"], ["stats"]):
                done = subprocess.run([*clock.wrap, BINARY, *words, "-s", server.address], capture_output=True, text=True, timeout=60)
                assert done.returncode in (0, 3), done
                if words == ["read", "-o", "json"]:
                    assert all(json.loads(line)["received_at"][:4] == year for line in done.stdout.splitlines()), done.stdout
            assert server.stop() == 0
    for words in (["inspect", str(tmp_path / "log")], ["verify", "--data", str(tmp_path / "log")]):
        assert subprocess.run([*clock.wrap, BINARY, *words], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("step", [-HOUR, 400 * DAY])
def test_a_clock_that_is_set_delays_no_checkpoint_and_no_scrub(clock: Clock, tmp_path: pathlib.Path, step: int) -> None:
    subprocess.run([BINARY, "keygen", "a.example/log", "-o", str(tmp_path / "key")], check=True, capture_output=True)
    flags = ("--signing-key", str(tmp_path / "key"), "--scrub-pause", "300ms", "--segment-bytes", "65536")
    with Server(tmp_path / "log", *flags, wrap=clock.wrap) as server, server.connect(hub="h") as hub:
        for _ in range(30):
            hub.append({"text": "x" * 5000})
        wait_for(lambda: metric(server, "hubaudit_checkpoint_records") == metric(server, "hubaudit_log_records"), "the first checkpoint")
        wait_for(lambda: metric(server, "hubaudit_scrub_rounds_total") > 1, "the scrub goes round")
        # Set while a record waits for its checkpoint, and the scrub rests.
        hub.append({"n": 1})
        clock.set_off(step)
        wait_for(lambda: metric(server, "hubaudit_checkpoint_records") == metric(server, "hubaudit_log_records"), "a checkpoint")
        rounds = metric(server, "hubaudit_scrub_rounds_total")
        wait_for(lambda: metric(server, "hubaudit_scrub_rounds_total") > rounds + 2, "the scrub goes on")
        assert server.stop() == 0
