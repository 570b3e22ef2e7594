"""The Python package as a client: its own re-sending and its own resuming."""

from __future__ import annotations

import asyncio

import hubaudit
from client import ACKNOWLEDGED
from raw_producers import BATCH, Producer
from raw_subscriber import Subscriber
from workload import event

# Silence after which the package takes a connection for lost, in seconds (half of it).
HEARTBEAT = 0.15
# Faults end long before; then everything must be stored.
DEADLINE = 60
IN_FLIGHT = 4
# Between two reads, in seconds.
POLL_INTERVAL = 0.02


class PackageProducer(Producer):
    """Appends with several tasks at once. The package numbers and sends again; a killed process takes its queue with it."""

    def run(self) -> None:
        asyncio.run(self.produce())

    async def produce(self) -> None:
        async with hubaudit.Client(
            self.task.address, hub=self.task.hub, deadline=DEADLINE, connect_deadline=1, heartbeat=HEARTBEAT, **self.task.options
        ) as client:
            await client.start(wait=False)
            await asyncio.gather(*(self.append_on(client) for _ in range(IN_FLIGHT)))

    async def append_on(self, client: hubaudit.Client) -> None:
        while self.number <= self.task.size:
            first, self.number = self.number, min(self.number + self.chance.randint(1, BATCH), self.task.size + 1)
            pairs = [event(self.task.seed, self.task.name, number) for number in range(first, self.number)]
            self.ids += 1
            id = self.ids
            notes = [[note.token, note.kind, note.text] for _, note in pairs]
            self.recorder.write("send", id=id, connection=1, hub=self.task.hub, events=notes)
            appended = await client.append([message for message, _ in pairs])
            self.recorder.write("answer", id=id, sequences=appended.sequences, duplicates=appended.duplicates)
            self.pulse(ACKNOWLEDGED)


class PackageSubscriber(Subscriber):
    """One tail for the life of the process."""

    def run(self) -> None:
        asyncio.run(self.follow())

    async def follow(self) -> None:
        start = self.resumption()
        self.begin(start)
        client = hubaudit.Client(self.task.address, connect_deadline=1, heartbeat=HEARTBEAT, **self.task.options)
        await client.start(wait=False)
        name, value = next(iter(start.items()))
        position = {"after": value} if name == "after" else {"from_": value if name == "sequence" else name}
        async with client.tail(
            **position,
            **(self.task.filter or {}),
            window=self.chance.choice((1_000, 1 << 20)),
            on_caught_up=lambda sequence: self.told("CAUGHT_UP", sequence),
        ) as tail:
            async for record in tail:
                self.take([record.raw], None)
                if self.is_done:
                    break
        await client.close()


class PackageReader(Subscriber):
    """Reads what is new again and again. Each read is a session that ends with what was the log's end."""

    def run(self) -> None:
        asyncio.run(self.poll())

    async def poll(self) -> None:
        client = hubaudit.Client(
            self.task.address, deadline=DEADLINE, connect_deadline=1, heartbeat=HEARTBEAT, **self.task.options)
        while not self.is_done:
            start = self.resumption() if self.position is not None else {"earliest": True}
            self.begin(start)
            name, value = next(iter(start.items()))
            position = {"after": value} if name == "after" else {"start": value if name == "sequence" else name}
            async for record in client.read(**position, **(self.task.filter or {})):
                self.take([record.raw], None)
            await asyncio.sleep(POLL_INTERVAL)
