"""The small files that a program of ours replaces are the old ones or the new ones, wherever the program or the machine stops."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
from wire import BINARY, Server

pytestmark = pytest.mark.usefixtures("strace")

# Whatever a program may do to a file on the way.
CALLS = ("openat", "ftruncate", "write", "pwrite64", "fchmod", "fsync", "rename", "unlink")

PYTHON = """
import pathlib, sys
from hubaudit._memory import _write
_write(pathlib.Path(sys.argv[1]), sys.argv[2].encode())
"""


@pytest.fixture
def signed(tmp_path: pathlib.Path):
    """A signed log with three records."""
    made = subprocess.run([BINARY, "keygen", "a.example/log", "-o", str(tmp_path / "key")], capture_output=True, text=True, check=True)
    with Server(tmp_path / "log", "--signing-key", str(tmp_path / "key")) as server, server.connect(hub="h") as hub:
        hub.append({"n": 0}, {"n": 1}, {"n": 2})
        yield server, made.stdout.strip()


def grow(signed: tuple[Server, str]) -> None:
    """One more record, and a checkpoint that covers it."""
    server, key = signed
    with server.connect(hub="h") as hub:
        hub.append({"more": True})
    subprocess.run([BINARY, "verify", "-s", server.address, "--key", key, "-q"], check=True, timeout=60)


def commands(server: Server, key: str) -> dict[str, list[str]]:
    """Commands that replace the file FILE by another one, when the log has grown."""
    return {
        "read --cursor-file": [BINARY, "read", "-s", server.address, "-o", "json", "--from", "first", "--cursor-file", "FILE"],
        "tail --cursor-file": [BINARY, "tail", "-s", server.address, "-o", "json", "--from", "first", "--cursor-file", "FILE"],
        "verify --save": [BINARY, "verify", "-s", server.address, "--key", key, "--save", "FILE", "-q"],
        "prove --out": [BINARY, "prove", "-s", server.address, "--key", key, "1", "--out", "FILE"],
        "Python's checkpoint file": [sys.executable, "-c", PYTHON, "FILE", "CONTENT"],
    }


NAMES = list(commands(type("", (), {"address": ""})(), ""))  # type: ignore[arg-type]


def command(name: str, signed: tuple[Server, str], file: pathlib.Path, content: str) -> list[str]:
    return [{"FILE": str(file), "CONTENT": content}.get(word, word) for word in commands(*signed)[name]]


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_anywhere_leaves_the_old_file_or_the_new_one(name: str, signed: tuple[Server, str], tmp_path: pathlib.Path) -> None:
    file = tmp_path / "file"
    subprocess.run(command(name, signed, file, "old"), check=True, capture_output=True, timeout=60)
    old = file.read_bytes()
    grow(signed)
    fresh = tmp_path / "fresh"
    fresh.write_bytes(old)
    subprocess.run(command(name, signed, fresh, "new content"), check=True, capture_output=True, timeout=60)
    new = fresh.read_bytes()
    assert new != old
    killed = 0
    for call in CALLS:
        for when in range(1, 4):
            file.write_bytes(old)
            wrapped = ["strace", "-f", "-o", "/dev/null", "-P", str(file), "-P", f"{file}.new", "-e", f"trace={call}",
                       "-e", f"inject={call}:signal=KILL:when={when}"]
            done = subprocess.run([*wrapped, *command(name, signed, file, "new content")], capture_output=True, timeout=60)
            assert file.read_bytes() in (old, new), f"{call} {when}"
            if done.returncode == 0:
                assert file.read_bytes() == new
                break
            killed += 1
    # A file that is written, synced and renamed takes at least these.
    assert killed >= 4
    # What was left over is in nobody's way.
    file.write_bytes(old)
    subprocess.run(command(name, signed, file, "new content"), check=True, capture_output=True, timeout=60)
    assert file.read_bytes() == new and not file.with_name("file.new").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_synced_before_it_has_its_name_and_then_its_directory(name: str, signed: tuple[Server, str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "kept").mkdir()
    file = tmp_path / "kept" / "file"
    trace = tmp_path / "trace"
    wrapped = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2"]
    subprocess.run([*wrapped, *command(name, signed, file, "new")], check=True, capture_output=True, timeout=60)
    steps = []
    for line in trace.read_text().splitlines():
        if (found := re.search(rf'(\w+)\((?:\d+<|AT_FDCWD[^,]*, |"){re.escape(str(file.parent))}(/file\.new)?[>"]', line)) is not None:
            steps.append(found[1].removeprefix("p").removesuffix("64") + (" file" if found[2] else " directory"))
    # A tail may write more than one position.
    assert steps and steps == ["write file", "fsync file", "rename file", "fsync directory"] * (len(steps) // 4), steps


def test_a_failed_sync_of_a_cursor_is_an_error(signed: tuple[Server, str], tmp_path: pathlib.Path) -> None:
    file = tmp_path / "file"
    for words in ("fsync:error=EIO", "rename:error=ENOSPC", "write:error=ENOSPC"):
        call = words.split(":")[0]
        wrapped = ["strace", "-f", "-o", "/dev/null", "-P", f"{file}.new", "-e", f"trace={call}", "-e", f"inject={words}"]
        done = subprocess.run(
            [*wrapped, *command("read --cursor-file", signed, file, "")], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and f"cannot write the position to {file}: {call} of {file}.new" in done.stderr, done.stderr
        assert not file.exists()
        calls_left = [name.name for name in tmp_path.iterdir() if name.name.startswith("file")]
        assert calls_left in ([], ["file.new"])


def test_a_cursor_file_may_be_a_link_and_keeps_its_mode(signed: tuple[Server, str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real"
    link = tmp_path / "link"
    read = command("read --cursor-file", signed, link, "")
    subprocess.run(command("read --cursor-file", signed, real, ""), check=True, capture_output=True, timeout=60)
    real.chmod(0o640)
    link.symlink_to(real)
    before = real.read_bytes()
    grow(signed)
    subprocess.run(read, check=True, capture_output=True, timeout=60)
    assert link.is_symlink() and real.read_bytes() != before and real.stat().st_mode & 0o777 == 0o640
