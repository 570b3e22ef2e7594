"""What others do to a data directory while a server has it, whose files it takes, and what it says of them."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import stat
import subprocess

import pytest
from hubaudit._proto import record_pb2
from wire import BINARY, ROOT, Server
from witness import Witness, keygen, wait_for

ORIGIN = "log.example/directory"
IS_ROOT = os.geteuid() == 0


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def refused(data: pathlib.Path, *flags: str) -> str:
    """What a server says that does not start."""
    done = run("serve", "--data", data, "--listen", "127.0.0.1:0", "--http-listen", "off", *flags)
    assert done.returncode in (1, 64), done
    return done.stdout + done.stderr


def append(server: Server, number: int = 3) -> object:
    with server.connect(hub="a") as connection:
        return connection.append(*({"kind": "k", "n": n} for n in range(number)))


# Two servers


def test_no_file_of_the_directory_lets_a_second_server_in_when_it_is_removed(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "log"
    with Server(data) as first:
        assert append(first).appended.first_sequence == 0
        said = refused(data)
        assert "in use" in said and str(first.process.pid) in said
        for path in [path for path in data.iterdir() if path.is_file()]:
            assert path.name not in said
            shutil.move(path, tmp_path / path.name)
            assert "in use" in refused(data)
            shutil.move(tmp_path / path.name, path)
        data.rename(tmp_path / "moved")
        assert "in use" in refused(tmp_path / "moved")
    assert run("verify", "--data", tmp_path / "moved").stdout.startswith("consistent, but unsigned: 3 records")


def test_a_second_witness_is_not_let_in_either(tmp_path: pathlib.Path) -> None:
    vkey, key = keygen(tmp_path / "log.key", ORIGIN), tmp_path / "key"
    keygen(key, "w", "--witness")
    with Witness(tmp_path / "state", key, vkey):
        for path in (tmp_path / "state").iterdir():
            path.unlink()
        done = run("witness", "--listen", "127.0.0.1:0", "--state", tmp_path / "state", "--key", key, "--log", vkey)
        assert done.returncode != 0 and "in use" in done.stdout + done.stderr, done


# The place


@pytest.mark.parametrize("how", ["removed", "replaced", "mounted over"])
def test_a_directory_that_is_gone_ends_appending_and_health_says_so(tmp_path: pathlib.Path, how: str) -> None:
    data = tmp_path / "log"
    with Server(data) as server:
        assert append(server).WhichOneof("reply") == "appended"
        if how == "removed":
            shutil.rmtree(data)
        elif how == "replaced":
            data.rename(tmp_path / "old")
            shutil.copytree(tmp_path / "old", data)
        else:
            done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", data], capture_output=True, text=True)
            if done.returncode != 0:
                pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        try:
            # Nobody appends: it is noticed all the same.
            wait_for("health to say so", lambda: server.get("/readyz")[0] == 503)
            health = run("health", "-s", server.address, "-o", "json")
            assert str(data) in health.stdout and "appending has ended" in health.stdout, health
            answer = append(server)
            assert answer.WhichOneof("reply") == "error" and "removed, replaced or unmounted" in answer.error.message, answer
            # What was acknowledged can be had as long as the server runs, as the sentence says.
            open_files = pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()
            assert any(b'"n": 2' in file.read_bytes() for file in open_files if ".seg" in os.readlink(file))
        finally:
            if how == "mounted over":
                subprocess.run(["umount", data], check=True)


# Whose files


@pytest.mark.skipif(not IS_ROOT, reason="giving files away takes root")
def test_a_key_file_of_another_user_is_refused_for_root_too(tmp_path: pathlib.Path) -> None:
    key = tmp_path / "key"
    keygen(key, ORIGIN)
    os.chown(key, 12345, 12345)
    said = refused(tmp_path / "log", "--signing-key", str(key))
    assert "belongs to user 12345" in said
    done = run("erase", "0", "--reason", "x", "--signing-key", key)
    assert done.returncode == 64 and "belongs to user 12345" in done.stderr


@pytest.mark.parametrize("name", ["log.example/\x1b[31m", "log.example/\u202eexe", "log.example/\x07", "log\u00a0example"])
def test_a_key_has_a_name_that_can_be_printed(tmp_path: pathlib.Path, name: str) -> None:
    done = run("keygen", name, "--out", tmp_path / "key")
    assert done.returncode == 64 and not (tmp_path / "key").exists()
    assert name not in done.stderr and name not in done.stdout


def test_a_unix_socket_is_for_its_owner(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "socket"
    for _ in range(2):
        # The second one finds what the first has left.
        with Server(tmp_path / "log", listen=f"unix:{path}") as server:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
            assert run("health", "-s", f"unix:{path}").returncode == 0
            server.kill()
    (tmp_path / "file").write_text("somebody's")
    assert "cannot listen" in refused(tmp_path / "log", "--listen", f"unix:{tmp_path / 'file'}")
    assert (tmp_path / "file").read_text() == "somebody's"


# What is said of them


@pytest.fixture
def signed(tmp_path: pathlib.Path) -> tuple[pathlib.Path, str]:
    """A stopped log of 600 records in more than three segments."""
    vkey = keygen(tmp_path / "key", ORIGIN)
    with Server(tmp_path / "log", "--signing-key", str(tmp_path / "key"), "--segment-bytes", "65536") as server:
        with server.connect(hub="a") as connection:
            for n in range(600):
                connection.append({"kind": "k", "n": n, "text": "x" * 300})
        assert server.stop() == 0
    assert len(list((tmp_path / "log/segments").iterdir())) > 3
    return tmp_path / "log", vkey


@pytest.mark.parametrize("which", [0, 1, -1])
def test_with_a_segment_gone_it_is_said_which_records_are_missing_and_how_many_there_are(signed: tuple[pathlib.Path, str], which: int) -> None:
    data, vkey = signed
    segments = sorted((data / "segments").iterdir())
    first = int(segments[which].stem)
    end = None if which == -1 else int(segments[which + 1].stem)
    total = len(segments)
    segments[which].unlink()
    inspected = run("inspect", data, "-o", "table")
    if which == -1:
        # An inspection looks at segments only: a log that ends earlier looks like one that never had more.
        assert inspected.returncode == 0
    else:
        assert inspected.returncode == 4 and end is not None
        lines = inspected.stderr.splitlines()
        assert len(lines) == 1 and f"records {first} to {end - 1} are missing ({end - first})" in lines[0], lines
    for keys in ([], ["--key", vkey]):
        done = run("verify", "--data", data, *keys)
        lines = [line for line in done.stderr.splitlines() if "notice" not in line]
        assert done.returncode == 4 and done.stdout.startswith("NOT VERIFIED: "), done
        assert f"{total - 1} segments" in done.stdout
        if which == -1:
            assert len(lines) == 1 and "records were removed" in lines[0], lines
            assert f"NOT VERIFIED: {first} records" in done.stdout
        else:
            assert len(lines) == 1 and f"records {first} to {end - 1} are missing ({end - first})" in lines[0], lines
            size = int(done.stdout.split(" of ")[1].split()[0])
            assert done.stdout.startswith(f"NOT VERIFIED: {size - (end - first)} of {size} records"), done.stdout


def verdicts(data: pathlib.Path, copy: pathlib.Path, server: Server, *flags: object) -> set[tuple[str, int]]:
    """First words and exit codes of the server, the directory, and a copy."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    found = set()
    for where in (("-s", server.address), ("--data", data), ("--data", copy)):
        done = run("verify", *where, *flags)
        found.add((done.stdout.split(":")[0], done.returncode))
    return found


