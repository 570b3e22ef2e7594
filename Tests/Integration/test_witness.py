"""Witnesses: their cosignatures on the checkpoints that a server serves, and what they refuse. Real processes, OpenSSL for the signatures."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable

import pytest
from witness import ENVIRONMENT, Note, Witness, get, keygen, metric, shown, wait_for
from wire import BINARY, Server

ORIGIN = "log.example/hubs"


class Setting:
    """A log's key, witnesses' keys, and the policy that names them."""

    def __init__(self, path: pathlib.Path, witnesses: int = 2) -> None:
        self.path = path
        self.vkey = keygen(path / "log.key", ORIGIN)
        self.keys = [keygen(path / f"w{index}.key", f"w{index}.example/w", "--witness") for index in range(witnesses)]
        self.policy = path / "policy"

    def witness(self, index: int, *, wrap: tuple[str, ...] = ()) -> Witness:
        return Witness(self.path / f"w{index}", self.path / f"w{index}.key", self.vkey, wrap=wrap)

    def write_policy(self, *urls: str, quorum: int | None = None) -> None:
        names = [f"w{index}" for index in range(len(urls))]
        lines = [f"log {self.vkey}", *(f"witness {name} {key} {url}" for name, key, url in zip(names, self.keys, urls))]
        lines += ["quorum none"] if quorum is None else [f"group g {quorum} {' '.join(names)}", "quorum g"]
        self.policy.write_text("\n".join(lines) + "\n")

    def serve(self, data: str = "log") -> Server:
        return Server(
            self.path / data, "--signing-key", str(self.path / "log.key"), "--witnesses", str(self.policy), "--checkpoint-interval", "100ms")

    def cosigned(self, server: Server, size: int, *witnesses: int) -> Note:
        """Waits for a served checkpoint of at least this size with the cosignatures of these witnesses; verifies all there are."""

        def look() -> Note | None:
            note = shown(server)
            assert note.is_signed_by(self.vkey)
            signers = [index for index, key in enumerate(self.keys) if note.is_signed_by(key)]
            return note if note.size >= size and set(witnesses) <= set(signers) else None

        return wait_for(f"a checkpoint of {size} records with {witnesses}", look)


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Setting:
    return Setting(tmp_path)


def append(server: Server, count: int = 1) -> None:
    with server.connect(hub="h") as hub:
        for _ in range(count):
            assert hub.append({"kind": "k"}).appended.recorded == 1


def test_served_checkpoints_carry_the_cosignatures_of_both_witnesses(setting):
    with setting.witness(0) as one, setting.witness(1) as two:
        setting.write_policy(one.url, two.url, quorum=2)
        with setting.serve() as server:
            for size in range(1, 6):
                append(server)
                note = setting.cosigned(server, size, 0, 1)
                # The witnesses say so themselves, and the wire gives out what HTTP does.
                for index, witness in enumerate((one, two)):
                    own = Note.read(witness.checkpoint(ORIGIN))
                    assert own.text == note.text and own.is_signed_by(setting.vkey) and own.is_signed_by(setting.keys[index])
                with server.connect(client="auditor") as connection:
                    frame = connection.request()
                    frame.checkpoint.SetInParent()
                    assert Note.read(connection.ask(frame).checkpoint.note.decode()).lines == note.lines
            assert metric(server, "hubaudit_cosigned_records") == 5
            assert metric(server, "hubaudit_witness_cosigned_records", "w1") == 5
            assert metric(server, "hubaudit_witness_failing", "w0") == 0
            assert server.stop() == 0
        # What was stored is served again before any witness could be asked, and they are asked where they are.
        with setting.serve() as server:
            assert shown(server).is_signed_by(setting.keys[0])
            append(server, 3)
            setting.cosigned(server, 8, 0, 1)
            assert server.stop() == 0
        # What was stored once more with cosignatures is a log in good order.
        done = subprocess.run(
            [BINARY, "verify", "--data", str(setting.path / "log"), "--key", setting.vkey], capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0 and "8 records" in done.stdout, (done.stdout, done.stderr)
        assert one.stop() == 0
        refused = [entry for entry in one.log if entry.get("status") not in (None, "200", "409")]
        assert not refused


def test_a_witness_that_is_away_delays_nothing_and_catches_up(setting):
    with setting.witness(0) as one, setting.witness(1) as two:
        setting.write_policy(one.url, two.url)
        with setting.serve() as server:
            append(server, 3)
            setting.cosigned(server, 3, 0, 1)
            two.kill()
            for size in range(4, 10):
                append(server)
                note = setting.cosigned(server, size, 0)
                assert not note.is_signed_by(setting.keys[1])
            wait_for("the metric", lambda: metric(server, "hubaudit_witness_failing", "w1") == 1)
            assert metric(server, "hubaudit_witness_cosigned_records", "w1") == 3
            with two.restart() as back:
                assert back.remembered(ORIGIN) == 3
                setting.cosigned(server, 9, 0, 1)
                assert metric(server, "hubaudit_witness_failing", "w1") == 0
            messages = [entry["message"] for entry in server.log if entry.get("witness") == "w1"]
            assert any("does not cosign" in message for message in messages) and any("cosigns again" in message for message in messages)


def test_a_log_that_was_rolled_back_to_an_older_copy_is_refused_and_says_so(setting):
    copy = setting.path / "copy"
    with setting.witness(0) as one, setting.witness(1) as two:
        setting.write_policy(one.url, two.url, quorum=2)
        with setting.serve() as server:
            append(server, 5)
            setting.cosigned(server, 5, 0, 1)
            assert server.stop() == 0
        shutil.copytree(setting.path / "log", copy)
        with setting.serve() as server:
            append(server, 5)
            setting.cosigned(server, 10, 0, 1)
            assert server.stop() == 0
        before = one.checkpoint(ORIGIN)
        # The same key, an older copy: nothing in it is wrong, and the server starts.
        with setting.serve("copy") as server:
            for name in ("w0", "w1"):
                wait_for("the contradiction", lambda name=name: metric(server, "hubaudit_witness_contradicts", name) == 1)
                assert metric(server, "hubaudit_witness_cosigned_records", name) == 10
            line = next(entry for entry in server.log if entry["level"] == "critical")
            assert "has cosigned another history of this log" in line["message"] and "it has cosigned 10 records of this log, but the log has only 5" in line["reason"]
            # Grown past what was cosigned it is another log all the same, and now the witness has it in writing.
            append(server, 8)
            evidence = wait_for("the evidence", lambda: [entry for entry in one.log if entry["level"] == "error"])
            assert evidence[0]["status"] == "422" and evidence[0]["cosigned_size"] == "10" and ORIGIN in evidence[0]["checkpoint"]
            wait_for("the size", lambda: newest(server).size == 13)
            assert not any(newest(server).is_signed_by(key) for key in setting.keys)
            # To those who ask for a quorum it is not shown.
            assert shown(server).size == 5
            assert metric(server, "hubaudit_witness_contradicts", "w0") == 1
        assert one.checkpoint(ORIGIN) == before
        # The real log goes on as if nothing had been.
        with setting.serve() as server:
            append(server)
            setting.cosigned(server, 11, 0, 1)


def strace(call: str, fault: str) -> tuple[str, ...]:
    """A command before the witness' that makes one of its calls fail. -D: strace is its child, not the other way round."""
    return ("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{fault}")


