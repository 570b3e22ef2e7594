"""Load on a server that comes and goes, and what it was promised: producers that append with many requests in flight, a subscriber,
and a ledger that compares the log with what each of them was told."""

from __future__ import annotations

import collections
import random
import threading
import time
import zlib
from collections.abc import Callable

from hubaudit._proto import frames_pb2
from wire import Connection, Server

IN_FLIGHT = 8
_TEXT = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789 ", k=60_000))


def event(producer: str, number: int) -> bytes:
    """What a producer sends as its number-th event: mostly some hundred bytes, now and then up to 40 KB, which is stored on another thread."""
    mixed = zlib.crc32(f"{producer}/{number}".encode())
    length = mixed % 40_000 if mixed % 97 == 0 else mixed % 400
    begin = mixed % 20_000
    return b'{"kind": "k", "n": %d, "text": "%s"}' % (number, _TEXT[begin : begin + length].encode())


class Servers:
    """The server of the moment, for clients that move from one to the next."""

    def __init__(self) -> None:
        self.is_over = False
        self._port: int | None = None
        self._waiting = 0
        self._changed = threading.Condition()

    def announce(self, port: int | None) -> None:
        with self._changed:
            self._port = port
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Has waits look again."""
        with self._changed:
            self._changed.notify_all()

    def port(self) -> int | None:
        """Waits for a server; None at the end."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._port is not None or self.is_over)
            self._waiting -= 1
            return self._port

    def wait_until_idle(self, clients: list[Client]) -> None:
        """Until each client has seen all that it was sent, and is without a server."""
        with self._changed:
            idle = self._changed.wait_for(lambda: failures(clients) or self._waiting == sum(client.is_alive() for client in clients), 60)
        assert idle and not failures(clients), failures(clients)


class Client(threading.Thread):
    """Uses one server after the other."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(daemon=True)
        self.servers = servers
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while (port := self.servers.port()) is not None:
                try:
                    with Connection(port) as connection:
                        self.use(connection)
                except OSError:
                    pass
                except EOFError:
                    # During the hello.
                    pass
                if self.servers.is_over:
                    return
        except BaseException as error:  # noqa: BLE001
            self.failure = error
            self.servers.wake()

    def use(self, connection: Connection) -> None:
        raise NotImplementedError


def failures(clients: list[Client]) -> list[BaseException]:
    return [client.failure for client in clients if client.failure is not None]


class Producer(Client):
    """Appends with several requests in flight and notes what was acknowledged.

    A numbered one sends again what it has no answer for, under the same numbers; another one never does.
    """

    def __init__(self, name: str, servers: Servers, chance: random.Random, numbered: bool = True) -> None:
        super().__init__(servers)
        self.producer = name
        self.numbered = numbered
        self.chance = chance
        self.next_unanswered = 1
        self.count = 0
        self.refusals: collections.Counter[int] = collections.Counter()
        self._acknowledged: dict[int, int] = {}

    def take_acknowledged(self) -> dict[int, int]:
        """The sequence of each event's record, for the events that were acknowledged since the last call."""
        taken, self._acknowledged = self._acknowledged, {}
        return taken

    def use(self, connection: Connection) -> None:
        if self.numbered:
            welcome = connection.hello(hub="h", producer=self.producer, producer_next=self.next_unanswered)
            # The server may have stored more than it could answer, never less than it answered.
            assert welcome.producer_next >= self.next_unanswered
        else:
            connection.hello(hub=self.producer)
        number = self.next_unanswered
        unanswered: dict[int, tuple[int, int]] = {}
        refused: dict[int, bool] = {}
        while True:
            while len(unanswered) < IN_FLIGHT and not refused and not self.servers.is_over:
                count = self.chance.randint(1, 12)
                objects = [event(self.producer, number + i) for i in range(count)]
                frame = connection.append_frame(*objects, number=number if self.numbered else None)
                unanswered[frame.id] = number, count
                number += count
                if not self.numbered:
                    self.next_unanswered = number
                connection.send(frame)
            if len(unanswered) == len(refused) and (self.servers.is_over or any(refused.values())):
                return
            # After a refusal there is nothing to send on this connection: what follows would be a gap. Where it is for good, the next server
            # is waited for.
            reply = connection.receive()
            if reply is None:
                return
            if reply.WhichOneof("reply") == "error":
                self.refusals[reply.error.code] += 1
                refused[reply.id] = reply.error.retry
                continue
            first, count = unanswered.pop(reply.id)
            assert reply.WhichOneof("reply") == "appended", reply
            appended = reply.appended
            sequences = list(appended.sequences) or [appended.first_sequence + i for i in range(appended.recorded)]
            assert appended.recorded == count == len(sequences)
            self._acknowledged.update(zip(range(first, first + count), sequences))
            self.count += count
            if self.numbered:
                # Answers may overtake one another; what is re-sent begins with the lowest number that has none.
                self.next_unanswered = min((first for first, _ in unanswered.values()), default=number)


