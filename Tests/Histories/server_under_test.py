"""The server of a run: killed, crashed, drained, and started again on its directory and its port."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal

from held_port import HeldPort
from wire import Server

# Until a server that is to end has ended.
DEADLINE = 60


class ServerUnderTest:
    """`listen` is the address without the port, which stays the same. On loopback it is held; in a network of its own nobody else asks for it."""

    def __init__(self, directory: pathlib.Path, *flags: str, listen: str, wrap: tuple[str, ...]) -> None:
        self._held = HeldPort() if listen == "127.0.0.1" else None
        self.port = self._held.number if self._held else 0
        self.crashes = 0
        """How often a wrapped one has died by itself."""
        self._directory = directory
        self._flags = flags
        self._listen = listen
        self._wrap = wrap
        self._server: Server | None = None
        self._is_wrapped = False
        self._is_ending = False

    def start(self, wrap: tuple[str, ...] = ()) -> None:
        """One that is wrapped may die at any time, before it is ready too."""
        self._is_wrapped, self._is_ending = bool(wrap), False
        data, listen = self._directory / "data", f"{self._listen}:{self.port}"
        try:
            self._server = Server(data, *self._flags, "--log-level", "debug", listen=listen, wrap=self._wrap + wrap)
        except AssertionError:
            if not wrap:
                raise
            self.crashes += 1
        else:
            self.port = self._server.port

    @property
    def is_running(self) -> bool:
        return self._server is not None and self._server.process.poll() is None

    def check(self) -> None:
        """Raises AssertionError when it ended by itself, and nothing was there to make it end."""
        if self._server is not None and not self._is_wrapped and not self._is_ending:
            code = self._server.process.poll()
            assert code is None, f"the server ended with {code}: {self._server.log[-5:]}"

    def signal(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._is_ending = self._is_ending or number == signal.SIGTERM
        self._server.process.send_signal(number)

    def kill(self) -> int | None:
        """kill -9, if there is one; its exit code."""
        if self._server is None:
            return None
        process = self._server.process
        if not self.is_running:
            self.crashes += 1
        elif self._is_wrapped:
            # The one to kill is the server, not what is around it. It may be dying right now.
            with contextlib.suppress(OSError):
                for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
        else:
            process.kill()
        return self.wait()

    def wait(self) -> int:
        """The exit code of one that is to end. Raises `subprocess.TimeoutExpired`."""
        assert self._server is not None
        code = self._server.process.wait(DEADLINE)
        with (self._directory / "server.log").open("a") as log:
            log.writelines(json.dumps(entry) + "\n" for entry in [*self._server.log, {"exit code": code}])
        self._server = None
        return code