def test_the_first_words_say_what_was_checked_by_server_directory_and_copy(tmp_path: pathlib.Path) -> None:
    data, copy = tmp_path / "log", tmp_path / "copy"
    vkey, witness = keygen(tmp_path / "key", ORIGIN), keygen(tmp_path / "w", "w", "--witness")
    (tmp_path / "policy").write_text(f"log {vkey}\nwitness w {witness}\nquorum w\n")
    (tmp_path / "none").write_text(f"log {vkey}\nwitness w {witness}\nquorum none\n")
    with Server(data) as server:
        append(server)
        assert verdicts(data, copy, server) == {("consistent, but unsigned", 0)}
        for flags in (("--key", vkey), ("--policy", tmp_path / "none")):
            assert verdicts(data, copy, server, *flags) == {("consistent, but unsigned", 4)}
    with Server(data, "--signing-key", str(tmp_path / "key")) as server:
        append(server)
        assert run("prove", "-s", server.address, "2", "-o", tmp_path / "proof").returncode == 0
        assert verdicts(data, copy, server) == {("consistent, signatures not checked", 0)}
        for flags in (("--key", vkey), ("--policy", tmp_path / "none")):
            assert verdicts(data, copy, server, *flags) == {("verified", 0)}
        for flags in (("--key", vkey, "--key", witness), ("--policy", tmp_path / "policy")):
            assert verdicts(data, copy, server, *flags) == {("not cosigned", 4)}
            if "--policy" in flags:
                continue
            done = run("prove", "-s", server.address, "2", *flags, "-o", "-")
            assert done.returncode == 4 and "not cosigned" in done.stderr and not done.stdout, done
        for flags in (("--key", vkey, "--key", witness), ("--key", vkey, "--policy", tmp_path / "policy")):
            done = run("verify", tmp_path / "proof", *flags)
            assert done.returncode == 4 and "not cosigned" in done.stderr, done
        assert run("verify", tmp_path / "proof", "--key", vkey).stdout.startswith("verified")


