"""The process and the event loop that a client belongs to. Its sockets, timers and futures are theirs, and of no use anywhere else."""

from __future__ import annotations

import asyncio
import os
import threading

from .errors import WrongLoop

# Forks between the first process that has loaded this and the one that runs: counted, since asking for the process costs a system call.
_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Home:
    """Bound where the client is first used; says at once when it is used from another process, thread or event loop."""

    __slots__ = ("_forks", "_name", "_pid", "_thread", "loop")

    def __init__(self, name: str) -> None:
        self._name = name
        self._forks = 0
        self._pid = 0
        self._thread = ""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop; None while the client was not used."""

    def check(self) -> asyncio.AbstractEventLoop:
        """The event loop, which is the running one. Raises `WrongLoop`."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is not None and running is self.loop and self._forks == _forks:
            return running
        if self.loop is None and running is not None:
            self.loop, self._forks, self._pid, self._thread = running, _forks, os.getpid(), threading.current_thread().name
            return running
        raise WrongLoop(self._wrong(running))

    def check_outside(self) -> asyncio.AbstractEventLoop:
        """The event loop, running here or not running at all. Raises `WrongLoop`."""
        loop = self.loop
        if loop is None or loop.is_running() or loop.is_closed() or not self.here:
            return self.check()
        return loop

    @property
    def here(self) -> bool:
        """Whether this is the process that it belongs to."""
        return self.loop is None or self._forks == _forks

    @property
    def ended(self) -> bool:
        """Whether its event loop was closed."""
        return self.loop is not None and self.loop.is_closed()

    def _wrong(self, running: asyncio.AbstractEventLoop | None) -> str:
        if self.loop is None:
            return f"{self._name} is used outside of an event loop: call it from a coroutine"
        advice = "make one there"
        if not self.here:
            return f"{self._name} belongs to process {self._pid}, and this is process {os.getpid()} (a fork): {advice}"
        if self.loop.is_closed():
            return f"{self._name} belongs to an event loop that has ended (an earlier asyncio.run?): {advice.replace('there', 'in this one')}"
        thread = threading.current_thread().name
        if running is None:
            return f"{self._name} belongs to the event loop of thread {self._thread!r}, and none is running here (thread {thread!r}): use asyncio.run_coroutine_threadsafe"
        if thread != self._thread:
            return f"{self._name} belongs to the event loop of thread {self._thread!r}, and this is that of thread {thread!r}: {advice}"
        return f"{self._name} belongs to another event loop than the one that runs: {advice}"
