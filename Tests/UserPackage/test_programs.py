"""The programs of the libraries' articles run. `make docs` builds them first, as a package that depends on this one."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Tests" / "Conformance"))

from server import Server  # noqa: E402

PROGRAMS = ROOT / ".build-user" / "debug"


def records(program: str, argument: object) -> list[dict[str, object]]:
    """The records that a program printed, a line each: sequence, kind, JSON."""
    run = subprocess.run([PROGRAMS / program, str(argument)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    lines = [line.split(" ", 2) for line in run.stdout.splitlines() if line[0].isdigit()]
    assert [int(sequence) for sequence, _, _ in lines] == [0, 1]
    return [json.loads(text) for _, _, text in lines]


def test_the_embedded_log_calls_its_subscriber_for_each_record(tmp_path: pathlib.Path):
    agent, custom = records("EmbeddedLog", tmp_path / "log")
    assert (agent["agent_id"], agent["name"]) == ("a-1", "planner")
    assert custom == {"kind": "deployed", "version": "1.4.2"}


def test_the_remote_hub_reads_back_what_it_appended(tmp_path: pathlib.Path):
    server = Server(tmp_path)
    server.start()
    try:
        agent, custom = records("RemoteHub", server.address)
    finally:
        server.stop()
    assert (agent["agent_id"], agent["name"]) == ("a-1", "planner")
    assert custom == {"kind": "deployed", "version": "1.4.2"}
