"""The harness sees what it is there to see."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys

import pytest
from held_port import HeldPort
from server import Server
from server_under_test import ServerUnderTest
from witness import Witness, keygen

CONFTEST = pathlib.Path(__file__).resolve().parents[1] / "conftest.py"

LEAVING = """
import pathlib, subprocess

def test_leaves_one_behind(tmp_path):
    started = subprocess.Popen(["sh", "-c", "setsid sleep 600 > /dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, text=True)
    pathlib.Path("left").write_text(started.stdout.readline())
    started.wait()
    assert {passes}

def test_starts_nothing():
    pass
"""


@pytest.mark.parametrize("passes", [True, False])
def test_a_process_that_a_test_leaves_behind_is_killed_and_fails_that_test_alone(tmp_path: pathlib.Path, passes: bool):
    (tmp_path / "test_it.py").write_text(LEAVING.format(passes=passes))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", tmp_path, "-p", "conftest", "test_it.py"], cwd=tmp_path,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(CONFTEST.parent)},
    )
    assert run.returncode == 1
    assert "processes were left behind" in run.stdout and "sleep 600" in run.stdout
    assert ("2 passed, 1 error" if passes else "1 failed, 1 passed, 1 error") in run.stdout
    left = int((tmp_path / "left").read_text())
    assert not pathlib.Path(f"/proc/{left}/cmdline").exists() or not pathlib.Path(f"/proc/{left}/cmdline").read_bytes()


def test_a_held_port_is_refused_to_others_and_free_for_a_server():
    held = HeldPort()
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", held.number))
    for _ in range(2):
        with socket.create_server(("127.0.0.1", held.number)) as server:
            assert server.getsockname()[1] == held.number
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", held.number))


def refused_to_others(port: int) -> bool:
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def test_a_server_keeps_its_port_while_it_does_not_run(tmp_path: pathlib.Path):
    server = Server(tmp_path)
    address = server.address
    try:
        for _ in range(2):
            server.start()
            assert server.address == address
            server.kill()
            assert refused_to_others(server.port)
    finally:
        server.kill()


def test_a_witness_keeps_its_port_while_it_does_not_run(tmp_path: pathlib.Path):
    log = keygen(tmp_path / "log.key", "log.example/held")
    keygen(tmp_path / "witness.key", "witness.example/held", "--witness")
    with Witness(tmp_path / "state", tmp_path / "witness.key", log) as first:
        first.kill()
        assert refused_to_others(first.port)
        with first.restart() as second:
            assert second.port == first.port


def test_a_server_of_the_histories_keeps_its_port_while_it_does_not_run(tmp_path: pathlib.Path):
    server = ServerUnderTest(tmp_path, listen="127.0.0.1", wrap=())
    port = server.port
    try:
        server.start()
        assert server.port == port
    finally:
        server.kill()
    assert refused_to_others(port)
