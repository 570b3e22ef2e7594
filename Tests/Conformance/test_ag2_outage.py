"""What the adapter does while the server is away: bounded waiting, a bounded queue, and loud losses."""

import asyncio
import logging

import hubaudit
from hubaudit.ag2 import HubAuditLog
import pytest
from server import Server

# Far beyond the deadline under test.
BLOCKED_SECONDS = 60


async def appended(log: HubAuditLog, record: dict) -> None:
    await asyncio.wait_for(log.append(record), BLOCKED_SECONDS)


async def until(condition) -> None:
    for _ in range(100 * BLOCKED_SECONDS):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within a minute")


async def test_an_outage_costs_one_deadline_and_no_record(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    # A deadline as long as the bound: only a call that knows of the outage ends before the bound does.
    log = await HubAuditLog.connect(server.address, hub="lab", deadline=1.0)
    await appended(log, {"n": 0})
    await asyncio.to_thread(server.kill)
    await appended(log, {"n": 1})
    assert "not acknowledged within 1 s" in caplog.text
    log.deadline = 10 * BLOCKED_SECONDS
    for number in range(2, 200):
        await appended(log, {"n": number})
    assert log.pending == 199
    await asyncio.to_thread(server.start)
    await log.flush(30)
    assert [record["n"] for record in await log.read_all()] == list(range(200))
    assert "acknowledges again" in caplog.text
    # The outage is over: appends are durable again when they return.
    await appended(log, {"n": 200})
    assert (log.pending, log.lost) == (0, 0)
    await log.close()


async def test_a_full_queue_drops_loudly(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    log = await HubAuditLog.connect(server.address, hub="lab", deadline=0.05, queue_events=3)
    await asyncio.to_thread(server.kill)
    for number in range(3):
        await appended(log, {"n": number})
    with pytest.raises(hubaudit.errors.QueueFull, match="3 events"):
        await appended(log, {"n": 3, "kind": "dropped"})
    assert (log.pending, log.lost) == (3, 1)
    assert [r.levelno for r in caplog.records if "'dropped' is lost" in r.getMessage()] == [logging.ERROR]
    await asyncio.to_thread(server.start)
    await log.flush(30)
    assert [record["n"] for record in await log.read_all()] == [0, 1, 2]
    await log.close()


async def test_the_queue_is_bounded_in_bytes_too(server: Server) -> None:
    log = await HubAuditLog.connect(server.address, hub="lab", mode="queued", queue_bytes=3000)
    await asyncio.to_thread(server.kill)
    await appended(log, {"text": "x" * 2000})
    with pytest.raises(hubaudit.errors.QueueFull):
        await appended(log, {"text": "x" * 2000})
    assert (log.pending, log.lost) == (1, 1)
    await log.close(timeout=0.05)


async def test_a_log_can_be_made_before_the_server_is_there(server: Server) -> None:
    await asyncio.to_thread(server.kill)
    with pytest.raises(hubaudit.errors.ConnectionLost, match="is the server up"):
        await HubAuditLog.connect(server.address, hub="lab")
    log = await HubAuditLog.connect(server.address, hub="lab", deadline=0.05, wait=False)
    seen: list[dict] = []

    async def see(record: dict) -> None:
        seen.append(record)

    log.subscribe(see)
    await appended(log, {"n": 1})
    await asyncio.to_thread(server.start)
    await log.flush(30)
    await log.drain(30)
    assert seen == await log.read_all() == [{"n": 1}]
    await log.close()


async def test_closing_with_a_full_queue_says_what_is_lost(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    log = await HubAuditLog.connect(server.address, hub="lab", deadline=0.05)
    await asyncio.to_thread(server.kill)
    # What is sent before the client knows of the loss would be neither lost nor stored for sure.
    await until(lambda: not log.client.connected)
    await appended(log, {"n": 1})
    await appended(log, {"n": 2})
    await log.close(timeout=0.05)
    # The futures' callbacks run in the next turn of the loop.
    await asyncio.sleep(0)
    assert (log.lost, log.unconfirmed) == (2, 0)
    assert "closing with 2 records" in caplog.text


async def test_a_record_that_the_server_refuses_is_lost_loudly_and_the_next_ones_are_not(server: Server) -> None:
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        await log.append({"n": 1})
        results = await asyncio.gather(
            log.append({"n": 2}), log.append({"text": "x" * 2_000_000}), log.append({"n": 3}), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None), hubaudit.errors.RecordTooLarge, type(None)]
        await log.append({"n": 4})
        assert [record["n"] for record in await log.read_all()] == [1, 2, 3, 4]
        assert (log.pending, log.lost) == (0, 1)
