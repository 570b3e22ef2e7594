"""The client processes of a run, and the pipe over which they tell that something happened."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import threading
from collections import Counter

import client
from client import LOST, Task

# Each process is forked from one that has imported what is slow to import, and has no threads.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["asyncio", "json", "hubaudit", "hubaudit._views"])
# In seconds, for a whole run.
SILENCE = 0.25

# Every start of a process asks after the ends of all others, whichever thread's they are; an end can be read only once.
PROCESSES_LOCK = threading.Lock()


class Process:
    """One client process."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._process = PROCESSES.Process(target=client.main, args=(task,), daemon=True)
        with PROCESSES_LOCK:
            self._process.start()
        self._is_killed = False

    @property
    def sentinel(self) -> int:
        return self._process.sentinel

    @property
    def is_over(self) -> bool:
        return self._exit_code is not None

    @property
    def _exit_code(self) -> int | None:
        with PROCESSES_LOCK:
            return self._process.exitcode

    @property
    def failure(self) -> str | None:
        """Why it ended as it should not have."""
        code = self._exit_code
        if code in (None, 0) or self._is_killed:
            return None
        errors = (self.task.directory / f"{self.task.stem}.err").read_text()
        return f"client {self.task.stem} ended with {code}: {errors[-2000:]}"

    def signal(self, number: signal.Signals) -> None:
        """To the process and what it has started."""
        if self.is_over:
            return
        pid = self._process.pid
        assert pid is not None
        self._is_killed = self._is_killed or number == signal.SIGKILL
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            # It has ended, or has no group of its own yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        multiprocessing.connection.wait([self.sentinel], 30)


class Clients:
    """All client processes of a run, by name; a successor has its predecessor's name."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.pulses: Counter[bytes] = Counter()
        self._processes: dict[str, list[Process]] = {}
        os.mkfifo(directory / "pulse")
        # For both, so that it never ends.
        self._pipe = os.open(directory / "pulse", os.O_RDWR | os.O_NONBLOCK)

    @property
    def happened(self) -> int:
        """How much has happened: what was acknowledged, delivered and lost. Losses are slow, and count for more."""
        return self.pulses.total() + 7 * self.pulses[LOST]

    def add(self, task: Task) -> None:
        self._processes[task.name] = [Process(task)]

    def start(self, name: str) -> Process:
        """Another process of the same name, which knows what the earlier ones wrote."""
        processes = self._processes[name]
        task = processes[0].task
        processes.append(Process(Task(**{**vars(task), "generation": len(processes)})))
        return processes[-1]

    def is_started(self, name: str) -> bool:
        return name in self._processes

    def kill(self, name: str) -> None:
        self._processes[name][-1].kill()

    def signal(self, name: str, number: signal.Signals) -> Process:
        """To the newest process of this name."""
        process = self._processes[name][-1]
        process.signal(number)
        return process

    def are_over(self, prefix: str) -> bool:
        """Whether all clients whose names begin so have ended. Raises AssertionError for one that failed."""
        processes = [process for name, all in self._processes.items() if name.startswith(prefix) for process in all]
        for process in processes:
            assert process.failure is None, process.failure
        return all(process.is_over for process in processes)

    def wait(self, seconds: float) -> None:
        """Returns when something has happened, and counts it. Silence counts as a loss: all who would notice one may be stopped."""
        sentinels = [one.sentinel for all in self._processes.values() for one in all if not one.is_over]
        ready = multiprocessing.connection.wait([self._pipe, *sentinels], min(seconds, SILENCE))
        if self._pipe in ready:
            with contextlib.suppress(BlockingIOError):
                self.pulses.update(bytes([one]) for one in os.read(self._pipe, 1 << 16))
        elif not ready:
            self.pulses[LOST] += 1

    def close(self) -> None:
        """Ends all that are left."""
        for process in (process for all in self._processes.values() for process in all):
            process.kill()
        if self._pipe >= 0:
            os.close(self._pipe)
        self._pipe = -1
