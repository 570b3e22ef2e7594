"""A subscriber over a bare connection: with little credit or much, and resumed by the last sequence or by the position it was told."""

from __future__ import annotations

import hashlib
from typing import Any

from client import DELIVERED, Client, Ended, Peer, Task
from history import History
from hubaudit import Record
from hubaudit._proto import frames_pb2
from hubaudit._views import RecordBatchView, RecordsView, parse
from workload import END


def digest(raw: bytes) -> str:
    """What stands in the history for a record's bytes."""
    return hashlib.sha256(raw).hexdigest()[:32]


class Subscriber(Client):
    """Base of the subscribers: knows where it is, from its predecessors' histories too."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.sessions = 0
        self.last: int | None = None
        self.position: int | None = None
        self.is_done = False
        for session in History.of(task.directory, task.name).subscribers.get(task.name, []):
            for frame in session.frames:
                self.advance([sequence for sequence, _ in frame.records], frame.next)

    def advance(self, sequences: list[int], next: int | None) -> None:
        if sequences:
            self.last = sequences[-1]
            self.position = max(self.position or 0, self.last + 1)
        if next is not None:
            self.position = max(self.position or 0, next)

    def begin(self, start: dict[str, Any]) -> None:
        self.sessions += 1
        self.recorder.write("subscribe", session=self.sessions, start=start, filter=self.task.filter or {})

    def take(self, raws: list[bytes], next: int | None) -> None:
        """Records were delivered."""
        records = [Record(raw) for raw in raws]
        pairs = [[record.sequence, digest(record.raw)] for record in records]
        self.recorder.write("frame", session=self.sessions, records=pairs, next=next)
        self.advance([record.sequence for record in records], next)
        self.is_done = self.is_done or any(record.hub == END and record.kind == END for record in records)
        self.pulse(DELIVERED)

    def told(self, state: str, next: int) -> None:
        self.recorder.write("frame", session=self.sessions, state=state, next=next)
        self.advance([], next)

    def resumption(self) -> dict[str, Any]:
        """Where to subscribe from now."""
        if self.position is None:
            return self.task.start or {"earliest": True}
        if self.last is not None and self.chance.random() < 0.5:
            return {"after": self.last}
        return {"sequence": self.position}


class RawSubscriber(Subscriber):
    def run(self) -> None:
        while not self.is_done:
            try:
                with self.connect() as connection:
                    self.follow(connection)
            except OSError:
                self.lost()

    def follow(self, connection: Peer) -> None:
        connection.greet(client=self.task.stem)
        frame = connection.request()
        start = self.resumption()
        for name, value in start.items():
            setattr(frame.subscribe.start, name, value)
        for name, values in (self.task.filter or {}).items():
            getattr(frame.subscribe.filter, name).extend(values)
        window = self.chance.choice((500, 5_000, 1 << 20))
        frame.subscribe.credit = window
        self.begin(start)
        connection.send(frame)
        consumed = 0
        while not self.is_done:
            reply = connection.frame()
            kind = reply.WhichOneof("reply")
            if kind == "records":
                records = parse(RecordsView, reply.records)
                self.take(list(parse(RecordBatchView, records.batch).records), records.next_sequence)
                consumed += len(records.batch)
                if consumed * 2 >= window:
                    credit = connection.request()
                    credit.credit.subscription, credit.credit.bytes = frame.id, consumed
                    connection.send(credit)
                    consumed = 0
            elif kind == "subscription" and reply.subscription.state != frames_pb2.SubscriptionState.STATE_ENDED:
                state = frames_pb2.SubscriptionState.State.Name(reply.subscription.state).removeprefix("STATE_")
                self.told(state, reply.subscription.next_sequence)
            else:
                self.end(reply.error if kind == "error" else reply.subscription.error)

    def end(self, error: frames_pb2.Error) -> None:
        code = frames_pb2.Error.Code.Name(error.code).removeprefix("CODE_")
        self.recorder.write("end", session=self.sessions, code=code)
        if not error.retry and code != "TIMEOUT":
            raise AssertionError(f"the subscription was ended with {code}: {error.message}")
        raise Ended(code)
