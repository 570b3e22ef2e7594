"""A server process and a bare connection to it: frames as protobuf's own runtime makes them, nothing of hubaudit's clients."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading

from hubaudit._proto import frames_pb2

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("HUBAUDIT_BIN", str(ROOT / ".build/release/hubaudit"))


class Server:
    """`hubaudit serve` on a free port of loopback."""

    def __init__(
        self, data: pathlib.Path | str, *flags: str, listen: str = "127.0.0.1:0", wrap: tuple[str, ...] = (), awaits_ready: bool = True
    ) -> None:
        self.data = pathlib.Path(data)
        self.log: list[dict] = []
        self.process = subprocess.Popen(
            [*wrap, BINARY, "serve", "--data", str(data), "--listen", listen, "--http-listen", "127.0.0.1:0", "--log-format", "json", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")},
        )
        # Set by the line that says so, and by the end of the process.
        self.ready = threading.Event()
        self.address = self.http_address = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if awaits_ready and not self.is_ready():
            self.process.kill()
            raise AssertionError(f"the server did not get ready: {self.log[-5:]}")

    def is_ready(self) -> bool:
        """Waits until the server is ready or has ended."""
        return self.ready.wait(60) and bool(self.address)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"message": line.rstrip()}
            self.log.append(entry)
            if entry.get("message", "").startswith("ready"):
                self.address, self.http_address = entry["listen"], entry["http_listen"]
                self.ready.set()
        self.ready.set()

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def connect(self, **hello: object) -> Connection:
        connection = Connection(self.port)
        if hello:
            connection.hello(**hello)
        return connection

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an answer over HTTP."""
        connection = http.client.HTTPConnection(self.http_address, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join(10)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._reader.join(10)
        return code

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Connection:
    """A socket that speaks frames. Every wait has a deadline."""

    def __init__(self, port: int, timeout: float = 30, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ids = 0

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, frame: frames_pb2.ClientFrame) -> None:
        data = frame.SerializeToString()
        self.send_bytes(varint(len(data)) + data)

    def request(self) -> frames_pb2.ClientFrame:
        self.ids += 1
        return frames_pb2.ClientFrame(id=self.ids)

    def receive(self) -> frames_pb2.ServerFrame | None:
        """The next frame; None at the end of the connection."""
        data = self.receive_bytes()
        return None if data is None else frames_pb2.ServerFrame.FromString(data)

    def receive_bytes(self) -> bytes | None:
        """The next frame as it came, without its length; None at the end of the connection."""
        while True:
            length = shift = 0
            for index, byte in enumerate(self.buffer):
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    if len(self.buffer) < index + 1 + length:
                        break
                    data = self.buffer[index + 1 : index + 1 + length]
                    self.buffer = self.buffer[index + 1 + length :]
                    return data
            try:
                more = self.socket.recv(1 << 18)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.buffer += more

    def ask(self, frame: frames_pb2.ClientFrame) -> frames_pb2.ServerFrame:
        """Sends a request and returns its first reply."""
        self.send(frame)
        while (reply := self.receive()) is not None:
            if reply.id == frame.id:
                return reply
        raise EOFError("the connection ended before the reply came")

    def hello(self, **fields: object) -> frames_pb2.Welcome:
        frame = self.request()
        frame.hello.SetInParent()
        frame.hello.version = 1
        for name, value in fields.items():
            setattr(frame.hello, name, value)
        reply = self.ask(frame)
        assert reply.WhichOneof("reply") == "welcome", reply
        return reply.welcome

    def append(self, *objects: dict | bytes, number: int | None = None) -> frames_pb2.ServerFrame:
        return self.ask(self.append_frame(*objects, number=number))

    def append_frame(self, *objects: dict | bytes, number: int | None = None) -> frames_pb2.ClientFrame:
        frame = self.request()
        frame.append.SetInParent()
        if number is not None:
            frame.append.producer_sequence = number
        for one in objects:
            frame.append.events.add().custom = one if isinstance(one, bytes) else json.dumps(one).encode()
        return frame

    def read_all(self, start: int = 0) -> list:
        """The records from a sequence on."""
        frame = self.request()
        frame.read.start.sequence = start
        self.send(frame)
        records = []
        while (reply := self.receive()) is not None:
            if reply.id != frame.id:
                continue
            kind = reply.WhichOneof("reply")
            if kind == "records":
                records += reply.records.batch.records
            else:
                assert kind == "read_end", reply
                return records
        raise EOFError("the connection ended in the middle of a read")

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
