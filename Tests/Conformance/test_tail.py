"""A subscriber that replays a long log and follows it while its connection is cut again and again."""

import asyncio

import hubaudit
import pytest
from proxy import Proxy
from server import Server

REPLAYED = 100_000
LIVE = 5_000


async def fill(client: hubaudit.Client, numbers: range) -> None:
    await client.append([{"kind": "even" if n % 2 == 0 else "odd", "n": n} for n in numbers], deadline=120)


async def test_replay_and_live_records_come_once_and_in_order_across_cut_connections(server: Server) -> None:
    caught_up: list[int] = []
    async with (
        await hubaudit.connect(server.address, hub="lab") as writer,
        Proxy(server.port) as proxy,
        await hubaudit.connect(proxy.address) as reader,
    ):
        await fill(writer, range(REPLAYED))
        live: asyncio.Task[None] | None = None
        seen: list[int] = []
        async with reader.tail(on_caught_up=caught_up.append) as tail:
            async for record in tail:
                assert record.sequence == len(seen)
                seen.append(record.record["n"])
                # In the replay and in what is live, at places that do not fit the batches.
                if len(seen) % 9_973 == 0 or (len(seen) > REPLAYED and len(seen) % 997 == 0):
                    proxy.cut()
                if len(seen) == REPLAYED:
                    live = asyncio.create_task(append_live(writer))
                if len(seen) == REPLAYED + LIVE:
                    break
        assert live is not None
        await live
    assert seen == list(range(REPLAYED + LIVE))
    assert proxy.cuts >= 14
    assert caught_up and caught_up[-1] >= REPLAYED


async def append_live(writer: hubaudit.Client) -> None:
    for number in range(REPLAYED, REPLAYED + LIVE, 10):
        await fill(writer, range(number, number + 10))


async def test_a_filtered_tail_resumes_where_it_was(server: Server) -> None:
    async with (
        await hubaudit.connect(server.address, hub="lab") as writer,
        Proxy(server.port) as proxy,
        await hubaudit.connect(proxy.address) as reader,
    ):
        await fill(writer, range(20_000))
        seen: list[int] = []
        async with reader.tail(kinds=["odd"], window=20_000) as tail:
            async for record in tail:
                seen.append(record.record["n"])
                if len(seen) % 1_000 == 0:
                    proxy.cut()
                if len(seen) == 10_000:
                    break
    assert seen == list(range(1, 20_000, 2))


async def test_a_tail_goes_on_after_the_server_was_killed(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as writer, await hubaudit.connect(server.address) as reader:
        await fill(writer, range(10))
        tail = reader.tail(after=4)
        assert [(await anext(tail)).sequence for _ in range(3)] == [5, 6, 7]
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await fill(writer, range(10, 12))
        assert [(await anext(tail)).sequence for _ in range(4)] == [8, 9, 10, 11]
        await tail.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(tail)


async def test_a_tail_of_the_latest_begins_with_what_comes(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await fill(client, range(5))
        ready = asyncio.Event()
        tail = client.tail(from_="latest", on_caught_up=lambda _: ready.set())
        first = asyncio.create_task(anext(tail))
        await ready.wait()
        await fill(client, range(5, 7))
        assert (await first).record["n"] == 5
        assert (await anext(tail)).record["n"] == 6
        assert tail.position == 7


async def test_a_slow_tail_keeps_no_more_than_its_window_and_stops_nobody(server: Server) -> None:
    window = 64 * 1024
    async with await hubaudit.connect(server.address, hub="lab") as writer, await hubaudit.connect(server.address) as reader:
        await fill(writer, range(1_000))
        tail = reader.tail(window=window)
        assert (await anext(tail)).sequence == 0
        await fill(writer, range(1_000, 20_000))
        await reader.ping()
        waiting = sum(len(frame.records) for frame in tail._feed.frames) + tail._payload_bytes
        # One push may be larger than the credit that was left.
        assert waiting <= window + 256 * 1024
        assert [(await anext(tail)).sequence for _ in range(19_999)] == list(range(1, 20_000))


async def test_an_abandoned_tail_gives_its_subscription_back(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await fill(client, range(3))
        for _ in range(200):
            async for record in client.tail():
                assert record.sequence == 0
                break
        while (await client.health()).subscriptions:
            await asyncio.sleep(0)
