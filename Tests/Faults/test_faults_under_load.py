"""Faults under the load of several hubs: whatever fails, each promise is kept when the log is opened again."""

from __future__ import annotations

import os
import pathlib
import random
import re
import shutil

import calls
import pytest
from hubaudit._proto import frames_pb2
from load import Load
from wire import Server

pytestmark = pytest.mark.usefixtures("strace")

LOG_FAILED, STORAGE_FULL = frames_pb2.Error.CODE_LOG_FAILED, frames_pb2.Error.CODE_STORAGE_FULL
# Small, so that new segments are begun all the time.
FLAGS = ("--segment-bytes", "65536")
KILLS = int(os.environ.get("HUBAUDIT_KILLS", "60"))


def begin(data: pathlib.Path, load: Load) -> None:
    """Some records, so that what fails is not the first start."""
    with Server(data, *FLAGS) as server:
        load.begin(server)
        load.wait_for_acknowledgements(200)
        load.end(server)
    # Closed in peace, so that it is known which calls the next start makes.
    Server(data, *FLAGS).stop()


def newest_segment(data: pathlib.Path) -> pathlib.Path:
    return max((data / "segments").iterdir())


def go_on(data: pathlib.Path, load: Load) -> None:
    """On a machine without faults all is there, and appends are taken."""
    with Server(data, *FLAGS) as server:
        load.begin(server)
        load.wait_for_acknowledgements(200)
        load.end(server)
    with Server(data, *FLAGS) as server:
        load.finish(server)


# Counted in each of the threads that store: the sync of a segment that is complete, of the new one, of the directory; then those of the next.
@pytest.mark.parametrize(
    ("call", "what"),
    [
        *[("fsync", f"error=EIO:when={k}") for k in (13, 14, 15, 16, 17, 18)],
        ("fdatasync", "error=EIO:when=20"),
        ("pwritev", "error=EIO:when=20+"),
        ("ftruncate", "error=EIO:when=3"),
        ("/^rename", "error=EIO:when=3"),
    ],
)
def test_after_a_failure_nothing_is_acknowledged(tmp_path: pathlib.Path, chance: random.Random, call: str, what: str) -> None:
    load = Load(chance)
    begin(tmp_path / "log", load)
    with Server(tmp_path / "log", *FLAGS, wrap=calls.failing(call, what)) as server:
        load.begin(server)
        load.wait(lambda: load.refusals(LOG_FAILED) > 0)
        with server.connect(hub="p0") as hub:
            assert hub.append({}).error.code == LOG_FAILED
            # All that is read now was promised, too.
            load.ledger.note_read(hub.read_all())
        assert server.get("/healthz")[0] == server.get("/readyz")[0] == 503
        load.end(server)
    go_on(tmp_path / "log", load)


@pytest.mark.parametrize(
    ("call", "what"),
    [("pwritev", "error=EINTR:when=1+2"), ("pread64", "error=EINTR:when=1+2"), ("ftruncate", "error=EINTR:when=1+2")],
)
def test_an_interrupted_call_is_made_again(tmp_path: pathlib.Path, chance: random.Random, call: str, what: str) -> None:
    load = Load(chance)
    begin(tmp_path / "log", load)
    # The dynamic linker, which reads with pread64 too, has no second try.
    path = newest_segment(tmp_path / "log") if call == "pread64" else None
    with Server(tmp_path / "log", *FLAGS, wrap=calls.failing(call, what, path=path)) as server:
        load.begin(server)
        load.wait_for_acknowledgements(1000)
        with server.connect(client="reader") as connection:
            load.ledger.note_read(connection.read_all())
        assert not any(producer.refusals for producer in load.producers)
        load.end(server)
    go_on(tmp_path / "log", load)


def test_calls_that_do_a_part_of_what_they_were_asked(tmp_path: pathlib.Path, chance: random.Random) -> None:
    if shutil.which("fiu-run") is None:
        pytest.skip("no fiu-run; .ci/install installs it")
    load = Load(chance)
    begin(tmp_path / "log", load)
    # libfiu has the kernel asked for less, where strace could only say that less was done. strace counts what becomes of it.
    partial = [f"enable_random name=posix/io/rw/{call}/reduce,probability=0.5" for call in ("pwritev", "pread")]
    trace = tmp_path / "trace"
    counting = ("strace", "-D", "-f", "-y", "-o", str(trace), "-e", "trace=pwritev,fdatasync,fsync")
    wrap = (*calls.WRAP, *counting, "fiu-run", "-x", "-c", partial[0], "-c", partial[1])
    with Server(tmp_path / "log", *FLAGS, wrap=wrap) as server:
        load.begin(server)
        load.wait_for_acknowledgements(3000)
        with server.connect(client="reader") as connection:
            load.ledger.note_read(connection.read_all())
        assert not any(producer.refusals for producer in load.producers)
        load.end(server)
    # A commit is one write and one sync, unless the write did only a part.
    made = re.findall(r"(pwritev|f(?:data)?sync)\(\d+<\S*segments/\S*>", trace.read_text())
    assert sum(pair == ("pwritev", "pwritev") for pair in zip(made, made[1:])) > 0
    go_on(tmp_path / "log", load)


def test_a_disk_without_room_for_a_while(tmp_path: pathlib.Path, chance: random.Random) -> None:
    load = Load(chance)
    begin(tmp_path / "log", load)
    with Server(tmp_path / "log", *FLAGS, wrap=calls.failing("pwritev", "error=ENOSPC:when=10..19")) as server:
        load.begin(server)
        load.wait(lambda: load.refusals(STORAGE_FULL) > 0)
        load.wait_for_acknowledgements(500)
        # Each of the threads that store has its own tenth write.
        load.wait(lambda: server.get("/readyz")[0] == 200)
        load.end(server)
    go_on(tmp_path / "log", load)


def test_a_kill_at_any_call_loses_nothing(tmp_path: pathlib.Path, chance: random.Random) -> None:
    """The process ends instead of the k-th call: while it starts, while it writes, while it begins a segment, before it answers."""
    reach = {"pwritev": 40, "fdatasync": 40, "fsync": 12, "ftruncate": 5, "/^rename": 6, "pread64": 12, "openat": 160, "write": 60, "writev": 20}
    load = Load(chance)
    before_ready = 0
    for _ in range(KILLS):
        call = chance.choice(list(reach))
        what = f"signal=KILL:when={chance.randint(1, reach[call])}"
        with Server(tmp_path / "log", *FLAGS, wrap=calls.failing(call, what), awaits_ready=False) as server:
            if server.is_ready():
                enough = load.acknowledged + 2000
                load.servers.announce(server.port)
                # Some calls are not made that often.
                load.wait(lambda: server.process.poll() is not None or load.acknowledged > enough)
            else:
                before_ready += 1
            load.end(server)
        with Server(tmp_path / "log", *FLAGS) as server:
            load.ledger.audit(server)
    with Server(tmp_path / "log", *FLAGS) as server:
        load.finish(server)
    print(f"{KILLS} kills, {before_ready} of them before the server was ready, {load.ledger.acknowledged} records acknowledged")
    assert load.ledger.acknowledged > KILLS
