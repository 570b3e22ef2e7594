"""`hubaudit append` and `hubaudit tail` as clients; what they read and write is noted by the process around them."""

from __future__ import annotations

import os
import subprocess
from typing import BinaryIO

from client import ACKNOWLEDGED
from hubaudit.framing import FrameDecoder
from raw_producers import WINDOW, Producer
from raw_subscriber import Subscriber
from wire import BINARY
from workload import custom

TIMEOUT = "1s"


def command(*arguments: str) -> subprocess.Popen[bytes]:
    # The command's own complaints go to the file of the process around it.
    return subprocess.Popen([BINARY, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


class CommandProducer(Producer):
    """Feeds lines to `hubaudit append`, and the lines behind to another one when it gave up. A line that has no answer then may be stored."""

    def run(self) -> None:
        while self.number <= self.task.size:
            self.connections += 1
            with command("append", "--json", "-", "--hub", self.task.hub, "--timeout", TIMEOUT, *self.task.flags) as process:
                self.feed(process)
            if process.returncode != 0:
                self.lost()

    def feed(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        output = os.fdopen(os.dup(process.stdout.fileno()), "rb")
        waiting: list[int] = []
        with output:
            while self.number <= self.task.size or waiting:
                try:
                    while self.number <= self.task.size and len(waiting) < WINDOW:
                        waiting.append(self.send_line(process.stdin))
                except BrokenPipeError:
                    # It has ended; what it has printed before still counts.
                    pass
                line = output.readline()
                if not line:
                    return
                self.recorder.write("answer", id=waiting.pop(0), sequences=[int(line)], duplicates=0)
                self.pulse(ACKNOWLEDGED)
            process.stdin.close()

    def send_line(self, stdin: BinaryIO) -> int:
        note = custom(self.task.seed, self.task.name, self.number)
        self.number += 1
        self.ids += 1
        events = [[note.token, note.kind, note.text]]
        self.recorder.write("send", id=self.ids, connection=self.connections, hub=self.task.hub, events=events)
        stdin.write((note.text or "").encode() + b"\n")
        return self.ids


class CommandSubscriber(Subscriber):
    """`hubaudit tail -f`, and another one from the last record on when it gave up before it ever had a connection."""

    def run(self) -> None:
        while not self.is_done:
            start = self.resumption()
            self.begin(start)
            with command("tail", "-f", "-o", "raw", "--timeout", TIMEOUT, *self.options(start)) as process:
                self.follow(process)
                process.kill()
            if not self.is_done:
                self.lost()

    def options(self, start: dict[str, object]) -> list[str]:
        options = self.task.flags
        name, value = next(iter(start.items()))
        options += ["--after", str(value)] if name == "after" else ["--from", {"earliest": "first", "latest": "last"}.get(name, str(value))]
        for field, values in (self.task.filter or {}).items():
            for one in values:
                options += [f"--{field[:-1]}", one]
        return options

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        decoder = FrameDecoder(1 << 24)
        while not self.is_done and (data := os.read(process.stdout.fileno(), 1 << 16)):
            self.take(decoder.feed(data), None)
