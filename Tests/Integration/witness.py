"""A witness process, keys and policies for it, and the verification of its signatures with OpenSSL: nothing of hubaudit's own checks."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from held_port import HeldPort
from wire import BINARY, Server

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")}


def keygen(path: pathlib.Path, name: str, *flags: str) -> str:
    """Makes a key file; the verifier key."""
    return subprocess.run([BINARY, "keygen", name, "-o", str(path), *flags], check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout.strip()


Value = TypeVar("Value")


def wait_for(what: str, look: Callable[[], Value], seconds: float = 60) -> Value:
    """What `look` returns, as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


class Witness:
    """`hubaudit witness` on a port of loopback; `restart` keeps port and memory."""

    def __init__(self, state: pathlib.Path, key: pathlib.Path, *logs: str, port: HeldPort | None = None, wrap: tuple[str, ...] = (), flags: tuple[str, ...] = ()) -> None:
        self.flags = flags
        self._held = port or HeldPort()
        self.state, self.key, self.logs = state, key, logs
        self.log: list[dict] = []
        self.ready = threading.Event()
        command = [*wrap, BINARY, "witness", "--listen", f"127.0.0.1:{self._held.number}", "--state", str(state), "--key", str(key), "--log", *logs, "--log-format", "json", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)
        self.port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self.ready.wait(60) or not self.port:
            self.process.kill()
            raise AssertionError(f"the witness did not get ready: {self.log[-5:]}")

    def _read(self) -> None:
        for line in self.process.stdout:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"message": line.rstrip()}
            self.log.append(entry)
            if entry["message"] == "ready":
                self.port = int(entry["listen"].rsplit(":", 1)[1])
                self.ready.set()
        self.ready.set()

    @property
    def url(self) -> str:
        return f"{'https' if '--tls-cert' in self.flags else 'http'}://127.0.0.1:{self.port}"

    def restart(self, wrap: tuple[str, ...] = ()) -> Witness:
        return Witness(self.state, self.key, *self.logs, port=self._held, wrap=wrap, flags=self.flags)

    def remembered(self, origin: str) -> int:
        """What it said at its start to have cosigned."""
        return int(next(entry for entry in self.log if entry["message"] == "cosigns" and entry["origin"] == origin)["cosigned_size"])

    def checkpoint(self, origin: str) -> str:
        return get(f"{self.url}/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint")[1].decode()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def get(url: str, data: bytes | None = None, method: str | None = None) -> tuple[int, bytes, str]:
    """Status, body and content type of a request."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=30) as reply:
            return reply.status, reply.read(), reply.headers.get("Content-Type", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers.get("Content-Type", "")


@dataclasses.dataclass
class Note:
    """A signed checkpoint, taken apart as C2SP signed-note says."""

    text: str
    lines: list[tuple[str, bytes]]

    @classmethod
    def read(cls, note: str) -> Note:
        text, signatures = note.rsplit("\n\n", 1)
        lines = [line.removeprefix("\u2014 ").split(" ") for line in signatures.splitlines()]
        return cls(text + "\n", [(name, base64.b64decode(value, validate=True)) for name, value in lines])

    @property
    def size(self) -> int:
        return int(self.text.split("\n")[1])

    def is_signed_by(self, vkey: str) -> bool:
        """Whether there is a line of this key. One that is there and not good is an assertion."""
        name, key_id, encoded = vkey.split("+", 2)
        key = base64.b64decode(encoded, validate=True)
        kind, public = key[0], key[1:]
        assert hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == key_id
        for line_name, value in self.lines:
            if line_name != name or value[:4].hex() != key_id:
                continue
            signature, signed = value[4:], self.text.encode()
            if kind == 4:
                stamp, signature = int.from_bytes(signature[:8], "big"), signature[8:]
                assert abs(stamp - time.time()) < 3600
                signed = b"cosignature/v1\ntime %d\n" % stamp + signed
            assert openssl_verifies(public, signed, signature), f"the signature of {name} is not good"
            return True
        return False


def openssl_verifies(public: bytes, signed: bytes, signature: bytes) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        files = {"key": bytes.fromhex("302a300506032b6570032100") + public, "text": signed, "signature": signature}
        for name, content in files.items():
            pathlib.Path(directory, name).write_bytes(content)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile signature"
        return subprocess.run(command.split(), cwd=directory, capture_output=True).returncode == 0


def shown(server: Server) -> Note:
    """What the server serves as its checkpoint."""
    status, body, kind = get(f"http://{server.http_address}/checkpoint")
    assert status == 200 and kind == "text/plain; charset=utf-8", body
    return Note.read(body.decode())


def metric(server: Server, name: str, witness: str | None = None) -> float:
    label = f'{{witness="{witness}"}}' if witness else ""
    line = next(line for line in server.get("/metrics")[1].splitlines() if line.startswith(f"{name}{label} "))
    return float(line.rsplit(" ", 1)[1])
