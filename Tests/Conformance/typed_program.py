"""A small program of a user, for type checkers in strict mode: every part of the package is used once, and every type is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
import ssl

import hubaudit
from hubaudit import TLS, Appended, Checkpoint, Client, History, Receipt, Record, Tail, errors, events
from hubaudit.ag2 import HubAuditLog
from hubaudit.pending import PendingAppend


async def append(client: Client) -> list[int | None]:
    appended: Appended = await client.append(events.agent("a1", "registered", name="Ada"), deadline=5.0)
    many: Appended = await client.append([{"kind": "deployed", "version": 30}, events.custom({"kind": "checked"})])
    pending: PendingAppend = client.submit({"kind": "later"})
    try:
        later = await pending.wait(1.0)
    except errors.AppendPending as error:
        again: PendingAppend | None = error.pending
        later = await pending if again is None else await again
    return [*appended.sequences, *many.sequences, later.first_sequence]


async def read(client: Client) -> list[str]:
    begin: datetime = datetime.now(timezone.utc) - timedelta(hours=1)
    found: list[str] = []
    records: AsyncIterator[Record] = client.read(since="2026-01-01T00:00:00Z", until=datetime.now(timezone.utc), kinds=["checked"], limit=10)
    async for record in records:
        kind: str | None = record.kind
        at: datetime = record.received_time
        found.append(f"{record.sequence} {kind} {at.isoformat()} {record.json}")
    async for record in client.read(begin, agents="a1", backwards=False):
        found.append(record.json)
    tail: Tail = client.tail(after=7, hubs={"lab"}, on_caught_up=lambda position: None)
    async with tail:
        async for record in tail:
            history: History | None = tail.history
            if history is not None:
                found.append(history.to_json())
            break
    return found


async def evidence(client: Client, file: Path, key: str) -> None:
    checkpoint: Checkpoint = await client.checkpoint()
    receipt: Receipt = await client.prove(checkpoint.size - 1)
    file.write_bytes(receipt.tlog_proof())
    Receipt.parse(file.read_bytes()).verify(key)


def note(record: dict[str, object], error: hubaudit.HubauditError) -> None:
    print(record.get("kind"), error.code, error.message)


async def adapter() -> int:
    async def see(record: dict[str, object]) -> None:
        print(record["kind"])

    async with await HubAuditLog.connect("127.0.0.1:7411", hub="lab", mode="durable", deliver="inline", on_lost=note) as log:
        log.subscribe(see)
        await log.append({"kind": "hello"})
        return log.lost + log.unconfirmed + len(await log.read_all())


async def secured(directory: Path) -> None:
    async def fetch() -> str:
        return "token"

    tls: TLS = TLS(cacert=directory / "ca.pem", cert=directory / "hub.pem", key=str(directory / "hub.key"))
    async with await hubaudit.connect("hubaudits://localhost:7411", hub="lab", tls=tls, token=directory / "token") as client:
        await client.append({"kind": "hello"})
    async with await hubaudit.connect("hubaudits://localhost:7411", tls=ssl.create_default_context(), token=fetch) as client:
        await client.ping()
    async with await HubAuditLog.connect("hubaudits://localhost:7411", hub="lab", tls=tls, token=lambda: "token") as log:
        await log.append({"kind": "hello"})


async def main() -> None:
    async with await hubaudit.connect("127.0.0.1:7411", hub="lab", deadline=2.0, keep=("LOG_FAILED",)) as client:
        sequences: list[int | None] = await append(client)
        print(sequences, await read(client), (await client.health()).next_sequence, await client.ping(b"x"))
        print({setting.name: setting.value for setting in (await client.settings()).settings})
    await adapter()
