"""Producers over a bare connection: one that numbers its events and sends them again, and one that does not."""

from __future__ import annotations

from client import ACKNOWLEDGED, Client, Ended, Peer, Task
from history import History
from hubaudit import Appended
from hubaudit._proto import frames_pb2
from workload import event

WINDOW = 6
BATCH = 5


class Producer(Client):
    """Sends appends, several in flight, and notes each with its answer."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.ids = 0
        sent = [append.events[-1].token for append in History.of(task.directory, task.name).appends]
        self.number = max((int(token.rpartition("/")[2]) for token in sent), default=0) + 1
        """Of the first event that was never sent, by predecessors neither."""
        self.connections = 0
        self.in_flight: dict[int, tuple[int, int, int]] = {}
        """By the frame's id: the history's id, and the first number and the number behind the last."""

    def run(self) -> None:
        while not self.is_done():
            self.connections += 1
            self.in_flight = {}
            try:
                with self.connect() as connection:
                    self.talk(connection)
            except OSError:
                self.lost()

    def is_done(self) -> bool:
        raise NotImplementedError

    def talk(self, connection: Peer) -> None:
        raise NotImplementedError

    def send(self, connection: Peer, first: int, end: int, numbered: bool) -> None:
        """Appends the events from `first` up to `end`; one time in a hundred the connection breaks in the middle of it."""
        frame = connection.request()
        if numbered:
            frame.append.producer_sequence = first
        notes = []
        for number in range(first, end):
            message, note = event(self.task.seed, self.task.name, number)
            frame.append.events.append(message)
            notes.append([note.token, note.kind, note.text])
        self.ids += 1
        self.in_flight[frame.id] = (self.ids, first, end)
        name = {"producer": self.task.name, "number": first} if numbered else {}
        self.recorder.write("send", id=self.ids, connection=self.connections, hub=self.task.hub, events=notes, **name)
        if self.chance.random() < 0.01:
            connection.break_off(frame)
        connection.send(frame)

    def answer(self, connection: Peer) -> tuple[range, str | None]:
        """Waits for an answer: the numbers it is about, and the error's code where it is one."""
        reply = connection.frame()
        assert reply.id, reply
        id, first, end = self.in_flight.pop(reply.id)
        if reply.WhichOneof("reply") == "error":
            code = frames_pb2.Error.Code.Name(reply.error.code).removeprefix("CODE_")
            self.recorder.write("refusal", id=id, code=code)
            return range(first, end), code
        assert reply.WhichOneof("reply") == "appended", reply
        appended = Appended.from_wire(reply.appended, end - first)
        self.recorder.write("answer", id=id, sequences=appended.sequences, duplicates=appended.duplicates)
        self.pulse(ACKNOWLEDGED)
        return range(first, end), None


class NumberedProducer(Producer):
    """Sends what was not answered again, over one connection after the other, in other batches than before."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.answered: set[int] = set()
        self.lowest = 1
        for append in History.of(task.directory, task.name).appends:
            if append.sequences is not None and append.number is not None:
                self.note(range(append.number, append.number + len(append.events)))

    def note(self, numbers: range) -> None:
        self.answered.update(numbers)
        while self.lowest in self.answered:
            self.lowest += 1

    def is_done(self) -> bool:
        return self.lowest > self.task.size

    def talk(self, connection: Peer) -> None:
        declared = self.lowest
        welcome = connection.greet(hub=self.task.hub, producer=self.task.name, producer_next=declared)
        expected = welcome.producer_next
        self.recorder.write("hello", hub=self.task.hub, producer=self.task.name, declared=declared, expected=expected)
        if self.chance.random() < 0.2:
            # All below is stored, or so the server says; who does not need the sequences goes on from there.
            self.note(range(declared, expected))
        number, is_turning_back = self.lowest, False
        while not self.is_done():
            while not is_turning_back and len(self.in_flight) < WINDOW and number <= self.task.size:
                end = min(number + self.chance.randint(1, BATCH), self.task.size + 1)
                # Now and then with events before it that were answered long ago.
                first = max(1, number - self.chance.randint(1, 8)) if self.chance.random() < 0.05 else number
                self.send(connection, first, end, numbered=True)
                number = end
            if not self.in_flight:
                number, is_turning_back = self.lowest, False
                continue
            numbers, code = self.answer(connection)
            if code is None:
                self.note(numbers)
            elif code in ("PRODUCER_GAP", "OVERLOADED"):
                is_turning_back = True
            elif code == "DRAINING":
                raise Ended(code)
            elif code == "PRODUCER_SUPERSEDED":
                # A successor goes on.
                raise SystemExit(0)
            else:
                raise AssertionError(f"events {numbers} were refused with {code}")


class PlainProducer(Producer):
    """Sends each event once and never again: what is not answered may be stored or not."""

    def is_done(self) -> bool:
        return self.number > self.task.size and not self.in_flight

    def talk(self, connection: Peer) -> None:
        connection.greet(hub=self.task.hub)
        while not self.is_done():
            while len(self.in_flight) < WINDOW and self.number <= self.task.size:
                first, self.number = self.number, min(self.number + self.chance.randint(1, BATCH), self.task.size + 1)
                self.send(connection, first, self.number, numbered=False)
            _, code = self.answer(connection)
            assert code in (None, "OVERLOADED", "DRAINING"), code
            if code == "DRAINING":
                raise Ended(code)