@pytest.mark.parametrize("call, when", [("fsync", 2), ("fsync", 3), ("fsync", 4), ("fsync", 5), ("rename", 1), ("rename", 2)])
def test_a_witness_killed_in_the_middle_of_remembering_has_told_nothing_that_it_forgot(setting, call, when):
    with setting.witness(0, wrap=strace(call, f"signal=KILL:when={when}")) as one:
        setting.write_policy(one.url)
        with setting.serve() as server:

            def appended_until_dead() -> bool:
                append(server)
                return one.process.poll() is not None

            wait_for("the kill", appended_until_dead)
            # Its answer is lost or was given; either way the server has it on a checkpoint by now, or never will.
            wait_for("the failure", lambda: metric(server, "hubaudit_witness_failing", "w0") == 1)
            told = metric(server, "hubaudit_witness_cosigned_records", "w0")
            with one.restart() as back:
                assert back.remembered(ORIGIN) >= told
                append(server)
                setting.cosigned(server, int(metric(server, "hubaudit_log_records")), 0)
                assert metric(server, "hubaudit_witness_contradicts", "w0") == 0


def test_a_witness_whose_sync_failed_cosigns_nothing_more_until_it_is_started_again(setting):
    with setting.witness(0, wrap=strace("fsync", "error=EIO:when=4")) as one:
        setting.write_policy(one.url)
        with setting.serve() as server:

            def failed() -> bool:
                append(server)
                return any(entry["level"] == "error" for entry in one.log)

            wait_for("the failed sync", failed)
            before = one.checkpoint(ORIGIN)
            errors = len([entry for entry in one.log if entry["level"] == "error"])
            wait_for("another attempt", lambda: len([entry for entry in one.log if entry["level"] == "error"]) > errors)
            assert one.checkpoint(ORIGIN) == before
            assert "start the witness again" in one.log[-1]["reason"]
            one.kill()
            with one.restart():
                setting.cosigned(server, int(metric(server, "hubaudit_log_records")), 0)


