"""kill -9 of the server under load: what was acknowledged is there, in order, without a gap, and nothing is there twice."""

from __future__ import annotations

import pathlib
import random
import threading
import time

from wire import Connection, Server

KILLS = 50
PRODUCERS = 4
BATCH = 7
IN_FLIGHT = 8


class Producer(threading.Thread):
    """Appends numbered events with several requests in flight, over one server after the other, and notes what was acknowledged."""

    def __init__(self, name: str, servers: Servers) -> None:
        super().__init__(daemon=True)
        self.producer = name
        self.servers = servers
        self.acknowledged: dict[int, int] = {}
        self.next_unanswered = 1
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.servers.is_over:
                port = self.servers.port()
                if port is None:
                    continue
                try:
                    with Connection(port) as connection:
                        self.append_until_it_breaks(connection)
                except OSError:
                    pass
                except AssertionError as error:
                    # A connection that ended during the hello.
                    if "ended" not in str(error):
                        raise
        except BaseException as error:  # noqa: BLE001
            self.failure = error

    def append_until_it_breaks(self, connection: Connection) -> None:
        welcome = connection.hello(hub="h", producer=self.producer, producer_next=self.next_unanswered)
        # The server may have stored more than it could answer, never less than it answered.
        assert welcome.producer_next >= self.next_unanswered
        in_flight: dict[int, int] = {}
        number = self.next_unanswered
        while not self.servers.is_over or in_flight:
            while len(in_flight) < IN_FLIGHT and not self.servers.is_over:
                frame = connection.append_frame(*[{"kind": "k", "n": number + i} for i in range(BATCH)], number=number)
                in_flight[frame.id] = number
                connection.send(frame)
                number += BATCH
            reply = connection.receive()
            if reply is None:
                return
            first = in_flight.pop(reply.id)
            assert reply.WhichOneof("reply") == "appended", reply
            appended = reply.appended
            sequences = list(appended.sequences) or [appended.first_sequence + i for i in range(appended.recorded)]
            assert appended.recorded == BATCH == len(sequences)
            for offset, sequence in enumerate(sequences):
                self.acknowledged[first + offset] = sequence
            # Answers may overtake one another; what is re-sent begins with the lowest number that has none.
            self.next_unanswered = min(in_flight.values(), default=number)


class Servers:
    """The server of the moment."""

    def __init__(self) -> None:
        self.is_over = False
        self._port: int | None = None
        self._changed = threading.Condition()

    def announce(self, port: int | None) -> None:
        with self._changed:
            self._port = port
            self._changed.notify_all()

    def port(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._port is not None or self.is_over, 1)
            return self._port

    def end(self) -> None:
        self.is_over = True


def failures(producers: list[Producer]) -> list[BaseException]:
    return [producer.failure for producer in producers if producer.failure is not None]


def test_fifty_kills_in_a_row_lose_nothing_and_double_nothing(tmp_path: pathlib.Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    servers = Servers()
    producers = [Producer(f"p{index}", servers) for index in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    flags = ("--segment-bytes", "262144")
    acknowledged_before = 0
    for _ in range(KILLS):
        with Server(tmp_path / "log", *flags) as server:
            servers.announce(server.port)
            # Some acknowledgements of this server, then some time more that nobody chose.
            deadline = time.monotonic() + 60
            while sum(len(producer.acknowledged) for producer in producers) < acknowledged_before + 50:
                assert time.monotonic() < deadline and not failures(producers), failures(producers)
                time.sleep(0.002)
            time.sleep(chance.random() * 0.05)
            servers.announce(None)
            server.kill()
        acknowledged_before = sum(len(producer.acknowledged) for producer in producers)

    with Server(tmp_path / "log", *flags) as server:
        servers.announce(server.port)
        servers.end()
        for producer in producers:
            producer.join(60)
            assert not producer.is_alive() and producer.failure is None, producer.failure
        with server.connect(client="auditor") as connection:
            records = connection.read_all()
    assert [record.header.sequence for record in records] == list(range(len(records)))
    for producer in producers:
        mine = [record for record in records if record.header.producer == producer.producer]
        numbers = [record.header.producer_sequence for record in mine]
        assert numbers == list(range(1, len(mine) + 1)), "each event once, in order"
        sequences = {record.header.producer_sequence: record.header.sequence for record in mine}
        for number, sequence in producer.acknowledged.items():
            assert sequences[number] == sequence
        for record in mine:
            assert record.body.custom.json == b'{"kind": "k", "n": %d}' % record.header.producer_sequence
    assert sum(len(producer.acknowledged) for producer in producers) > KILLS * 50
