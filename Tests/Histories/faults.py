"""What goes wrong in a run. Each fault has a beginning and an end; the run decides when."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import plan

if TYPE_CHECKING:
    from run import Run


class Fault:
    def __init__(self, fault: plan.Fault, run: Run) -> None:
        self.plan = fault
        self.run = run

    @property
    def name(self) -> str:
        return self.plan.what

    def begin(self) -> None:
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end by itself."""
        return False

    def end(self) -> None:
        raise NotImplementedError


class KillServer(Fault):
    def begin(self) -> None:
        self.run.server.kill()

    def end(self) -> None:
        self.run.server.start()


class DrainServer(Fault):
    def begin(self) -> None:
        self.run.server.signal(signal.SIGTERM)

    def end(self) -> None:
        code = self.run.server.wait()
        assert code == 0, f"the server ended with {code} after SIGTERM"
        self.run.server.start()


class StopServer(Fault):
    """It does not run, and its kernel still takes connections and bytes for it."""

    def begin(self) -> None:
        self.run.server.signal(signal.SIGSTOP)

    def end(self) -> None:
        self.run.server.signal(signal.SIGCONT)


class CrashServer(Fault):
    """Another start of the server, which dies at a system call: where a commit is to be written, or between its write and its sync."""

    def begin(self) -> None:
        call = "fdatasync" if self.plan.what.endswith("sync") else "pwritev"
        inject = f"inject={call}:signal=KILL:when={self.plan.call}"
        self.run.server.kill()
        self.run.server.start(wrap=("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject))

    @property
    def is_over(self) -> bool:
        return not self.run.server.is_running

    def end(self) -> None:
        code = self.run.server.kill()
        assert code in (None, -signal.SIGKILL), f"the server ended with {code}"
        self.run.server.start()


class KillClient(Fault):
    """The successor goes on where the history of the killed one ends."""

    def begin(self) -> None:
        self.run.clients.kill(self.plan.client)

    def end(self) -> None:
        self.run.clients.start(self.plan.client)


class StopClient(Fault):
    def begin(self) -> None:
        self.process = self.run.clients.signal(self.plan.client, signal.SIGSTOP)

    def end(self) -> None:
        self.process.signal(signal.SIGCONT)


class ReplaceProducer(Fault):
    """A producer that was only slow meets its successor: two processes number the same events."""

    def begin(self) -> None:
        self.slow = self.run.clients.signal(self.plan.client, signal.SIGSTOP)
        self.run.clients.start(self.plan.client)

    def end(self) -> None:
        self.slow.signal(signal.SIGCONT)


class BreakLinks(Fault):
    @property
    def name(self) -> str:
        ways = self.run.network.ways
        return ways[self.plan.way % len(ways)]

    def begin(self) -> None:
        self.run.network.break_links(self.plan.links, self.name)

    def end(self) -> None:
        self.run.network.mend(self.plan.links)


FAULTS: dict[str, type[Fault]] = {
    "kill server": KillServer,
    "stop server": StopServer,
    "drain server": DrainServer,
    "crash server in a sync": CrashServer,
    "crash server in a write": CrashServer,
    "kill client": KillClient,
    "stop client": StopClient,
    "replace producer": ReplaceProducer,
    "break links": BreakLinks,
}
