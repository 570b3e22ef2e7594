"""The server is killed at every call that an erasure makes: afterwards the body is gone and said to be, or nothing has happened."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess

import pytest
from calls import WRAP
from erasing import erase, event, files_with, keygen, run, secret
from wire import Server

pytestmark = pytest.mark.usefixtures("strace")

# All that change the disk.
CALLS = ["openat", "pwritev", "fdatasync", "fsync", "rename", "unlink"]
SEQUENCE = 3
MOST = 40


@pytest.fixture
def log(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, str]:
    """A stopped log of some records, its key and its verifier key."""
    key, data = tmp_path / "key", tmp_path / "log"
    vkey = keygen(key)
    with Server(data, "--signing-key", str(key)) as server:
        with server.connect(hub="a") as connection:
            connection.append(*(event("a", number) for number in range(8)))
        assert server.stop() == 0
    return data, key, vkey


def killing(server: Server, call: str, which: int) -> subprocess.Popen[str]:
    """Attaches to the running server; the call of this number, counted for each thread by itself, is its last."""
    tracer = subprocess.Popen(
        [*WRAP, "strace", "-f", "-p", str(server.process.pid), "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={which}"],
        stderr=subprocess.PIPE, text=True,
    )
    threads = len(list(pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()))
    assert tracer.stderr is not None
    for line in tracer.stderr:
        # "Process 1 attached with 9 threads", or "Process 1 attached"
        if "attached" in line:
            return tracer
    raise AssertionError(f"strace did not attach to {threads} threads")


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_each_call(log: tuple[pathlib.Path, pathlib.Path, str], tmp_path: pathlib.Path, call: str) -> None:
    original, key, vkey = log
    outcomes = []
    for which in range(1, MOST):
        data = tmp_path / f"killed-{which}"
        shutil.copytree(original, data)
        with Server(data, "--signing-key", str(key)) as server:
            tracer = killing(server, call, which)
            done = erase(server, SEQUENCE, key)
            was_killed = done.returncode != 0
            if was_killed:
                server.process.wait(30)
            else:
                server.kill()
            tracer.wait(30)
        is_ordered = any((data / "erasures").glob("*.json"))
        outcomes.append((was_killed, is_ordered))
        check(data, key, vkey, must_be_erased=is_ordered or not was_killed)
        shutil.rmtree(data)
        if not was_killed:
            break
    print(f"{call}: killed at {len(outcomes) - 1} calls, {sum(ordered for _, ordered in outcomes)} of them with the order stored")
    assert not outcomes[-1][0], "the erasure never came to its end"
    # Between them the calls are those of the whole way; each of these is made at least once.
    assert len(outcomes) > 1


def check(data: pathlib.Path, key: pathlib.Path, vkey: str, *, must_be_erased: bool) -> None:
    """Starts again: never half."""
    with Server(data, "--signing-key", str(key)) as server:
        with server.connect(client="reader") as connection:
            records = connection.read_all()
        hole = not records[SEQUENCE].HasField("body")
        said = [json.loads(record.body.custom.json)["erased_sequence"] for record in records if record.header.kind == "record_erased"]
        assert said == ([SEQUENCE] if hole else []), (hole, said)
        assert hole or not must_be_erased
        if not hole:
            assert records[SEQUENCE].body.custom.json == event("a", SEQUENCE)
            again = erase(server, SEQUENCE, key)
            assert again.returncode == 0, again.stderr
        assert [record.HasField("body") for record in records[:8]] == [number != SEQUENCE or not hole for number in range(8)]
        assert not any((data / "erasures").iterdir())
        assert server.stop() == 0
    assert files_with(data, secret("a", SEQUENCE)) == []
    for number in range(8):
        assert number == SEQUENCE or files_with(data, secret("a", number)) != []
    verified = run("verify", "--data", data, "--key", vkey)
    assert verified.returncode == 0, verified.stderr
    assert f"erased: record {SEQUENCE} was erased by auditor" in verified.stdout