def test_a_witness_that_has_cosigned_is_what_its_key_asks_for(tmp_path: pathlib.Path) -> None:
    vkey, witness = keygen(tmp_path / "key", ORIGIN), keygen(tmp_path / "w", "w", "--witness")
    with Witness(tmp_path / "state", tmp_path / "w", vkey) as one:
        policy = tmp_path / "policy"
        policy.write_text(f"log {vkey}\nwitness w {witness} http://127.0.0.1:{one.port}\nquorum w\n")
        with Server(tmp_path / "log", "--signing-key", str(tmp_path / "key"), "--witnesses", str(policy)) as server:
            append(server)
            wait_for("a cosigned checkpoint", lambda: any(entry["message"] == "cosigned" and int(entry["size"]) >= 3 for entry in one.log))
            wait_for("its storing", lambda: any(path.stat().st_size for path in (tmp_path / "log/checkpoints").glob("*.cosigned")))
            for flags in (("--key", vkey, "--key", witness), ("--policy", policy)):
                assert verdicts(tmp_path / "log", tmp_path / "copy", server, *flags) == {("verified", 0)}


@pytest.mark.skipif(shutil.which("protoc") is None, reason="no protoc")
def test_the_segment_of_a_running_server_is_had_clean_for_stock_tools(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path / "log") as server:
        append(server, 5)
        file = next((tmp_path / "log/segments").iterdir())
        decode = ["protoc", f"-I{ROOT / 'Proto'}", "--decode=hubaudit.v1.Segment", "hubaudit/v1/record.proto"]
        assert subprocess.run(decode, input=file.read_bytes(), capture_output=True).returncode != 0
        for flags in ([], ["--holding", "3"]):
            clean = subprocess.run([BINARY, "inspect", "--raw", str(tmp_path / "log"), *flags], capture_output=True)
            assert clean.returncode == 0 and clean.stderr == b"" and file.read_bytes().startswith(clean.stdout)
            assert not file.read_bytes()[len(clean.stdout) :].strip(b"\0")
            decoded = subprocess.run(decode, input=clean.stdout, capture_output=True)
            assert decoded.returncode == 0 and decoded.stdout.count(b"kind: ") == 5, decoded.stderr
            assert record_pb2.Segment.FromString(clean.stdout).header.format == 1
        missing = run("inspect", "--raw", tmp_path / "log", "--holding", "5")
        assert missing.returncode == 1 and "ends before record 5" in missing.stderr, missing
