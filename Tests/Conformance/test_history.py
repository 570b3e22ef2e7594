"""A position belongs to one log: an older copy of it that went on differently is refused by name, also where it is longer than what was read."""

from __future__ import annotations

import asyncio
import itertools
import pathlib
import shutil

import hubaudit
from hubaudit import History, errors
from hubaudit.evidence import leaf_hash
import pytest
from server import Server


async def fill(server: Server, kind: str, numbers: range) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await client.append([{"kind": f"{kind}{n % 2}", "n": n} for n in numbers])


async def restored(server: Server, copy: pathlib.Path, records: int) -> None:
    """Appends other records to the copy and puts it in the log's place."""
    aside = Server(copy)
    await asyncio.to_thread(aside.start)
    try:
        await fill(aside, "other", range(records))
    finally:
        await asyncio.to_thread(aside.kill)
    await asyncio.to_thread(server.kill)
    shutil.rmtree(server.data)
    shutil.copytree(aside.data, server.data)
    await asyncio.to_thread(server.start)


@pytest.fixture
def copy(server: Server, tmp_path: pathlib.Path) -> pathlib.Path:
    """Where a copy of the log as of 5 records is; the log itself goes on to 12."""
    asyncio.run(fill(server, "k", range(5)))
    server.kill()
    shutil.copytree(server.data, tmp_path / "copy" / "data")
    server.start()
    asyncio.run(fill(server, "k", range(5, 12)))
    return tmp_path / "copy"


@pytest.mark.parametrize("kinds", [None, "k0", "nothing"])
@pytest.mark.parametrize("records", [2, 30])
async def test_a_tail_that_goes_on_notices_an_older_copy(server: Server, copy: pathlib.Path, kinds: str | None, records: int) -> None:
    async with await hubaudit.connect(server.address) as client:
        caught_up = asyncio.Event()
        tail = client.tail(kinds=kinds, on_caught_up=lambda _: caught_up.set())
        expected = [n for n in range(12) if kinds is None or kinds == f"k{n % 2}"]
        assert [(await anext(tail)).sequence for _ in expected] == expected
        waiting = asyncio.create_task(anext(tail))
        await caught_up.wait()
        history = tail.history
        assert history is not None and history.size == 12
        all_records = [record async for record in client.read()]
        assert history.leaf_hash == leaf_hash(all_records[11].header_bytes)
        await restored(server, copy, records)
        with pytest.raises(errors.HistoryDiffers, match="older copy") as refused:
            await waiting
        assert refused.value.code == "HISTORY_DIFFERS" and not refused.value.retry
        assert refused.value.differs_from == (7 if records == 2 else 11)
        # Another process that kept the position is refused the same.
        kept = History.from_json(history.to_json())
        with pytest.raises(errors.HistoryDiffers):
            await anext(client.tail(from_=kept, kinds=kinds))
        with pytest.raises(errors.HistoryDiffers):
            [record async for record in client.read(kept)]


async def test_a_position_in_the_part_that_is_the_same_goes_on(server: Server, copy: pathlib.Path) -> None:
    async with await hubaudit.connect(server.address) as client:
        async with client.tail() as tail:
            for _ in range(5):
                await anext(tail)
            history = tail.history
        await restored(server, copy, 30)
        assert [record.sequence async for record in client.read(history)] == list(range(5, 35))
        async with client.tail(from_=history) as tail:
            assert (await anext(tail)).sequence == 5


async def test_another_log_is_refused_from_its_first_record_on(server: Server, copy: pathlib.Path) -> None:
    async with await hubaudit.connect(server.address) as client:
        strange = History(bytes(16), 0, None)
        with pytest.raises(errors.HistoryDiffers, match="this is log") as refused:
            await anext(client.tail(from_=strange))
        assert refused.value.differs_from == 0


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("kinds", [None, "k0"])
async def test_a_read_that_goes_on_after_a_lost_connection_notices_an_older_copy(
    server: Server, copy: pathlib.Path, backwards: bool, kinds: str | None
) -> None:
    # Enough that the server has not sent all of it before it is killed.
    async with await hubaudit.connect(server.address, hub="lab") as client:
        for _ in range(60):
            await client.append([{"kind": "k0", "text": "x" * 500} for _ in range(1_000)])
        records = client.read(backwards=backwards, kinds=kinds)
        await anext(records)
        await restored(server, copy, 30)
        with pytest.raises(errors.HistoryDiffers):
            async for _ in records:
                pass
        batches = client.read_batches(kinds=kinds)
        with_all = [batch async for batch in batches]
        assert with_all


async def test_batches_that_go_on_after_a_lost_connection_notice_an_older_copy(server: Server, copy: pathlib.Path) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        for _ in range(60):
            await client.append([{"kind": "k0", "text": "x" * 500} for _ in range(1_000)])
        batches = client.read_batches()
        await anext(batches)
        await restored(server, copy, 30)
        with pytest.raises(errors.HistoryDiffers):
            async for _ in batches:
                pass


def test_a_position_is_a_line_of_json_and_nothing_else_is() -> None:
    history = History(bytes(range(16)), 12, bytes(32))
    assert History.from_json(history.to_json()) == history
    assert History.from_json(History(bytes(16), 0, None).to_json()) == History(bytes(16), 0, None)
    for wrong in ("", "12", "[]", "{}", '{"log_id": "00", "next_sequence": 1}', '{"log_id": 3, "next_sequence": 1}',
                  history.to_json().replace("12", "true"), history.to_json().replace("12", "-1"), history.to_json().replace("12", "0")):
        with pytest.raises(ValueError):
            History.from_json(wrong)
    assert len(set(itertools.chain([history], [History.from_json(history.to_json())]))) == 1
