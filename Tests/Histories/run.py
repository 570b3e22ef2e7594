"""One run: a server, its clients, faults while they work, and the history that is left."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

import workload
from client import ACKNOWLEDGED, Peer, Task
from clients import Clients
from faults import FAULTS, Fault
from history import History, LogRecord, Recorder
from hubaudit import Record
from hubaudit._views import RecordBatchView, RecordsView, parse
from network import NamespaceNetwork, Network, ProxyNetwork
from plan import ClientPlan, Plan
from promises import violations
from raw_subscriber import digest
from security import Security
from server_under_test import ServerUnderTest
from wire import BINARY

# Until a run must be over. Nothing waits so long unless something is wrong.
DEADLINE = 60
# Between two last records.
LAST_INTERVAL = 0.3


@dataclass
class Outcome:
    """What became of a run."""

    seed: int
    directory: pathlib.Path
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Run:
    def __init__(self, seed: int, directory: pathlib.Path, namespaces: bool) -> None:
        self.plan = Plan.of(seed)
        self.directory = directory
        self.outcome = Outcome(seed, directory)
        if self.plan.network == "namespace" and not namespaces:
            self.plan.network = "proxy"
        (directory / "plan.json").write_text(json.dumps(dataclasses.asdict(self.plan), indent=1))
        self.network: Network = {"namespace": NamespaceNetwork, "proxy": ProxyNetwork, "loopback": Network}[self.plan.network]()
        self.clients = Clients(directory)
        self.deadline = time.monotonic() + DEADLINE
        self.security = Security(directory, self.network.hosts) if self.plan.secured else None
        # An address other than loopback needs either.
        flags = self.security.flags if self.security else self.network.flags
        self.server = ServerUnderTest(
            directory, *flags, *self.plan.settings, listen=self.network.listen, wrap=self.network.wrap)
        self._active: list[tuple[int, Fault]] = []

    def play(self) -> Outcome:
        """The run from beginning to end. What breaks a promise, and what should not happen at all, is in the outcome."""
        try:
            self.server.start()
            self.network.open(self.server.port, len(self.plan.producers) + len(self.plan.subscribers))
            self.work()
            self.finish_subscribers()
            self.write_log()
            self.server.signal(signal.SIGTERM)
            assert self.server.wait() == 0
            self.inspect()
            self.judge()
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            self.outcome.violations.append(f"the run: {error or type(error).__name__}")
            self.judge_what_there_is()
        finally:
            self.clients.close()
            self.server.kill()
            self.network.close()
        self.outcome.counts["crashes"] = self.server.crashes
        self.outcome.counts["with TLS and rights"] += self.plan.secured
        if self.outcome.violations:
            (self.directory / "violations.txt").write_text("\n".join(self.outcome.violations) + "\n")
        return self.outcome

    # The work and the faults

    def work(self) -> None:
        """Until every producer is done: starts clients, and begins and ends faults, at their counts."""
        joining = [*self.plan.producers, *self.plan.subscribers]
        waiting = [FAULTS[one.what](one, self) for one in self.plan.faults]
        while joining or not self.clients.are_over("p"):
            done = bool(joining) and self.clients.are_over("p") and self.clients.is_started("p0")
            acknowledged = self.clients.pulses[ACKNOWLEDGED]
            for one in [one for one in joining if done or one.joins_at <= acknowledged]:
                joining.remove(one)
                self.clients.add(self.task(one))
            for fault in [fault for fault in waiting if fault.plan.at <= acknowledged]:
                waiting.remove(fault)
                self.begin(fault)
            happened = self.clients.happened
            for end, fault in [one for one in self._active if one[0] <= happened or one[1].is_over]:
                self._active.remove((end, fault))
                fault.end()
            self.step()
        for _, fault in self._active:
            fault.end()
        self._active.clear()
        self.wait_for("p")

    def begin(self, fault: Fault) -> None:
        plan = fault.plan
        if any(active.plan.subject == plan.subject for _, active in self._active):
            return
        if plan.client and not self.clients.is_started(plan.client):
            return
        fault.begin()
        self.outcome.counts[fault.name] += 1
        self._active.append((self.clients.happened + plan.lasts, fault))

    def task(self, one: ClientPlan) -> Task:
        link = [*self.plan.producers, *self.plan.subscribers].index(one)
        host, port = self.network.address(link)
        return Task(
            one.role, one.name, self.plan.seed, self.directory, host, port, one.hub, one.size, one.start, one.filter,
            cacert=self.security.cacert if self.security else "", token_file=self.security.token_file if self.security else "")

    def connect(self) -> Peer:
        """A connection that nothing breaks."""
        return Peer(self.server.port, 30, self.network.host, self.security)

    def step(self, longest: float = DEADLINE) -> None:
        left = self.deadline - time.monotonic()
        assert left > 0, f"not over after {DEADLINE} s"
        self.clients.wait(min(left, longest))
        self.server.check()

    def wait_for(self, prefix: str) -> None:
        while not self.clients.are_over(prefix):
            self.step()

    # The end

    def finish_subscribers(self) -> None:
        """Appends the record that passes every filter: who sees it has seen all. One more for those whose "latest" was behind it."""
        recorder = Recorder(self.directory / "end.0.jsonl")
        with self.connect() as connection:
            connection.greet(hub=workload.END)
            number = 0
            while not self.clients.are_over("s"):
                number += 1
                token = f"end/{number}"
                text = json.dumps({"at": workload.AT, "kind": workload.END, "agent_id": workload.END, "task_id": token})
                recorder.write("send", id=number, connection=1, hub=workload.END, events=[[token, workload.END, text]])
                reply = connection.append(text.encode())
                assert reply.WhichOneof("reply") == "appended", reply
                recorder.write("answer", id=number, sequences=[reply.appended.first_sequence], duplicates=0)
                until = time.monotonic() + LAST_INTERVAL
                while not self.clients.are_over("s") and time.monotonic() < until:
                    self.step(LAST_INTERVAL)

    def write_log(self) -> None:
        """The whole log, in one read."""
        with self.connect() as connection, (self.directory / "log.jsonl").open("w") as log:
            connection.greet(client="auditor")
            frame = connection.request()
            frame.read.start.earliest = True
            connection.send(frame)
            while (reply := connection.frame()).WhichOneof("reply") == "records":
                batch = parse(RecordBatchView, parse(RecordsView, reply.records).batch)
                log.writelines(json.dumps(dataclasses.asdict(log_record(raw))) + "\n" for raw in batch.records)
            assert reply.WhichOneof("reply") == "read_end", reply

    def inspect(self) -> None:
        result = subprocess.run([BINARY, "inspect", str(self.directory / "data")], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"inspect: {result.stdout}{result.stderr}"

    def judge_what_there_is(self) -> None:
        """After a run that broke off: which promises were broken until then. Says nothing where the log can not be had."""
        self.clients.close()
        with contextlib.suppress(AssertionError, OSError):
            self.server.kill()
            self.server.start()
            self.write_log()
            self.judge()

    def judge(self) -> None:
        history = History.load(self.directory)
        self.outcome.violations += violations(history)
        counts = self.outcome.counts
        counts["acknowledged"] += sum(append.sequences is not None for append in history.appends)
        counts["re-sent and known"] += sum(append.duplicates for append in history.appends)
        counts["unanswered"] += sum(append.answered_at is None for append in history.appends)
        counts["superseded"] += sum(append.refused == "PRODUCER_SUPERSEDED" for append in history.appends)
        counts["delivered"] += sum(len(session.records) for all in history.subscribers.values() for session in all)
        counts["resumed"] += sum(sum(bool(session.frames) for session in all) - 1 for all in history.subscribers.values())
        counts["records"] += len(history.log)
        counts[self.plan.network] += 1


def log_record(raw: bytes) -> LogRecord:
    record = Record(raw)
    record.verify()
    fields = record.record or {}
    body = record.body
    named = [fields.get(name) for name in ("agent_id", "owner_id", "creator_id")]
    named += [*fields.get("participants", []), *fields.get("violators", [])]
    return LogRecord(
        record.sequence, record.received_at, record.hub, record.producer, record.producer_sequence, record.kind, fields.get("task_id"),
        body.custom.json.decode() if body.HasField("custom") else None, digest(raw), [one for one in named if one is not None])
