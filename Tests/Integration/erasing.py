"""What the tests of erasure share: secrets in a log, a search for them in every file, receipts that anybody can check, and the commands."""

from __future__ import annotations

import base64
import pathlib
import subprocess
import threading

from hubaudit import Checkpoint
from hubaudit.evidence import leaf_hash, verify_inclusion
from wire import BINARY, Connection, Server

ORIGIN = "log.example/erased"


def keygen(path: pathlib.Path) -> str:
    """Makes a key of the log's name; its verifier key."""
    return subprocess.run([BINARY, "keygen", ORIGIN, "--out", str(path)], check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command, with all that it says."""
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def erase(server: Server, sequence: int, key: pathlib.Path, reason: str = "asked for") -> subprocess.CompletedProcess[str]:
    return run("erase", "-s", server.address, "--timeout", "30s", sequence, "--reason", reason, "--by", "auditor", "--signing-key", key)


def prove(server: Server, sequence: int, vkey: str) -> bytes:
    """The `.tlog-proof` of a record."""
    done = subprocess.run(
        [BINARY, "prove", "-s", server.address, str(sequence), "--key", vkey, "--out", "-"], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def verify_proof(proof: bytes, sequence: int, header: bytes, vkey: str) -> None:
    """As somebody does who has the proof, the record's header and the log's key, and nothing else."""
    body, _, note = proof.partition(b"\n\n")
    magic, *lines = body.decode().split("\n")
    assert magic == "c2sp.org/tlog-proof@v1"
    lines = [line for line in lines if not line.startswith("extra ")]
    assert lines[0] == f"index {sequence}"
    checkpoint = Checkpoint.parse(note)
    checkpoint.verify(vkey)
    verify_inclusion(leaf_hash(header), sequence, checkpoint.size, checkpoint.root, [base64.b64decode(line) for line in lines[1:]])


def files_with(directory: pathlib.Path, secret: bytes) -> list[str]:
    """Every file below the directory that holds these bytes."""
    return [str(path) for path in sorted(directory.rglob("*")) if path.is_file() and secret in path.read_bytes()]


class Appender(threading.Thread):
    """Appends until it is told to stop; one of its events now and then is wanted gone afterwards."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.hub = name
        self.sequences: list[int] = []
        """Of every answered event, in order: event n is `secret(name, n)`."""
        self.is_over = False
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with self.server.connect(hub=self.hub) as connection:
                while not self.is_over:
                    first = len(self.sequences)
                    reply = connection.append(*(event(self.hub, first + number) for number in range(5)))
                    appended = reply.appended
                    self.sequences += list(appended.sequences) or range(appended.first_sequence, appended.first_sequence + appended.recorded)
        except BaseException as error:  # noqa: BLE001
            self.failure = error


def secret(hub: str, number: int) -> bytes:
    return f"the secret number {number} of {hub}!".encode()


def event(hub: str, number: int) -> bytes:
    return b'{"kind": "told", "secret": "%s"}' % secret(hub, number)


class Follower(threading.Thread):
    """Subscribes from the first record on and keeps what it is pushed."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.connection: Connection = server.connect(client="follower")
        self.records: list = []
        self.failure: BaseException | None = None
        self._changed = threading.Condition()

    def run(self) -> None:
        try:
            frame = self.connection.request()
            frame.subscribe.start.earliest = True
            frame.subscribe.credit = 1 << 22
            self.connection.send(frame)
            while (reply := self.connection.receive()) is not None:
                batch = reply.records.batch
                if reply.WhichOneof("reply") == "records":
                    with self._changed:
                        self.records += batch.records
                        self._changed.notify_all()
                    credit = self.connection.request()
                    credit.credit.subscription = frame.id
                    credit.credit.bytes = batch.ByteSize()
                    self.connection.send(credit)
        except BaseException as error:  # noqa: BLE001
            self.failure = error

    def wait(self, count: int) -> list:
        """All that was pushed, once it is so many records."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.records) >= count or self.failure, 60) and not self.failure, self.failure
            return self.records[:]