class Liar:
    """A server on loopback that answers every request in one way."""

    def __init__(self, answer: bytes | None, endless: bytes = b"") -> None:
        self.answer, self.endless = answer, endless
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.requests = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(1 << 20)
                self.requests += 1
                if self.answer is not None:
                    connection.sendall(self.answer)
                while self.endless:
                    connection.sendall(self.endless)
                    time.sleep(0.01)
                if self.answer is None:
                    connection.recv(1)
            except OSError:
                pass


def reply(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def test_witnesses_that_lie_stay_silent_or_never_end_harm_nobody(tmp_path):
    line = "\u2014 w1.example/w AAAAAAAAAAAAAAAA\n".encode()
    liars = [
        Liar(None),  # says nothing
        Liar(b""),  # hangs up
        Liar(reply("200 OK", b"")),
        Liar(reply("200 OK", line)),
        Liar(reply("200 OK", line * 5000)),
        Liar(reply("200 OK", b"\xff" * 3_000_000)),
        Liar(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", endless=b"400\r\n" + b"x" * 1024 + b"\r\n"),
        Liar(b"HTTP/1.1 200 OK\r\n", endless=b"X-Header: value\r\n"),
        Liar(b"\x00\x01\x02 not HTTP at all\r\n\r\n"),
        Liar(reply("409 Conflict", b"never\n")),
        Liar(reply("409 Conflict", b"0\n")),
        Liar(reply("409 Conflict", b"18446744073709551615\n")),
        Liar(reply("422 Unprocessable Entity", b"\x1b[31mno\x00" * 1000)),
        Liar(reply("302 Found", b"")),
        Liar(reply("503 Service Unavailable", b"later")),
    ]
    setting = Setting(tmp_path, witnesses=len(liars) + 1)
    with setting.witness(0) as honest:
        setting.write_policy(honest.url, *(liar.url for liar in liars), quorum=1)
        with setting.serve() as server:
            for size in range(1, 20):
                append(server)
                setting.cosigned(server, size, 0)
            for index in range(1, len(liars) + 1):
                wait_for(f"liar {index}", lambda index=index: metric(server, "hubaudit_witness_failing", f"w{index}") == 1)
                contradicts = metric(server, "hubaudit_witness_contradicts", f"w{index}")
                assert contradicts == (1 if index in (12, 13) else 0), index
            note = setting.cosigned(server, 19, 0)
            assert {name for name, _ in note.lines} == {ORIGIN, "w0.example/w"}
            assert all(liar.requests for liar in liars)
            assert server.stop() == 0


class Slow:
    """A way to a witness on which each answer waits until `may_pass` is true."""

    def __init__(self, witness: Witness, may_pass: Callable[[], bool]) -> None:
        self.witness, self.may_pass = witness, may_pass
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # Either end may go first.
        with contextlib.suppress(OSError), connection, socket.create_connection(("127.0.0.1", self.witness.port)) as onward:
            onward.sendall(connection.recv(1 << 20))
            answer = b""
            while data := onward.recv(1 << 16):
                answer += data
            wait_for("leave to pass", self.may_pass)
            connection.sendall(answer)


def newest(server: Server) -> Note:
    """The newest checkpoint, as the wire gives it out."""
    with server.connect(client="auditor") as connection:
        frame = connection.request()
        frame.checkpoint.SetInParent()
        return Note.read(connection.ask(frame).checkpoint.note.decode())


def receipt(server: Server, sequence: int, *options: str) -> Note:
    """The checkpoint of a record's receipt, which is verified."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "receipt")
        subprocess.run(
            [BINARY, "prove", "-s", server.address, str(sequence), "--out", path, *options], check=True, capture_output=True, env=ENVIRONMENT)
        return Note.read(path.read_text().split("\n\n", 1)[1])


class Appends:
    """Appends one record after the other, for as long as the block goes on."""

    def __init__(self, server: Server) -> None:
        self.server, self.is_over = server, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self.server.connect(hub="h") as hub:
            while not self.is_over.is_set():
                assert hub.append({"kind": "k"}).appended.recorded == 1

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()


def test_a_witness_slower_than_checkpoints_come_cosigns_what_is_served_while_records_never_stop_coming(setting):
    """Each of its answers waits until the log has signed two checkpoints that are newer."""
    is_over, grown = threading.Event(), [lambda: True]
    newer: dict[int, set[int]] = {}
    with setting.witness(0) as one:
        setting.write_policy(Slow(one, lambda: is_over.is_set() or grown[0]()).url, quorum=1)
        with setting.serve() as server:
            append(server)
            setting.cosigned(server, 1, 0)
            served: list[Note] = []

            def has_signed_two_more() -> bool:
                cosigned, size = Note.read(one.checkpoint(ORIGIN)).size, newest(server).size
                if size > cosigned:
                    newer.setdefault(cosigned, set()).add(size)
                return len(newer.get(cosigned, ())) >= 2

            def has_been_slow_ten_times() -> bool:
                note = shown(server)
                # Nothing without the quorum is served any more.
                assert note.is_signed_by(setting.vkey) and note.is_signed_by(setting.keys[0])
                if not served or note.text != served[-1].text:
                    assert not served or note.size > served[-1].size
                    served.append(note)
                # What is newer is there at once for those who ask the log alone, and for receipts.
                records = int(metric(server, "hubaudit_log_records"))
                assert receipt(server, records - 1).size >= records
                assert receipt(server, 0, "--key", setting.vkey, "--key", setting.keys[0]).is_signed_by(setting.keys[0])
                return len(served) > 10

            grown[0] = has_signed_two_more
            with Appends(server):
                wait_for("ten slow answers", has_been_slow_ten_times)
            server.kill()
        # One submission after the other, each of the newest: those between were passed over.
        sizes = [int(entry["size"]) for entry in one.log if entry["message"] == "cosigned"]
        signed = b"".join(path.read_bytes() for path in (setting.path / "log/checkpoints").glob("*.ckpt")).count(f"{ORIGIN}\n".encode())
        assert sizes == sorted(set(sizes)) and len(sizes) <= signed // 2 + 2
        is_over.set()
        # Killed, it shows at least what it has shown; what it cosigned is there for ever.
        with setting.serve() as server:
            note = shown(server)
            assert note.size >= served[-1].size and note.is_signed_by(setting.keys[0])
            append(server)
            setting.cosigned(server, int(metric(server, "hubaudit_log_records")), 0)
            assert server.stop() == 0
    done = subprocess.run(
        [BINARY, "verify", "--data", str(setting.path / "log"), "--key", setting.vkey, "--key", setting.keys[0]],
        capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, (done.stdout, done.stderr)
    history = b"".join(path.read_bytes() for path in (setting.path / "log/checkpoints").glob("*.cosigned"))
    assert all(note.text.encode() in history for note in served)


def test_with_a_quorum_that_cannot_be_had_appends_receipts_and_the_newest_checkpoint_wait_for_nobody(setting):
    setting.write_policy("http://127.0.0.1:1", "http://127.0.0.1:2", quorum=2)
    with setting.serve() as server:
        first = shown(server)
        append(server, 5)
        assert receipt(server, 4).size >= 5
        wait_for("the newest", lambda: newest(server).size == 5)
        wait_for("the metric", lambda: metric(server, "hubaudit_witness_failing", "w1") == 1)
        # Who asks for a quorum is shown nothing without one.
        assert shown(server).text == first.text
        assert server.stop() == 0


def test_without_a_quorum_the_newest_is_served_and_late_cosignatures_are_kept(setting):
    is_over, grown = threading.Event(), [lambda: True]
    with setting.witness(0) as one:
        setting.write_policy(Slow(one, lambda: is_over.is_set() or grown[0]()).url)
        with setting.serve() as server:
            append(server)
            setting.cosigned(server, 1, 0)
            grown[0] = lambda: shown(server).size > Note.read(one.checkpoint(ORIGIN)).size
            sizes = []

            def has_been_slow() -> bool:
                append(server)
                sizes.append(shown(server).size)
                return metric(server, "hubaudit_witness_cosigned_records", "w0") > 3

            wait_for("slow answers", has_been_slow)
            assert sizes == sorted(sizes)
            is_over.set()
            note = setting.cosigned(server, int(metric(server, "hubaudit_log_records")), 0)
            assert server.stop() == 0
        late = [int(entry["size"]) for entry in one.log if entry["message"] == "cosigned"]
        with setting.serve() as server:
            assert shown(server).text == note.text
    history = b"".join(path.read_bytes() for path in (setting.path / "log/checkpoints").glob("*.cosigned"))
    assert all(f"{ORIGIN}\n{size}\n".encode() in history for size in late)


def test_what_a_witness_answers_over_http(setting):
    with setting.witness(0) as one:
        for data, method, path, status in [
            (b"x", "POST", "/add-checkpoint", 400),
            (b"", "POST", "/add-checkpoint", 400),
            (None, "GET", "/add-checkpoint", 405),
            (b"x" * (128 << 10), "POST", "/add-checkpoint", 400),
            (b"x" * ((128 << 10) + 1), "POST", "/add-checkpoint", 413),
            (b"old 0\n\nother.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\xe2\x80\x94 x AAAAAAAA\n", "POST", "/add-checkpoint", 404),
            (None, "GET", "/", 404),
            (None, "GET", "/" + "0" * 64 + "/checkpoint", 404),
            (None, "DELETE", "/" + "0" * 64 + "/checkpoint", 405),
            (b"x", "POST", "/add-checkpoint/", 404),
        ]:
            assert get(one.url + path, data, method)[0] == status, (method, path, data and data[:20])
        # What is no HTTP, or half of it, is nobody else's matter.
        for junk in (b"\x16\x03\x01\x00\xa5\x01" * 50, b"GET / HTTP/9.9\r\n\r\n", b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 5\r\n\r\nol"):
            with socket.create_connection(("127.0.0.1", one.port), 10) as connection:
                connection.sendall(junk)
        assert get(one.url + "/add-checkpoint", b"x", "POST")[0] == 400
        assert one.stop() == 0


def refusal(*arguments: object) -> tuple[int, str]:
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    return done.returncode, done.stderr


def test_settings_that_cannot_be_meant_are_refused_in_a_sentence(setting):
    path = setting.path
    other = keygen(path / "other.key", "other.example/log")
    serve = ("serve", "--data", path / "log", "--listen", "127.0.0.1:0", "--http-listen", "off", "--witnesses", setting.policy)
    signed = (*serve, "--signing-key", path / "log.key")
    witness = ("witness", "--listen", "127.0.0.1:0", "--state", path / "state")
    setting.write_policy("http://127.0.0.1:1", "http://127.0.0.1:2")
    good = setting.policy.read_text()
    for policy, arguments, words in [
        (good, serve, "--signing-key"),
        (good.replace(setting.vkey, other), signed, "does not name this log"),
        (good.replace("http:", "ftp:"), signed, "https:// or http://"),
        (good.replace("http:", "https:"), (*signed, "--witness-cacert", path / "log.key"), "--witness-cacert"),
        (good, (*witness, "--key", path / "w0.key", "--log", setting.vkey, "--tls-cert", path / "x"), "--tls-key"),
        (good, (*witness, "--key", path / "w0.key", "--log", setting.vkey, "--tls-cert", path / "x", "--tls-key", path / "x"), "No such file"),
        (good.replace(" http://127.0.0.1:1", "").replace(" http://127.0.0.1:2", ""), signed, "0 of them with a URL"),
        ("quorum none\n", signed, "0 witnesses"),
        ("nonsense\n", signed, "line 1"),
        (good, (*witness, "--key", path / "w0.key"), "no log"),
        (good, (*witness, "--key", path / "w0.key", "--log", "x"), "--log"),
        (good, (*witness, "--key", path / "w0.key", "--log", setting.keys[1]), "not a log's"),
        (good, (*witness, "--key", path / "log.key", "--log", setting.vkey), "not a witness'"),
        (good, (*witness, "--key", path / "missing", "--log", setting.vkey), "keygen"),
        (good, ("prove", "0", "--key", setting.keys[0]), "names witnesses only"),
        (good, ("verify", "--key", setting.keys[0]), "names witnesses only"),
    ]:
        setting.policy.write_text(policy)
        status, text = refusal(*arguments)
        assert status == 64 and words in text and len(text.splitlines()) == 1, (arguments, text)
    with setting.witness(0) as one:
        status, text = refusal("witness", "--listen", "127.0.0.1:0", "--state", one.state, "--key", path / "w0.key", "--log", setting.vkey)
        assert status == 1 and "in use by another witness" in text
        status, text = refusal("witness", "--listen", f"127.0.0.1:{one.port}", "--state", path / "new", "--key", path / "w0.key", "--policy", setting.policy)
        assert status == 1 and "cannot listen" in text
