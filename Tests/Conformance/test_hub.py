"""A real AG2 hub whose audit log is kept by the server, beside AG2's own: what is read back must be the same, field by field, in order."""

import asyncio
import json
from typing import Any

from ag2.network import AuditLog
from hub_run import KINDS, STEPS, Clock, HubRun
from hubaudit.ag2 import HubAuditLog
import pytest
from server import Server

# Far beyond the deadline under test: only a call without a bound runs into it.
BLOCKED_SECONDS = 60


class WatchedLog(HubAuditLog):
    """Notes the calls that did not end, or raised; the hub swallows both."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.failures: list[str] = []

    async def append(self, record: dict) -> None:
        try:
            await asyncio.wait_for(super().append(record), BLOCKED_SECONDS)
        except BaseException as error:
            self.failures.append(f"{record.get('kind')}: {error!r}")
            raise


def lines(records: list[dict]) -> list[str]:
    return [json.dumps(record, sort_keys=True) for record in records]


async def open_run(server: Server, **options: Any) -> tuple[HubRun, WatchedLog]:
    async def make(clock: Clock) -> AuditLog:
        return await WatchedLog.connect(server.address, hub="lab", clock=clock, **options)

    run = await HubRun.open(make)
    log = run.hub.audit_log
    assert isinstance(log, WatchedLog)
    return run, log


async def nothing(_: int) -> None:
    return


async def test_a_hub_run_is_recorded_as_ag2_records_it(server: Server) -> None:
    run, log = await open_run(server)
    async with log:
        await run.go(nothing)
        own = await run.own.read_all()
        assert {record.get("kind") for record in own} >= KINDS
        assert lines(await log.read_all()) == lines(own)
        assert await log.read_all() == own
        assert run.hub.health()["audit_log_bytes"] == run.own.bytes_written
        assert (log.failures, log.lost, log.pending) == ([], 0, 0)
        # By kind, as only typed events can be filtered.
        tasks = [record.record async for record in log.client.read(kinds="task_terminated", agents=own[0]["agent_id"])]
        assert tasks == [r for r in own if r.get("kind") == "task_terminated" and r["owner_id"] == own[0]["agent_id"]]


async def test_two_hubs_of_one_server_read_their_own_records(server: Server) -> None:
    async with await HubAuditLog.connect(server.address, hub="one") as one, await HubAuditLog.connect(server.address, hub="two") as two:
        for number in range(5):
            await one.append({"kind": "k", "n": number})
            await two.append({"kind": "k", "n": -number})
        assert [record["n"] for record in await one.read_all()] == [0, 1, 2, 3, 4]
        assert [record["n"] for record in await two.read_all()] == [0, -1, -2, -3, -4]


async def test_the_log_of_a_hub_that_starts_again_goes_on(server: Server) -> None:
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        await log.append({"kind": "first"})
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        assert log.bytes_written == 0
        await log.append({"kind": "second"})
        assert [record["kind"] for record in await log.read_all()] == ["first", "second"]


@pytest.mark.parametrize("mode", ["durable", "queued"])
async def test_killing_the_server_in_the_middle_loses_and_repeats_nothing(server: Server, mode: str) -> None:
    run, log = await open_run(server, deadline=0.2, mode=mode, heartbeat=0.5)
    rounds = 4
    kills = 0

    async def after_step(number: int) -> None:
        nonlocal kills
        # Down during two of three steps, and up again for the next.
        if number % 3 == 0:
            await asyncio.to_thread(server.kill)
            kills += 1
        elif number % 3 == 2:
            await asyncio.to_thread(server.start)

    async with log:
        await run.go(after_step, rounds)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await log.flush(30)
        own = await run.own.read_all()
        assert lines(await log.read_all()) == lines(own)
        assert kills == -(-rounds * len(STEPS) // 3)
        assert run.hub.health()["audit_log_bytes"] == run.own.bytes_written
        assert (log.failures, log.lost, log.pending) == ([], 0, 0)
