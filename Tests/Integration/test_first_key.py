"""The key that a server makes for a new log, and who may read a key's file."""

from __future__ import annotations

import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import tempfile

import pytest
from witness import Note, get, keygen, wait_for
from wire import BINARY, Server

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")}


def key_directory(tmp_path: pathlib.Path) -> pathlib.Path:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)
    return directory


def append(server: Server, kind: str) -> None:
    with server.connect(hub="h") as hub:
        assert hub.append({"kind": kind}).appended.recorded == 1


def made(server: Server) -> dict:
    (line,) = [line for line in server.log if line["message"].startswith("made the key")]
    return line


def checkpoint(server: Server) -> Note:
    def look() -> Note | None:
        status, body, _ = get(f"http://{server.http_address}/checkpoint")
        return Note.read(body.decode()) if status == 200 else None

    return wait_for("a checkpoint", look)


def refused(data: pathlib.Path, *flags: str, wrap: tuple[str, ...] = (), **environment: str) -> str:
    """What is said by a server that does not start."""
    command = [*wrap, BINARY, "serve", "--data", str(data), "--listen", "127.0.0.1:0", "--http-listen", "off", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT | environment)
    assert done.returncode in (1, 64) and '"ready"' not in done.stdout, done
    return done.stderr


def state(directory: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_a_new_log_gets_a_key_that_signs_it_and_is_told_once(tmp_path: pathlib.Path) -> None:
    key = key_directory(tmp_path) / "log.key"
    flags = ("--signing-key", str(key), "--make-key")
    with Server(tmp_path / "log", *flags) as server:
        line = made(server)
        assert line["level"] == "warning" and line["key"] == str(key) and "back its file up" in line["message"]
        vkey = line["verifier_key"]
        origin = vkey.split("+")[0]
        assert re.fullmatch(r"[A-Za-z0-9.-]+/hubaudit-[0-9a-f]{8}", origin)
        assert checkpoint(server).is_signed_by(vkey)
        # Nobody but its owner may read it, and nothing else is left where it was written.
        assert stat.S_IMODE(key.stat().st_mode) == 0o600 and [path.name for path in key.parent.iterdir()] == ["log.key"]
        assert key.read_text().startswith(f"PRIVATE+KEY+{origin}+")
        assert not [line for line in server.log if key.read_text().strip() in json.dumps(line)]
        assert json.loads((tmp_path / "log" / "log.json").read_text())["origin"] == origin
        append(server, "k")
        assert server.stop() == 0
    before = key.read_bytes()
    with Server(tmp_path / "log", *flags) as server:
        assert not [line for line in server.log if "made the key" in line["message"]]
        assert checkpoint(server).is_signed_by(vkey) and key.read_bytes() == before


@pytest.mark.parametrize("twin", ["environment", "file"])
def test_environment_and_configuration_file_tell_it_too(tmp_path: pathlib.Path, twin: str) -> None:
    key = key_directory(tmp_path) / "log.key"
    values = {"signing-key": str(key), "make-key": "true", "origin": "audit.example.com/hubs"}
    environment = {}
    if twin == "environment":
        environment = {"HUBAUDIT_" + name.upper().replace("-", "_"): value for name, value in values.items()}
    else:
        (tmp_path / "conf").write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
        environment = {"HUBAUDIT_CONFIG": str(tmp_path / "conf")}
    wrap = ("env", *(f"{name}={value}" for name, value in environment.items()))
    with Server(tmp_path / "log", wrap=wrap) as server:
        assert made(server)["verifier_key"].startswith("audit.example.com/hubs+")
        assert checkpoint(server).text.startswith("audit.example.com/hubs\n")


def test_two_logs_of_one_machine_get_two_names(tmp_path: pathlib.Path) -> None:
    keys = key_directory(tmp_path)
    origins = set()
    for name in ("a", "b"):
        with Server(tmp_path / name, "--signing-key", str(keys / name), "--make-key") as server:
            origins.add(made(server)["verifier_key"].split("+")[0])
    assert len(origins) == 2


def test_a_log_that_was_begun_and_never_used_gets_one(tmp_path: pathlib.Path) -> None:
    with Server(tmp_path / "log") as server:
        assert server.stop() == 0
    with Server(tmp_path / "log", "--signing-key", str(key_directory(tmp_path) / "log.key"), "--make-key") as server:
        assert checkpoint(server).is_signed_by(made(server)["verifier_key"])


@pytest.mark.parametrize("past", ["records", "signed", "signed elsewhere", "records and killed", "no log.json"])
def test_a_log_with_a_past_gets_none_and_the_missing_file_is_named(tmp_path: pathlib.Path, past: str) -> None:
    keys = key_directory(tmp_path)
    key, data = keys / "log.key", tmp_path / "log"
    flags: list[str] = ["--signing-key", str(key), "--make-key"]
    if past == "signed elsewhere":
        flags += ["--checkpoints", str(tmp_path / "checkpoints")]
    with Server(data, *(flags if past.startswith("signed") else [])) as server:
        if "records" in past or past == "no log.json":
            append(server, "k")
        if past == "records and killed":
            server.kill()
        else:
            assert server.stop() == 0
    key.unlink(missing_ok=True)
    if past == "signed elsewhere":
        # Another directory's checkpoints: this one is new.
        data = tmp_path / "another"
        data.mkdir(mode=0o700)
    if past == "no log.json":
        (data / "log.json").unlink()
    before = state(data)
    error = refused(data, *flags)
    assert str(key) in error and "is missing" in error and "for a new log only" in error and "backup" in error
    assert state(data) == before and not list(keys.iterdir())


def test_a_key_that_could_not_be_made_leaves_nothing(tmp_path: pathlib.Path) -> None:
    missing = refused(tmp_path / "log", "--signing-key", str(tmp_path / "nowhere" / "log.key"), "--make-key")
    assert str(tmp_path / "nowhere" / "log.key") in missing and "make its directory first" in missing
    within = refused(tmp_path / "log", "--signing-key", str(tmp_path / "log" / "log.key"), "--make-key")
    assert "data directory" in within
    keys = key_directory(tmp_path)
    assert "--make-key goes with one key file" in refused(tmp_path / "log", "--make-key")
    assert "and 2 are named" in refused(tmp_path / "log", "--signing-key", f"{keys}/a,{keys}/b", "--make-key")
    assert "must not be empty or contain spaces" in refused(tmp_path / "log", "--signing-key", f"{keys}/a", "--make-key", "--origin", "a b")
    assert "cannot be printed" in refused(tmp_path / "log", "--signing-key", f"{keys}/a", "--make-key", "--origin", "a\u202eb")
    # Without being told to, none is made.
    assert "cannot read the key file" in refused(tmp_path / "log", "--signing-key", f"{keys}/a")
    assert not (tmp_path / "log").exists() and not list(keys.iterdir())


def test_a_server_that_cannot_listen_makes_no_key(tmp_path: pathlib.Path) -> None:
    keys = key_directory(tmp_path)
    with Server(tmp_path / "other") as other:
        error = refused(tmp_path / "log", "--signing-key", f"{keys}/a", "--make-key", "--listen", other.address)
    assert "cannot listen" in error and not list(keys.iterdir()) and not (tmp_path / "log").exists()


def test_what_a_killed_start_left_does_not_stand_in_the_way(tmp_path: pathlib.Path) -> None:
    keys = key_directory(tmp_path)
    # In a container every start has the same number.
    script = f"touch {keys}/.log.key.$$.new; exec \"$@\""
    with Server(tmp_path / "log", "--signing-key", str(keys / "log.key"), "--make-key", wrap=("sh", "-c", script, "sh")) as server:
        assert made(server) and [path.name for path in keys.iterdir()] == ["log.key"]


def test_the_log_s_name_must_be_the_key_s(tmp_path: pathlib.Path) -> None:
    keygen(tmp_path / "log.key", "log.example/one")
    flags = ("--signing-key", str(tmp_path / "log.key"), "--origin")
    error = refused(tmp_path / "log", *flags, "log.example/two")
    assert "--origin" in error and "log.example/one" in error and "log.example/two" in error
    with Server(tmp_path / "log", *flags, "log.example/one") as server:
        assert checkpoint(server).text.startswith("log.example/one\n")


@pytest.mark.parametrize(("mode", "alone", "shared"), [
    (0o600, True, True), (0o400, True, True), (0o440, False, True), (0o640, False, True), (0o460, False, False), (0o444, False, False),
    (0o604, False, False), (0o650, False, False),
])
def test_the_group_may_read_a_key_only_where_that_is_said(tmp_path: pathlib.Path, mode: int, alone: bool, shared: bool) -> None:
    key = tmp_path / "log.key"
    vkey = keygen(key, "log.example/group")
    key.chmod(mode)
    for flags, is_taken in (((), alone), (("--key-group-readable",), shared)):
        if is_taken:
            with Server(tmp_path / "log", "--signing-key", str(key), *flags) as server:
                assert checkpoint(server).is_signed_by(vkey)
        else:
            error = refused(tmp_path / "new", "--signing-key", str(key), *flags)
            assert str(key) in error and oct(mode)[2:] in error and ("--key-group-readable" in error) == (shared and not flags)
            assert not (tmp_path / "new").exists()


def test_every_command_that_reads_a_key_has_the_same_rule(tmp_path: pathlib.Path) -> None:
    keygen(tmp_path / "w.key", "w.example/w", "--witness")
    vkey = keygen(tmp_path / "log.key", "log.example/group")
    (tmp_path / "w.key").chmod(0o440)
    (tmp_path / "log.key").chmod(0o440)
    with Server(tmp_path / "log", "--signing-key", str(tmp_path / "log.key"), "--key-group-readable") as server:
        append(server, "k")
        erase = [BINARY, "erase", "0", "--reason", "r", "-s", server.address, "--signing-key", str(tmp_path / "log.key")]
        witness = [BINARY, "witness", "--state", str(tmp_path / "state"), "--key", str(tmp_path / "w.key"), "--log", vkey]
        for command in (erase, witness):
            done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
            assert done.returncode == 64 and "--key-group-readable" in done.stderr
        assert subprocess.run([*erase, "--key-group-readable"], env=ENVIRONMENT, timeout=60).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's files take root")
def test_a_secret_of_root_is_taken_by_a_user_of_its_group(tmp_path: pathlib.Path) -> None:
    """As Kubernetes' fsGroup and systemd's credentials are: owned by root, readable by the group or by a list of access."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o711)
        secret_of_root(pathlib.Path(place))


def secret_of_root(place: pathlib.Path) -> None:
    key, data = place / "secret", place / "log"
    keygen(key, "log.example/secret")
    os.chown(key, 0, 10001)
    key.chmod(0o440)
    data.mkdir(mode=0o700)
    os.chown(data, 10001, 10001)
    code = "import os, sys; os.setgroups([]); os.setgid(10001); os.setuid(10001); os.execv(sys.argv[1], sys.argv[1:])"
    wrap = (sys.executable, "-c", code)
    if subprocess.run([*wrap, BINARY, "--version"], capture_output=True).returncode != 0:
        pytest.skip("the command lies where another user cannot run it")
    assert "--key-group-readable" in refused(data, "--signing-key", str(key), wrap=wrap)
    with Server(data, "--signing-key", str(key), "--key-group-readable", wrap=wrap) as server:
        assert checkpoint(server).text.startswith("log.example/secret\n")
