#!/usr/bin/env python3
"""One measurement of the Python package or of AG2's own AuditLog, in a process of its own; prints one JSON object. Used by python.py.

    python_worker.py append|append-queued ADDRESS SECONDS      python_worker.py ag2-append DIRECTORY SECONDS
    python_worker.py read-all|iterate|iterate-records ADDRESS  python_worker.py ag2-read-all DIRECTORY
    python_worker.py fill ADDRESS COUNT

Records are those of ended tasks, as AG2 makes them: 230 bytes of JSON, no time and no task twice."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Iterator

from ag2.knowledge import DiskKnowledgeStore
from ag2.network.hub.audit import AuditLog
from hubaudit.ag2 import HubAuditLog

HUB = "bench"
# A hub's loop turns between its appends; where nothing waits for an answer it does so here, after as many.
TURN = 100
EARLY = 100_000


def records() -> Iterator[dict]:
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    for number in itertools.count():
        at = (begin + datetime.timedelta(microseconds=137 * number)).isoformat(timespec="microseconds")
        yield {
            "at": at.replace("+00:00", "Z"),
            "kind": "task_terminated",
            "task_id": f"task-{number:012d}",
            "owner_id": f"agent-{number % 50:010d}",
            "channel_id": f"channel-{number % 1000:010d}",
            "outcome": "completed",
            "capability": "summarise",
            "reason": None,
        }


def made(count: int) -> Iterator[list[dict]]:
    """Chunks of records: made before the clock runs, and not so many that they fill the memory."""
    source = records()
    while True:
        yield list(itertools.islice(source, count))


def memory_mb(field: str = "VmHWM") -> float:
    """The most that this process had resident; with VmRSS, what it has."""
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) / 1024


async def appends(log: AuditLog, seconds: float, turn: int) -> dict:
    """Awaited one at a time for so many seconds; `waiting_us` is the part of an append in which this process had nothing to do."""
    await log.append({"kind": "warm"})
    wall = cpu = 0.0
    count = 0
    for chunk in made(1000):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        for number, record in enumerate(chunk):
            if turn and number % turn == 0:
                await asyncio.sleep(0)
            await log.append(record)
        count += len(chunk)
        wall += time.perf_counter() - begin
        cpu += time.process_time() - begin_cpu
        if wall >= seconds:
            break
        if turn and isinstance(log, HubAuditLog) and log.pending > EARLY // 2:
            wall, cpu = await flushed(log, wall, cpu)
    if isinstance(log, HubAuditLog):
        # What is queued counts once it is on disk.
        wall, cpu = await flushed(log, wall, cpu)
        assert not log.lost
    return {"rps": count / wall, "wall_us": 1e6 * wall / count, "cpu_us": 1e6 * cpu / count, "waiting_us": 1e6 * (wall - cpu) / count}


async def flushed(log: HubAuditLog, wall: float, cpu: float) -> tuple[float, float]:
    begin, begin_cpu = time.perf_counter(), time.process_time()
    await log.flush()
    return wall + time.perf_counter() - begin, cpu + time.process_time() - begin_cpu


async def fill(log: HubAuditLog, count: int) -> dict:
    source = records()
    while chunk := list(itertools.islice(source, min(count, 10_000))):
        for record in chunk:
            await log.append(record)
        await log.flush()
        count -= len(chunk)
    return {}


async def read_all(log: AuditLog) -> dict:
    before, begin = memory_mb("VmRSS"), time.perf_counter()
    read = await log.read_all()
    seconds, peak = time.perf_counter() - begin, memory_mb()
    # Both must have read the same.
    sample = hashlib.sha256(json.dumps(read[::997], sort_keys=True).encode()).hexdigest()
    return {"seconds": seconds, "rps": len(read) / seconds, "most_mb": peak, "before_mb": before, "read": len(read), "sample": sample}


async def iterate(log: HubAuditLog, whole: bool) -> dict:
    """Without end; `whole` takes the client's records, with position and header, instead of AG2's dicts."""
    before, begin, count, early = memory_mb("VmRSS"), time.perf_counter(), 0, 0.0
    async for _ in log.client.read(hubs=HUB) if whole else log.records():
        count += 1
        if count == EARLY:
            early = memory_mb()
    seconds = time.perf_counter() - begin
    return {"rps": count / seconds, "most_mb": memory_mb(), "early_mb": early, "before_mb": before, "read": count}


async def main(case: str, place: str, amount: float) -> dict:
    if case.startswith("ag2-"):
        log = AuditLog(DiskKnowledgeStore(place))
        # Its append gives the loop no turn, and needs none.
        return await (read_all(log) if case == "ag2-read-all" else appends(log, amount, 0))
    queued = case in ("append-queued", "fill")
    async with await HubAuditLog.connect(place, hub=HUB, mode="queued" if queued else "durable", deadline=60) as log:
        match case:
            case "append" | "append-queued":
                return await appends(log, amount, TURN if queued else 0)
            case "fill":
                return await fill(log, int(amount))
            case "read-all":
                return await read_all(log)
        return await iterate(log, case == "iterate-records")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], float((sys.argv[3:] or ["0"])[0])))))
