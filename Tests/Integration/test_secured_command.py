"""The command, with a certificate or a token, against a server that asks for identities."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time

import pytest
from secured import BANK, Secured, reload, token
from test_command_words import clean_environment
from wire import BINARY, Server

RIGHTS = """
grant bank publish hubs=bank
grant auditor read hubs=* kinds=*
"""


class Setting(Secured):
    """A secured server, a hub with a certificate and an auditor with a token file."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        self.bank = self.root.issue("bank", uris=(BANK,))
        self.token_file = directory / "token"
        self.spare = token("spare")[1]
        self.new_token()

    def new_token(self, *, is_shown: bool = True) -> None:
        """Another secret of the same id, in the access file; and in the token file, if it is shown."""
        text, credential = token("one")
        self.write(f"identity bank cert {BANK}\nidentity auditor {credential}\nidentity auditor {self.spare}\n{RIGHTS}")
        if is_shown:
            self.show(text)
        self.newest = text

    def show(self, text: str) -> None:
        new = self.token_file.with_suffix(".new")
        new.write_text(f"{text}\n")
        new.rename(self.token_file)

    def command(self, server: Server, *words: str, **more: str) -> subprocess.Popen[str]:
        address = {"HUBAUDIT_SERVER": f"hubaudits://localhost:{server.port}", "HUBAUDIT_CACERT": str(self.root.cert)}
        environment = clean_environment(**address | more)
        return subprocess.Popen(
            [BINARY, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def run(self, server: Server, *words: str, status: int = 0, **more: str) -> tuple[str, str]:
        process = self.command(server, *words, **more)
        output, said = process.communicate(timeout=60)
        assert process.returncode == status, (output[-500:], said[-500:])
        return output, said


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Setting:
    return Setting(tmp_path)


def test_a_hub_appends_with_its_certificate_and_an_auditor_with_a_token_reads_and_no_more(setting: Setting):
    hub = {"HUBAUDIT_CERT": str(setting.bank.cert), "HUBAUDIT_KEY": str(setting.bank.key)}
    auditor = ["--token-file", str(setting.token_file)]
    with setting.serve() as server:
        for number in range(50):
            assert setting.run(server, "append", "--hub", "bank", "--kind", "k", "--set", f"n={number}", "-q", **hub) == ("", "")
        for command in (["read"], ["read", "--backwards"], ["tail", "-n", "50"]):
            output, _ = setting.run(server, *command, "-o", "json", *auditor)
            assert sorted(int(json.loads(line)["record"]["n"]) for line in output.splitlines()) == list(range(50))
        assert setting.run(server, "stats", "-o", "json", *auditor)[0]
        assert setting.run(server, "export", *auditor)[0].count("\n") == 50
        # Neither has what the other has, nor any other right.
        assert "no right to read" in setting.run(server, "read", status=5, **hub)[1]
        assert "no right to publish" in setting.run(server, "append", "--hub", "bank", "--kind", "k", *auditor, status=5)[1]
        assert "no right to operate" in setting.run(server, "health", *auditor, status=5)[1]
        assert "no right to prove" in setting.run(server, "verify", *auditor, status=5)[1]
        assert "give a client certificate" in setting.run(server, "read", status=5)[1]


def test_what_a_handshake_fails_with_is_one_sentence(setting: Setting, tmp_path: pathlib.Path):
    (tmp_path / "other").mkdir()
    other = Secured(tmp_path / "other")
    foreign = other.root.issue("bank", uris=(BANK,))
    with setting.serve() as server:
        said = setting.run(server, "read", "--cert", str(foreign.cert), "--key", str(foreign.key), status=2)[1]
        assert "refused the client's certificate" in said and said.count("\n") == 1
        said = setting.run(server, "read", "--cacert", str(other.root.cert), status=2)[1]
        assert "no trusted root has signed" in said and said.count("\n") == 1
        said = setting.run(server, "read", "-s", f"localhost:{server.port}", HUBAUDIT_CACERT="", status=2)[1]
        assert f"speaks TLS; write hubaudits://localhost:{server.port}" in said


def test_a_tail_outlives_its_token_and_goes_on_with_the_next(setting: Setting):
    hub = {"HUBAUDIT_CERT": str(setting.bank.cert), "HUBAUDIT_KEY": str(setting.bank.key)}

    def append(number: int) -> None:
        setting.run(server, "append", "--hub", "bank", "--kind", "k", "--set", f"n={number}", "-q", **hub)

    with setting.serve() as server:
        append(0)
        tail = setting.command(server, "tail", "-f", "-o", "json", "--token-file", str(setting.token_file))
        assert json.loads(tail.stdout.readline())["record"]["n"] == "0"
        setting.new_token(is_shown=False)
        reload(server)
        append(1)
        # The server has turned the old token away; nothing else connects without being known.
        deadline = time.monotonic() + 60
        while not any(entry.get("message") == "unauthenticated" for entry in server.log):
            assert time.monotonic() < deadline, server.log[-5:]
            time.sleep(0.01)
        setting.show(setting.newest)
        assert json.loads(tail.stdout.readline())["record"]["n"] == "1"
        tail.terminate()
        said = tail.communicate(timeout=60)[1]
        assert said.count("the credentials are not accepted") <= 2 and "nothing missed" in said, said