class Subscriber(Client):
    """Follows the log from its first record and notes what it is pushed."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(servers)
        self.next = 0
        self._received: dict[int, int] = {}

    def take_received(self) -> dict[int, int]:
        """A fingerprint of each record that was pushed since the last call, by sequence."""
        taken, self._received = self._received, {}
        return taken

    def use(self, connection: Connection) -> None:
        connection.hello(client="subscriber")
        frame = connection.request()
        frame.subscribe.start.sequence = self.next
        frame.subscribe.credit = 1 << 26
        connection.send(frame)
        while not self.servers.is_over and (reply := connection.receive()) is not None:
            if reply.WhichOneof("reply") == "records":
                for record in reply.records.batch.records:
                    assert record.header.sequence == self.next
                    self._received[self.next] = fingerprint(record)
                    self.next += 1
                credit = connection.request()
                credit.credit.subscription = frame.id
                credit.credit.bytes = reply.records.batch.ByteSize()
                connection.send(credit)
            else:
                # A position beyond the end: a record that had been pushed is gone.
                state = reply.subscription
                assert not state.HasField("error") or state.error.code != frames_pb2.Error.CODE_INVALID_REQUEST, reply


def fingerprint(record: object) -> int:
    return hash(record.SerializeToString(deterministic=True))


class Ledger:
    """The log as it was found after each restart. What was found once may never change again."""

    def __init__(self, producers: list[Producer], subscribers: list[Subscriber]) -> None:
        self.producers = {producer.producer: producer for producer in producers}
        self.subscribers = subscribers
        self.records: list[int] = []
        self.acknowledged = 0
        self._read: list[int] = []
        # By producer: the sequence of each event's record, in the order of the log.
        self._sequences: dict[str, dict[int, int]] = {name: {} for name in self.producers}

    def audit(self, server: Server) -> None:
        """Reads what is new and compares it with every promise since the last time. The clients are to be idle."""
        with server.connect(client="auditor") as connection:
            for record in connection.read_all(len(self.records)):
                self._enter(record)
        for producer in self.producers.values():
            sequences = self._sequences[producer.producer]
            for number, sequence in producer.take_acknowledged().items():
                assert sequences.get(number) == sequence, (
                    f"{producer.producer}'s event {number} was acknowledged as record {sequence}, and is record {sequences.get(number)} "
                    f"of {len(self.records)}"
                )
                self.acknowledged += 1
        assert self.records[: len(self._read)] == self._read, "what was read before is gone"
        for subscriber in self.subscribers:
            for sequence, found in subscriber.take_received().items():
                assert sequence < len(self.records), f"record {sequence} was pushed and is gone"
                assert self.records[sequence] == found, f"record {sequence} was pushed with other bytes"

    def _enter(self, record: object) -> None:
        header = record.header
        assert header.sequence == len(self.records), "a gap, or a record twice"
        name = header.producer or header.hub
        sequences = self._sequences[name]
        # Only a numbered event tells its number; of the others the content does.
        number = header.producer_sequence or int(record.body.custom.json.split(b'"n": ')[1].split(b",")[0])
        last = next(reversed(sequences), 0)
        if self.producers[name].numbered:
            assert number == last + 1, "each event once, in order, without a gap"
        else:
            assert number > last, "each event at most once, in order"
        assert record.body.custom.json == event(name, number), f"record {header.sequence} is not what was sent"
        sequences[number] = header.sequence
        self.records.append(fingerprint(record))

    def note_read(self, records: list) -> None:
        """What a client has read is durable: the next look has to find it."""
        self._read = [fingerprint(record) for record in records]

    def audit_all(self, server: Server) -> None:
        """Reads the whole log once more: each record is still what it was when it was first seen."""
        with server.connect(client="auditor") as connection:
            records = connection.read_all()
        assert [fingerprint(record) for record in records] == self.records


class Load:
    """Producers, one of them without numbers, a subscriber, and the ledger of it all."""

    def __init__(self, chance: random.Random, producers: int = 4) -> None:
        self.servers = Servers()
        self.producers = [
            Producer(f"p{index}", self.servers, random.Random(chance.random()), numbered=index > 0) for index in range(producers)
        ]
        subscriber = Subscriber(self.servers)
        self.clients: list[Client] = [*self.producers, subscriber]
        self.ledger = Ledger(self.producers, [subscriber])
        for client in self.clients:
            client.start()

    @property
    def acknowledged(self) -> int:
        """How many events have been acknowledged by now."""
        return sum(producer.count for producer in self.producers)

    def refusals(self, code: int) -> int:
        return sum(producer.refusals[code] for producer in self.producers)

    def begin(self, server: Server) -> None:
        """Compares the log with what was promised before, then uses this server."""
        self.ledger.audit(server)
        self.servers.announce(server.port)

    def wait(self, is_enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 180
        while not is_enough():
            assert time.monotonic() < deadline and not failures(self.clients), failures(self.clients)
            time.sleep(0.001)

    def wait_for_acknowledgements(self, count: int) -> None:
        wanted = self.acknowledged + count
        self.wait(lambda: self.acknowledged >= wanted)

    def end(self, server: Server) -> None:
        """Kills the server and waits until its clients have seen all that it had sent."""
        self.servers.announce(None)
        server.kill()
        self.servers.wait_until_idle(self.clients)

    def finish(self, server: Server) -> None:
        """The last look: at what is new, then at everything."""
        self.ledger.audit(server)
        self.ledger.audit_all(server)
        self.servers.end()
        for client in self.clients:
            client.join(60)
            assert not client.is_alive()
        assert not failures(self.clients), failures(self.clients)
