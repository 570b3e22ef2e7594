"""What one record, or one subscriber, may do: nothing to the others."""

import asyncio
import logging
import sys

import hubaudit
from hubaudit import errors
from hubaudit._proto import record_pb2
from hubaudit._proto.event_pb2 import Event
from hubaudit.ag2 import HubAuditLog
import hubaudit._decode
import pytest
from server import Server

DIGITS = 5000
HUGE = b'{"kind": "huge", "n": ' + b"7" * DIGITS + b', "list": [-' + b"8" * DIGITS + b', 5, 1.5]}'


async def test_an_integer_that_python_does_not_convert_comes_as_its_text_and_stops_nobody(server: Server) -> None:
    seen: list[dict] = []

    async def see(record: dict) -> None:
        seen.append(record)

    wanted = {"kind": "huge", "n": "7" * DIGITS, "list": ["-" + "8" * DIGITS, 5, 1.5]}
    if not hasattr(sys, "get_int_max_str_digits"):
        wanted |= {"n": int("7" * DIGITS), "list": [-int("8" * DIGITS), 5, 1.5]}
    async with await HubAuditLog.connect(server.address, hub="lab") as log, await hubaudit.connect(server.address, hub="lab") as other:
        log.subscribe(see)
        await log.append({"n": 1})
        await other.append(Event(custom=HUGE))
        params = b'{"limit": ' + b"9" * DIGITS + b"}"
        await other.append(Event(expectation_fired={"channel_id": "c", "at": "t", "expectation": "e", "params": params, "detail": b"{}"}))
        await log.append({"n": 2})
        await log.drain(30)
        for records in (seen, await log.read_all(), [record async for record in log.records()]):
            assert [record.get("n") for record in records] == [1, wanted["n"], None, 2]
            assert records[1] == wanted and str(records[2]["params"]["limit"]) == "9" * DIGITS
        assert [record.record async for record in other.read(kinds="huge")] == [wanted]


async def test_a_record_that_python_cannot_take_is_passed_over_loudly(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict] = []

    async def see(record: dict) -> None:
        seen.append(record)

    def cannot(at: str | None, detail: object, share: object) -> dict:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setitem(hubaudit._decode._DETAILS, "turn_failed", cannot)
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        log.subscribe(see)
        await log.append({"n": 1})
        await log.on_turn_failed("c", "a", "e", ValueError("no"))
        await log.append({"n": 2})
        await log.drain(30)
        assert seen == [{"n": 1}, {"n": 2}]
        assert "subscribers are not called with record 1" in caplog.text
        unreadable = {"kind": "turn_failed", "unreadable": "maximum recursion depth exceeded"}
        assert await log.read_all() == [{"n": 1}, unreadable, {"n": 2}]
        records = [record async for record in log.client.read()]
        assert records[2].record == {"n": 2}
        with pytest.raises(errors.RecordUnreadable, match="turn_failed"):
            records[1].record


def test_of_a_batch_with_a_record_that_is_none_the_others_are_read() -> None:
    def record(text: bytes) -> bytes:
        header = record_pb2.RecordHeader(sequence=1, received_at=1, hub="h", kind="k").SerializeToString()
        body = record_pb2.RecordBody(custom={"json": text}).SerializeToString()
        return record_pb2.RawRecord(header=header, body=body).SerializeToString()

    raw = hubaudit._decode.RecordBatchView(records=[record(b'{"n":1}'), b"\xff\xff", record(b'{"n":2}')]).SerializeToString()
    first, second, third = hubaudit._decode.decode_batch(raw)
    assert (first, third) == ({"n": 1}, {"n": 2})
    assert second["kind"] is None and "2 bytes" in second["unreadable"]


class Fatal(BaseException):
    pass


@pytest.mark.parametrize("error", [Fatal("no"), SystemExit(3), GeneratorExit(), asyncio.CancelledError(), ValueError("no")])
async def test_whatever_a_subscriber_raises_the_others_are_called_and_so_is_it(
    server: Server, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    calls = 0

    async def raising(record: dict) -> None:
        nonlocal calls
        calls += 1
        raise error

    async def see(record: dict) -> None:
        seen.append(record["n"])

    def not_async(record: dict) -> None:
        pass

    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        for callback in (raising, not_async, see):
            log.subscribe(callback)  # type: ignore[arg-type]
        for number in range(3):
            await log.append({"n": number})
        await log.drain(30)
    assert (seen, calls) == ([0, 1, 2], 3)
    assert [r.levelno for r in caplog.records if "audit subscriber" in r.getMessage()] == [logging.ERROR] * 6


async def test_a_subscriber_that_cancels_the_task_it_runs_in_misses_nothing_of_what_follows(server: Server) -> None:
    seen: list[int] = []

    async def cancelling(record: dict) -> None:
        seen.append(record["n"])
        if record["n"] == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(60)

    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        log.subscribe(cancelling)
        for number in range(4):
            await log.append({"n": number})
        await log.drain(30)
    assert seen == [0, 1, 2, 3]
