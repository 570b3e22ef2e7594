"""The systemd unit: what it says, and a server that is run as it says."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess

import pytest
from witness import keygen, wait_for
from wire import BINARY, ROOT

UNIT = ROOT / "Docker" / "hubaudit.service"
COMMAND = "/usr/local/bin/hubaudit"


def parse(text: str) -> dict[str, list[tuple[str, str]]]:
    """The sections with their assignments in order; anything that is neither is an error."""
    sections: dict[str, list[tuple[str, str]]] = {}
    assignments: list[tuple[str, str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith(("#", ";")):
            continue
        if section := re.fullmatch(r"\[([A-Z][a-z]+)\]", line):
            assert section[1] not in sections, f"line {number}: a second [{section[1]}]"
            assignments = sections[section[1]] = []
        else:
            assignment = re.fullmatch(r"([A-Z][A-Za-z]*)=(.*\S|)", line)
            assert assignment and assignments is not None, f"line {number}: {line}"
            assert not assignment[2].endswith("\\"), f"line {number}: a line that goes on is not read here"
            assignments.append((assignment[1], assignment[2]))
    return sections


class Unit:
    """The unit, with its commented-out lines as they stand or (`alternative`) in force."""

    def __init__(self, *, alternative: bool = False) -> None:
        self.text = UNIT.read_text()
        if alternative:
            self.text = re.sub(r"^#(?=[A-Z][A-Za-z]*=)", "", self.text, flags=re.MULTILINE)
        self.sections = parse(self.text)
        self.service = self.sections["Service"]

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.service if key == name]

    def value(self, name: str) -> str:
        (value,) = self.values(name)
        return value

    def environment(self) -> dict[str, str]:
        """The later assignment of a variable wins."""
        return dict(word.split("=", 1) for value in self.values("Environment") for word in shlex.split(value))


class Service:
    """The unit's command in the unit's environment, with directories of the test's own in the place of the machine's."""

    def __init__(self, unit: Unit, place: pathlib.Path, credentials: pathlib.Path | None = None, **more: str) -> None:
        self.unit = unit
        state = place / "state"
        mode = int(unit.value("StateDirectoryMode"), 8)
        for name in unit.value("StateDirectory").split():
            (state / name).mkdir(mode=mode, parents=True, exist_ok=True)
        environment = {
            name: value.replace("/var/lib", str(state)).replace("%d", str(credentials)) for name, value in unit.environment().items()
        }
        self.variables = environment
        ports = {"HUBAUDIT_LISTEN": "127.0.0.1:0", "HUBAUDIT_HTTP_LISTEN": "127.0.0.1:0", "HUBAUDIT_LOG_FORMAT": "json"}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")}
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        (place / "notify").unlink(missing_ok=True)
        self.notifications.bind(str(place / "notify"))
        self.notifications.settimeout(60)
        command = shlex.split(unit.value("ExecStart").replace(COMMAND, BINARY))
        self.output = place / "journal"
        with self.output.open("wb") as journal:
            self.process = subprocess.Popen(
                command, env={**inherited, **environment, **ports, "NOTIFY_SOCKET": str(place / "notify"), **more}, stdout=journal,
                stderr=subprocess.STDOUT, umask=int(unit.value("UMask"), 8),
            )

    def notified(self) -> bytes:
        """The next notification that is not the watchdog's."""
        while (received := self.notifications.recv(4096)).startswith(b"WATCHDOG=1"):
            pass
        return received

    def log(self) -> list[dict]:
        """The whole lines of the journal so far."""
        return [json.loads(line) for line in self.output.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def reload(self) -> None:
        command = self.unit.value("ExecReload").replace("$MAINPID", str(self.process.pid))
        subprocess.run(shlex.split(command), check=True)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.notifications.close()


def test_every_setting_of_the_unit_stands_once_in_a_section_that_there_is() -> None:
    for unit in (Unit(), Unit(alternative=True)):
        assert list(unit.sections) == ["Unit", "Service", "Install"]
        for assignments in unit.sections.values():
            count = collections.Counter(name for name, _ in assignments)
            assert not [name for name, times in count.items() if times > 1 and name != "Environment"]


def test_the_server_tells_systemd_when_it_is_ready_and_when_it_stops(tmp_path: pathlib.Path) -> None:
    unit = Unit()
    assert unit.value("Type") == "notify"
    with Service(unit, tmp_path) as service:
        assert service.notified().startswith(b"READY=1")
        service.process.send_signal(getattr(signal, unit.value("KillSignal")))
        assert service.notified().startswith(b"STOPPING=1")
        assert service.process.wait(60) == 0


def test_the_log_of_the_unit_signs_with_a_key_that_lies_apart_from_it(tmp_path: pathlib.Path) -> None:
    unit = Unit()
    environment = unit.environment()
    key, data = pathlib.Path(environment["HUBAUDIT_SIGNING_KEY"]), pathlib.Path(environment["HUBAUDIT_DATA"])
    directories = {pathlib.Path("/var/lib", name) for name in unit.value("StateDirectory").split()}
    assert {key.parent, data} == directories and key.parent != data
    assert unit.value("StateDirectoryMode") == "0700" and unit.value("ProtectSystem") == "strict"
    with Service(unit, tmp_path) as service:
        assert service.notified().startswith(b"READY=1")
        made = pathlib.Path(service.variables["HUBAUDIT_SIGNING_KEY"])
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
        (line,) = [line for line in service.log() if line["message"].startswith("made the key")]
        assert line["key"] == str(made) and line["level"] == "warning"
        (ready,) = [line for line in service.log() if line["message"] == "ready"]
        assert line["verifier_key"].startswith(ready["origin"] + "+")


def test_a_log_that_was_begun_unsigned_is_not_started_or_goes_on_without_a_key_where_that_is_said(tmp_path: pathlib.Path) -> None:
    unsigned = {"HUBAUDIT_SIGNING_KEY": "", "HUBAUDIT_MAKE_KEY": "false"}
    for start in range(2):
        with Service(Unit(), tmp_path, **unsigned) as service:
            assert service.notified().startswith(b"READY=1")
            (ready,) = [line for line in service.log() if line["message"] == "ready"]
            assert ready["origin"] == "unsigned"
            if start == 0:
                append = [BINARY, "append", "-s", ready["listen"], "--hub", "h", "--kind", "k"]
                assert subprocess.run(append, timeout=60).returncode == 0
    with Service(Unit(), tmp_path) as service:
        assert service.process.wait(60) == 64
        assert service.variables["HUBAUDIT_SIGNING_KEY"] in service.output.read_text()


def test_reload_reads_the_log_level_again(tmp_path: pathlib.Path) -> None:
    settings = tmp_path / "hubaudit.conf"
    settings.write_text("log-level = info\n")
    with Service(Unit(), tmp_path, HUBAUDIT_CONFIG=str(settings)) as service:
        assert service.notified().startswith(b"READY=1")
        service.reload()
        wait_for("the reload", lambda: [line for line in service.log() if line["message"] == "log level read again"])
        assert service.process.poll() is None


def test_the_administrator_s_file_is_read_last_and_may_be_missing() -> None:
    unit = Unit(alternative=True)
    assert unit.value("EnvironmentFile") == "-/etc/hubaudit/hubaudit.env"
    # A flag would win over the file.
    assert unit.value("ExecStart") == f"{COMMAND} serve"


def test_a_credential_of_systemd_is_taken_as_the_unit_s_alternative_says(tmp_path: pathlib.Path) -> None:
    unit = Unit(alternative=True)
    name, source = unit.value("LoadCredential").split(":")
    assert source.startswith("/etc/hubaudit/")
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o750)
    vkey = keygen(credentials / name, "log.example/credential")
    # systemd's own files are root's with a list of access for the service's user, which stat shows as the group's right to read.
    (credentials / name).chmod(0o440)
    with Service(unit, tmp_path, credentials) as service:
        assert service.notified().startswith(b"READY=1")
        (ready,) = [line for line in service.log() if line["message"] == "ready"]
        assert vkey.startswith(ready["origin"] + "+") and not [line for line in service.log() if "made the key" in line["message"]]


@pytest.mark.parametrize("alternative", [False, True], ids=["as it stands", "with a credential"])
def test_the_unit_is_one_for_systemd(tmp_path: pathlib.Path, alternative: bool) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "hubaudit.service"
    # The command need not be installed here.
    unit.write_text(Unit(alternative=alternative).text.replace(COMMAND, "/bin/true"))
    result = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr, result.stderr
