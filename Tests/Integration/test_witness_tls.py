"""Witnesses behind https URLs: whom a log trusts to be its witness' host, and certificates that are exchanged while a witness runs."""

from __future__ import annotations

import http.client
import pathlib
import shutil
import signal
import socket
import ssl
import time

import pytest
from certificates import SERVER, Authority, Certificate
from wire import Server
from witness import Note, Witness, keygen, metric, shown, wait_for

ORIGIN = "log.example/hubs"


class Setting:
    """A log, a witness with TLS, and the root that the log trusts."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.root = Authority(path)
        self.certificate = self.root.issue_server()
        self.vkey = keygen(path / "log.key", ORIGIN)
        self.key = keygen(path / "w.key", "w.example/w", "--witness")

    def witness(self, certificate: Certificate | None = None) -> Witness:
        shown = certificate or self.certificate
        flags = ("--tls-cert", str(shown.cert), "--tls-key", str(shown.key), "--log-level", "debug")
        return Witness(self.path / "w", self.path / "w.key", self.vkey, flags=flags)

    def serve(self, url: str, *flags: str) -> Server:
        policy = self.path / "policy"
        policy.write_text(f"log {self.vkey}\nwitness w {self.key} {url}\nquorum none\n")
        return Server(
            self.path / "log", "--signing-key", str(self.path / "log.key"), "--witnesses", str(policy), "--checkpoint-interval", "100ms", *flags)

    def cosigned(self, server: Server, size: int) -> Note:
        def look() -> Note | None:
            note = shown(server)
            return note if note.size >= size and note.is_signed_by(self.key) else None

        return wait_for(f"a cosigned checkpoint of {size} records", look)


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Setting:
    return Setting(tmp_path)


def append(server: Server) -> None:
    with server.connect(hub="h") as hub:
        assert hub.append({"kind": "k"}).appended.recorded == 1


def served(port: int, root: pathlib.Path) -> bytes:
    """The certificate that the witness shows."""
    context = ssl.create_default_context(cafile=str(root))
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30), server_hostname="127.0.0.1") as peer:
        assert peer.version() == "TLSv1.3"
        return peer.getpeercert(binary_form=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_witness_with_tls_cosigns_and_its_certificate_is_exchanged_while_it_runs(setting: Setting, host: str) -> None:
    with setting.witness() as witness:
        with setting.serve(f"https://{host}:{witness.port}", "--witness-cacert", str(setting.root.cert)) as server:
            append(server)
            setting.cosigned(server, 1)
            before = served(witness.port, setting.root.cert)

            def reload(says: str) -> None:
                known = len(witness.log)
                witness.process.send_signal(signal.SIGHUP)
                wait_for(says, lambda: any(entry["message"].startswith(says) for entry in witness.log[known:]))

            new = setting.root.issue_server("new")
            # A certificate without its key is refused, and the old one stays.
            old_key = setting.certificate.key.read_bytes()
            shutil.copy(new.cert, setting.certificate.cert)
            reload("the certificate cannot be read again")
            assert served(witness.port, setting.root.cert) == before and setting.certificate.key.read_bytes() == old_key
            shutil.copy(new.key, setting.certificate.key)
            reload("the certificate was read again")
            assert served(witness.port, setting.root.cert) != before
            append(server)
            setting.cosigned(server, 2)
            started = time.monotonic()
            assert server.stop() == 0
            # A silent connection does not delay the end either.
            with socket.create_connection(("127.0.0.1", witness.port), 30):
                assert witness.stop() == 0
            assert time.monotonic() - started < 30


def test_a_witness_with_tls_answers_no_plain_http_and_a_log_says_why_it_gets_nothing(setting: Setting) -> None:
    stranger = Authority(setting.path, "stranger")
    with setting.witness() as witness:
        for number, (url, flags, words) in enumerate((
            (f"http://127.0.0.1:{witness.port}", (), "the connection ended before the answer"),
            (f"https://127.0.0.1:{witness.port}", (), "--witness-cacert"),
            (f"https://127.0.0.1:{witness.port}", ("--witness-cacert", str(stranger.cert)), "--witness-cacert"),
        )):
            with setting.serve(url, *flags) as server:
                append(server)
                wait_for("a failure", lambda: metric(server, "hubaudit_witness_failing", "w") == 1)  # noqa: B023
                reasons = [str(entry.get("reason")) for entry in server.log if "a witness does not cosign" in entry["message"]]
                assert any(words in reason for reason in reasons), (number, reasons)
                assert not shown(server).is_signed_by(setting.key)
        assert any(entry.get("cause") == "plaintext" for entry in witness.log)


def test_a_certificate_of_another_host_or_an_expired_one_is_no_witness(setting: Setting) -> None:
    import datetime

    hour = datetime.timedelta(hours=1)
    for certificate in (
        setting.root.issue("elsewhere", dns=("witness.example",), usage=SERVER),
        setting.root.issue("late", addresses=("127.0.0.1",), usage=SERVER, begins=-2 * hour, ends=-hour),
    ):
        with setting.witness(certificate) as witness:
            with setting.serve(witness.url, "--witness-cacert", str(setting.root.cert)) as server:
                append(server)
                wait_for("a failure", lambda: metric(server, "hubaudit_witness_failing", "w") == 1)  # noqa: B023
                assert not shown(server).is_signed_by(setting.key)


def test_what_a_witness_answers_over_https(setting: Setting) -> None:
    with setting.witness() as witness:
        context = ssl.create_default_context(cafile=str(setting.root.cert))
        connection = http.client.HTTPSConnection("127.0.0.1", witness.port, timeout=30, context=context)
        # One connection, several requests, as a proxy in front would send them.
        for path, expected in (("/nothing", 404), ("/add-checkpoint", 405), ("/" + "0" * 64 + "/checkpoint", 404)):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == expected and answer.read()
        connection.close()
