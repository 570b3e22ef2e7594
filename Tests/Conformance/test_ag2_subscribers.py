"""Subscribers of the adapter: AG2's order and isolation, without AG2's stalls."""

import asyncio

from hubaudit.ag2 import HubAuditLog
import pytest
from proxy import Proxy
from server import Server


async def test_subscribers_are_called_in_the_order_of_registration(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[tuple[str, int]] = []

    def subscriber(name: str):
        async def call(record: dict) -> None:
            calls.append((name, record["n"]))
            if name == "failing":
                raise ValueError("no")
            record["n"] = -1

        return call

    first, failing, last = subscriber("first"), subscriber("failing"), subscriber("last")
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        await log.append({"n": 0})
        for callback in (first, failing, first, last):
            log.subscribe(callback)
        await log.append({"n": 1})
        await log.drain(30)
        log.unsubscribe(first)
        log.unsubscribe(subscriber("never subscribed"))
        await log.append({"n": 2})
        await log.drain(30)
    assert calls == [
        ("first", 1), ("failing", 1), ("first", 1), ("last", 1),
        ("failing", 2), ("first", 2), ("last", 2),
    ]  # fmt: skip
    assert "audit subscriber raised" in caplog.text


async def test_a_subscriber_may_unsubscribe_itself_and_come_back(server: Server) -> None:
    calls: list[str] = []
    async with await HubAuditLog.connect(server.address, hub="lab") as log:

        async def once(record: dict) -> None:
            calls.append(f"once {record['n']}")
            log.unsubscribe(once)

        async def always(record: dict) -> None:
            calls.append(f"always {record['n']}")

        log.subscribe(once)
        log.subscribe(always)
        for number in range(3):
            await log.append({"n": number})
        await log.drain(30)
        log.unsubscribe(always)
        await log.append({"n": 3})
        log.subscribe(once)
        await log.append({"n": 4})
        await log.drain(30)
    assert calls == ["once 0", "always 0", "always 1", "always 2", "once 4"]


async def test_a_slow_subscriber_does_not_hold_up_an_append(server: Server) -> None:
    gate = asyncio.Event()
    seen: list[int] = []

    async def slow(record: dict) -> None:
        await gate.wait()
        seen.append(record["n"])

    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        log.subscribe(slow)
        for number in range(100):
            await log.append({"n": number})
        assert log.pending == 0 and seen == []
        gate.set()
        await log.drain(30)
    assert seen == list(range(100))


async def test_subscribers_see_every_record_once_across_lost_connections(server: Server) -> None:
    seen: list[int] = []

    async def see(record: dict) -> None:
        seen.append(record["n"])

    async with Proxy(server.port) as proxy, await HubAuditLog.connect(proxy.address, hub="lab", deadline=30) as log:
        log.subscribe(see)
        for number in range(300):
            if number % 20 == 10:
                proxy.cut()
            await log.append({"n": number})
        await log.drain(60)
        assert proxy.cuts > 5
        assert [record["n"] for record in await log.read_all()] == list(range(300))
    assert seen == list(range(300))


async def test_subscribers_get_the_records_of_other_processes_of_the_hub(server: Server) -> None:
    seen: list[int] = []

    async def see(record: dict) -> None:
        seen.append(record["n"])

    async with (
        await HubAuditLog.connect(server.address, hub="lab") as log,
        await HubAuditLog.connect(server.address, hub="lab") as same,
        await HubAuditLog.connect(server.address, hub="other") as other,
    ):
        log.subscribe(see)
        await other.append({"n": 1})
        await same.append({"n": 2})
        await log.append({"n": 3})
        await log.drain(30)
    assert seen == [2, 3]
