"""What all clients of a run have in common: a process of its own, its history, its pulse, and a bare connection."""

from __future__ import annotations

import faulthandler
import importlib
import os
import pathlib
import random
import socket
import ssl
import struct
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hubaudit
from history import Recorder
from hubaudit._proto import frames_pb2
from hubaudit._views import ServerFrameView, parse
from wire import Connection

if TYPE_CHECKING:
    from security import Security

ACKNOWLEDGED, DELIVERED, LOST = b"a", b"d", b"l"


@dataclass(frozen=True)
class Task:
    """What a client process is to do."""

    role: str
    """module:class, made with the task and then run."""
    name: str
    seed: int
    directory: pathlib.Path
    host: str
    port: int
    hub: str = ""
    size: int = 0
    """Events to append."""
    start: dict[str, Any] | None = None
    """Where a subscription begins."""
    filter: dict[str, list[str]] | None = None
    generation: int = 0
    """How many processes of this name there were before."""
    cacert: str = ""
    token_file: str = ""
    """Of a run with TLS; both or none."""

    @property
    def stem(self) -> str:
        return f"{self.name}.{self.generation}"

    @property
    def address(self) -> str:
        return f"{'hubaudits://' if self.cacert else ''}{self.host}:{self.port}"

    @property
    def options(self) -> dict[str, Any]:
        """For the package's client."""
        return {"tls": hubaudit.TLS(cacert=self.cacert), "token": pathlib.Path(self.token_file)} if self.cacert else {}

    @property
    def flags(self) -> list[str]:
        """For the command."""
        return ["--server", self.address, *(("--cacert", self.cacert, "--token-file", self.token_file) if self.cacert else ())]


class Client:
    """Base of the clients. `patience` is how many seconds of silence make it connect again: more after each loss, little after success."""

    LEAST_PATIENCE, MOST_PATIENCE = 0.15, 1.0

    def __init__(self, task: Task) -> None:
        self.task = task
        self.chance = random.Random(f"{task.seed} {task.stem}")
        self.recorder = Recorder(task.directory / f"{task.stem}.jsonl")
        self.patience = self.LEAST_PATIENCE
        self._pulse = os.open(task.directory / "pulse", os.O_WRONLY)
        self._pause = 0.005

    def pulse(self, what: bytes) -> None:
        """Tells the run that something happened here, so that it counts events instead of time."""
        os.write(self._pulse, what)
        if what != LOST:
            self.patience, self._pause = self.LEAST_PATIENCE, 0.005

    def lost(self) -> None:
        """The connection is gone or silent: waits a little, more each time, as clients do."""
        self.pulse(LOST)
        self.patience = min(self.patience * 2, self.MOST_PATIENCE)
        time.sleep(self._pause * self.chance.uniform(0.5, 1))
        self._pause = min(self._pause * 2, 0.1)

    def connect(self) -> Peer:
        return Peer(self.task.port, self.patience, self.task.host, self.task if self.task.cacert else None)


class Ended(OSError):
    """The server ended the connection, or refused the hello for now."""


class Peer(Connection):
    """The bare connection, with records left as the bytes that they are."""

    def __init__(self, port: int, timeout: float, host: str, security: Security | Task | None = None) -> None:
        super().__init__(port, timeout, host)
        self.token = ""
        if security is not None:
            self.token = pathlib.Path(security.token_file).read_text()
            context = ssl.create_default_context(cafile=security.cacert)
            context.set_alpn_protocols(["hubaudit/1"])
            try:
                self.socket = context.wrap_socket(self.socket, server_hostname=host)
            except OSError:
                self.close()
                raise

    def frame(self) -> Any:
        """The next frame. Raises OSError at the end of the connection or of the patience."""
        data = self.receive_bytes()
        if data is None:
            raise Ended("the server ended the connection")
        return parse(ServerFrameView, data)

    def greet(self, **fields: object) -> frames_pb2.Welcome:
        frame = self.request()
        frame.hello.version = 1
        if self.token:
            frame.hello.token = self.token
        for name, value in fields.items():
            setattr(frame.hello, name, value)
        self.send(frame)
        reply = self.frame()
        if reply.WhichOneof("reply") == "error" and reply.error.retry:
            raise Ended(reply.error.message)
        assert reply.WhichOneof("reply") == "welcome", reply
        return reply.welcome

    def break_off(self, frame: frames_pb2.ClientFrame) -> None:
        """Sends the first half of a frame and resets the connection."""
        data = frame.SerializeToString()
        self.send_bytes(bytes([0x80 | len(data) & 0x7F, len(data) >> 7]) + data[: len(data) // 2] if len(data) >> 14 == 0 else b"\xff")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
        raise Ended("reset in the middle of a frame")


def main(task: Task) -> None:
    """The life of a client process."""
    # A group of its own: who kills the client kills what it has started.
    os.setpgid(0, 0)
    errors = open(task.directory / f"{task.stem}.err", "w")  # noqa: SIM115
    os.dup2(errors.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    sys.stdout = sys.stderr = errors
    faulthandler.enable()
    module, _, name = task.role.partition(":")
    getattr(importlib.import_module(module), name)(task).run()
