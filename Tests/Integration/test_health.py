"""What a server tells of itself: the same over the wire, in `hubaudit health` and over HTTP; and the settings that it runs with."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import re
import subprocess

import pytest
from peers import metric
from witness import Witness, keygen, wait_for
from wire import BINARY, Server

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")}
ORIGIN = "log.example/health"


def run(*arguments: str, status: int = 0, **more: str) -> str:
    result = subprocess.run([BINARY, *arguments], capture_output=True, text=True, env=ENVIRONMENT | more, timeout=60)
    assert result.returncode == status, result
    return result.stdout if status == 0 else result.stderr


def health(server: Server) -> dict:
    return json.loads(run("health", "-s", server.address, "-o", "json"))


def told(server: Server) -> list[tuple[str, str]]:
    """What `?verbose` and `hubaudit health` say of signing, witnesses and scrub, without ages: it must be the same."""

    def lines(text: str, pattern: str) -> list[tuple[str, str]]:
        found = re.findall(pattern, text, re.MULTILINE)
        return [(name, re.sub(r"\d+ s ago", "N s ago", words)) for name, words in found if name in ("signed", "quorum", "witness", "scrub")]

    table = lines(run("health", "-s", server.address, "-o", "table"), r"^(\w+) +(.*)$")
    assert table == lines(server.get("/readyz?verbose")[1], r"^\[ \] (\w+): (.*)$")
    return table


def seconds(earlier: str, later: str) -> float:
    return (datetime.datetime.fromisoformat(later[:26] + "+00:00") - datetime.datetime.fromisoformat(earlier[:26] + "+00:00")).total_seconds()


def test_a_log_that_nobody_signs_says_so(server: Server) -> None:
    lines = dict(told(server))
    assert lines["signed"].startswith("no, ") and "--signing-key" in lines["signed"] and set(lines) == {"signed", "scrub"}
    found = health(server)
    assert (found["signer"], found["checkpoint_size"], found["checkpoint_stored_at"], found["quorum_size"]) == (None, None, None, None)
    assert found["witnesses"] == [] and found["scrub_ended_at"] is None or found["scrub_rounds"] > 0


def test_signing_witnesses_and_their_quorum_are_told_and_outlive_a_restart(tmp_path: pathlib.Path) -> None:
    vkey = keygen(tmp_path / "log.key", ORIGIN)
    witness_key = keygen(tmp_path / "w.key", "w.example/w", "--witness")
    with contextlib.ExitStack() as stack:
        witness = stack.enter_context(Witness(tmp_path / "w", tmp_path / "w.key", vkey))
        policy = tmp_path / "policy"
        policy.write_text(f"log {vkey}\nwitness first {witness_key} {witness.url}\nquorum first\n")
        flags = ["--signing-key", str(tmp_path / "log.key"), "--witnesses", str(policy), "--checkpoint-interval", "100ms"]
        with Server(tmp_path / "log", *flags) as server:
            with server.connect(hub="h") as hub:
                assert hub.append({"kind": "k"}, {"kind": "k"}).appended.recorded == 2
            found = wait_for("a quorum", lambda: (now := health(server))["quorum_size"] == 2 and now)
            assert (found["signer"], found["checkpoint_size"], found["next_sequence"]) == (ORIGIN, 2, 2)
            (first,) = found["witnesses"]
            assert (first["name"], first["cosigned_size"], first["contradicts"]) == ("first", 2, False) and "failure" not in first
            # A witness says whole seconds.
            for time in (found["checkpoint_stored_at"], found["quorum_stored_at"], first["cosigned_at"]):
                assert -1 <= seconds(time, found["now"]) < 600
            lines = dict(told(server))
            assert ORIGIN in lines["signed"] and "covers 2 records, stored N s ago; 0 records since" in lines["signed"]
            assert lines["quorum"].startswith("the newest checkpoint that has it covers 2 records, stored ")
            assert lines["witness"].startswith("first: 2 records cosigned, last ") and lines["witness"].endswith("; ok")
        witness.kill()
        with Server(tmp_path / "log", *flags) as server:
            with server.connect(hub="h") as hub:
                hub.append({"kind": "k"})
            found = wait_for("the witness to fail", lambda: (now := health(server))["witnesses"][0].get("failure") and now)
            (first,) = found["witnesses"]
            # What was stored before is known still, and the newest checkpoint goes on alone.
            assert (found["quorum_size"], first["cosigned_size"]) == (2, 2) and "cosigned_at" in first
            assert wait_for("a checkpoint", lambda: health(server)["checkpoint_size"] == 3)
            assert first["failure"] in dict(told(server))["witness"]


def test_a_round_of_the_scrub_is_told_with_its_end(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path / "log", "--scrub-pause", "50ms") as server:
        wait_for("a round", lambda: metric(server, "hubaudit_scrub_rounds_total") >= 1)
        found = health(server)
        assert 0 <= seconds(found["scrub_ended_at"], found["now"]) < 600 and found["scrub_rounds"] >= 1
        assert re.search(r"rounds?, last ended \d+ s ago, 0 records read again since the start; nothing found", server.get("/readyz?verbose")[1])


def values(text: str) -> dict[str, tuple[str, str]]:
    """Value and source by name."""
    return {name: (value.strip().strip('"'), source) for name, value, source in re.findall(r"^(\S+) = (.*?)  # (.*)$", text, re.MULTILINE)}


def test_config_show_asks_the_server_that_runs(tmp_path: pathlib.Path) -> None:
    keygen(tmp_path / "log.key", ORIGIN)
    secret = (tmp_path / "log.key").read_text().split()[-1]
    file = tmp_path / "hubaudit.conf"
    file.write_text("reads = 7\nlog-level = info\n")
    with Server(tmp_path / "log", "--signing-key", str(tmp_path / "log.key"), "--config", str(file), "--tail-bytes", "128KiB") as server:
        text = run("config", "show", "--server", server.address)
        found = values(text)
        local = values(run("config", "show"))
        assert list(found) == list(local)
        assert found["reads"][0] == "7" and found["reads"][1].startswith(f"file: {file}:1.")
        assert found["tail-bytes"][0] == "128KiB" and found["tail-bytes"][1].startswith("flag: --tail-bytes.")
        assert found["send-bytes"] == local["send-bytes"] and found["send-bytes"][1].startswith("default.")
        assert found["signing-key"][0] == str(tmp_path / "log.key") and secret not in text
        # Only who asks for it gets another machine's settings.
        assert values(run("config", "show", HUBAUDIT_SERVER=server.address))["reads"][0] == local["reads"][0]
        # What is shown is a file that the next server reads.
        again = tmp_path / "again.conf"
        again.write_text(text)
        assert values(run("config", "show", "--config", str(again)))["reads"][0] == "7"
        # The level is read again while the server runs, and nothing else.
        file.write_text("reads = 8\nlog-level = warning\n")
        server.process.send_signal(1)
        wait_for("the new level", lambda: values(run("config", "show", "-s", server.address))["log-level"][0] == "warning")
        assert values(run("config", "show", "-s", server.address))["reads"][0] == "7"
        assert "--reads" in run("config", "show", "-s", server.address, "--reads", "5", status=64)
        assert "--config" in run("config", "show", "-s", server.address, "--config", str(file), status=64)
    assert "cannot connect" in run("config", "show", "-s", server.address, status=2)


@pytest.mark.parametrize("text", ["x" * 100_000, "é" * 50_000])
def test_an_answer_with_settings_is_bounded(tmp_path: pathlib.Path, text: str) -> None:
    with Server(tmp_path / "log", "--http-hosts", text) as server, server.connect(hub="h") as connection:
        request = connection.request()
        request.settings.SetInParent()
        settings = connection.ask(request).settings.settings
        (hosts,) = [one for one in settings if one.name == "http-hosts"]
        assert 2_040 < len(hosts.value.encode()) <= 2_048 and hosts.value.endswith("\u2026") and text.startswith(hosts.value[:-1])
        assert hosts.origin == "--http-hosts" and hosts.Source.Name(hosts.source) == "SOURCE_FLAG"


def test_the_server_runs_with_fewer_connections_where_it_may_open_few_files_and_says_so(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path / "log", wrap=("prlimit", "--nofile=1000")) as server:
        value, source = values(run("config", "show", "-s", server.address))["connections"]
        assert int(value) < 1000 and source.startswith("default: as many as the process may open files for.")
