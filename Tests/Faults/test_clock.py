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
        # The clock was wrong all the time, and was not set.
        assert not any("clock" in entry["message"] for entry in server.log)
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


def said(server: Server) -> list[dict]:
    """What the log says of the clock."""
    with server.connect(client="reader") as connection:
        return [json.loads(record.body.custom.json) for record in connection.read_all() if record.header.kind == "clock_stepped"]


def rfc3339(unix_seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_seconds))


def test_a_clock_that_was_wrong_once_spoils_nothing_that_comes_after(clock: Clock, tmp_path: pathlib.Path) -> None:
    key = subprocess.run([BINARY, "keygen", "a.example/log", "-o", str(tmp_path / "key")], check=True, capture_output=True, text=True).stdout.strip()
    with Server(tmp_path / "log", "--signing-key", str(tmp_path / "key"), wrap=clock.wrap) as server, server.connect(hub="h") as hub:

        def received(kind: str, count: int) -> None:
            """Appends, and sees that the records carry the time that the clock says."""
            for _ in range(count):
                before = time.time()
                sequence = hub.append({"kind": kind}).appended.first_sequence
                after = time.time()
                stamp = hub.read_all(sequence)[0].header.received_at / 1e9 - offset
                assert before - 1 <= stamp <= after + 1

        def read(*words: str) -> list[str]:
            done = subprocess.run([BINARY, *words, "-s", server.address, "-o", "json"], capture_output=True, text=True, timeout=60)
            assert done.returncode in (0, 3), done
            return [json.loads(line)["kind"] for line in done.stdout.splitlines()]

        for kind, offset in (("before", 0), ("ahead", 400 * DAY), ("after", 0), ("behind", -HOUR), ("last", 0)):
            clock.set_off(offset)
            received(kind, 3)
        now = time.time()
        kinds = read("read")
        assert kinds == ["before"] * 3 + [kind for name in ("ahead", "after", "behind", "last") for kind in ["clock_stepped"] + [name] * 3]
        # By time, in every stretch, in both directions; a subscription and a read alike.
        steady = ["before"] * 3 + ["clock_stepped"] + ["after"] * 3 + ["clock_stepped"] + ["last"] * 3
        around = ("--since", rfc3339(now - 600), "--until", rfc3339(now + 600))
        assert read("read", *around) == read("tail", *around) == steady
        assert read("read", *around, "--backwards") == steady[::-1]
        assert read("read", *around, "--kind", "after", "--kind", "ahead") == ["after"] * 3
        assert read("read", "--since", rfc3339(now + DAY)) == ["clock_stepped"] + ["ahead"] * 3
        assert read("read", "--until", rfc3339(now - 600)) == ["clock_stepped"] + ["behind"] * 3
        # In its log, its health, its metrics, and as records of the log.
        steps = said(server)
        assert len(steps) == metric(server, "hubaudit_clock_steps_total") == 4
        assert all(step.keys() == {"from", "kind", "to"} for step in steps)
        assert [step["from"][:10] < step["to"][:10] for step in steps[:2]] == [True, False]
        (by,) = [line.split()[1] for line in server.get("/metrics")[1].splitlines() if line.startswith("hubaudit_clock_step_seconds ")]
        assert 3599 < float(by) < 3601
        health = json.loads(subprocess.run([BINARY, "health", "-s", server.address, "-o", "json"], capture_output=True, text=True).stdout)
        assert health["clock_steps"] == 4 and health["clock_stepped_to"] == steps[-1]["to"]
        assert sum("the machine's clock was set" in entry["message"] for entry in server.log) == 4
        # Nobody has to append for it.
        clock.set_off(50)
        wait_for(lambda: len(said(server)) == 5, "a record about the clock")
        clock.set_off(0)
        wait_for(lambda: len(said(server)) == 6, "a record about the clock")
        assert server.stop() == 0
    for words in (["inspect", str(tmp_path / "log")], ["verify", "--data", str(tmp_path / "log"), "--key", key]):
        done = subprocess.run([BINARY, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done


@pytest.mark.parametrize(("offset", "sentence"), [(-HOUR, "before"), (-2_000_000_000, "before"), (400 * DAY, "far behind")])
def test_a_start_with_a_wrong_clock_is_named_and_ends_with_it(clock: Clock, tmp_path: pathlib.Path, offset: int, sentence: str) -> None:
    with Server(tmp_path / "log", wrap=clock.wrap) as server, server.connect(hub="h") as hub:
        hub.append({"kind": "first"})
        # Killed, so that nothing is put in order.
        server.kill()
    clock.set_off(offset)
    for start in range(2):
        with Server(tmp_path / "log", wrap=clock.wrap) as server:
            wait_for(lambda: len(said(server)) == 1, "a record about the clock")
            named = [entry for entry in server.log if f"the machine's clock is {sentence} the newest record" in entry["message"]]
            assert len(named) == 1 - start and metric(server, "hubaudit_clock_steps_total") == 1 - start
            server.kill()
    clock.set_off(0)
    with Server(tmp_path / "log", wrap=clock.wrap) as server, server.connect(hub="h") as hub:
        if offset < 0 and offset > -DAY:
            # It was behind by an hour, which a log may be left alone: nothing says that it was set since.
            assert len(said(server)) == 1
        else:
            wait_for(lambda: len(said(server)) == 2, "a record about the clock")
        before = time.time()
        sequence = hub.append({"kind": "right"}).appended.first_sequence
        assert before - 1 <= hub.read_all(sequence)[0].header.received_at / 1e9 <= time.time() + 1
        assert server.stop() == 0
    for words in (["inspect", str(tmp_path / "log")], ["verify", "--data", str(tmp_path / "log")]):
        done = subprocess.run([BINARY, *words], capture_output=True, text=True, timeout=60)
        assert "NOT VERIFIED" not in done.stdout and "before the one before" not in done.stderr, done
