"""Every listener call of the table, over the wire: the event goes in, AG2's own record comes out."""

import json

from ag2_calls import CALLS, CLOCK
from generate_ag2_fixture import FIXTURE, fixture
import hubaudit
from hubaudit._proto.event_pb2 import Event
from hubaudit.ag2 import HubAuditLog
import pytest
from server import Server

ITEMS = json.loads(FIXTURE.read_text())


async def test_the_fixture_is_what_ag2_writes_today() -> None:
    assert FIXTURE.read_text() == await fixture()


async def test_each_event_becomes_the_record_that_ag2_writes(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        expected = []
        for item in ITEMS:
            appended = await client.append(Event.FromString(bytes.fromhex(item["event_hex"])))
            assert appended.ignored == item["ignored"], item["name"]
            if not item["ignored"]:
                expected.append((item, appended.first_sequence))
        records = [record async for record in client.read()]
    assert [record.sequence for record in records] == [sequence for _, sequence in expected]
    for record, (item, _) in zip(records, expected, strict=True):
        if item["expected_line"] is None:
            # Of a kind that AG2 does not know. It writes nothing; the server keeps the event as it came.
            assert (record.kind, record.record["event"]) == ("unrecognised", item["event_hex"]), item["name"]
            continue
        value, wanted = record.record, json.loads(item["expected_line"])
        if item["uses_clock"]:
            # The server's own clock, in the form of the fixture's.
            assert value["at"].endswith("Z") and len(value["at"]) == len(CLOCK), item["name"]
            value["at"] = wanted["at"]
        else:
            assert record.json == item["expected_line"], item["name"]
        assert json.dumps(value, sort_keys=True) == json.dumps(wanted, sort_keys=True), item["name"]
        record.verify()


async def test_the_adapter_stores_what_ag2_stores_for_every_call(server: Server) -> None:
    expected = [item["expected_line"] for item in ITEMS if item["expected_line"] is not None]
    log = await HubAuditLog.connect(server.address, hub="lab", clock=lambda: CLOCK)
    async with log:
        for call in CALLS:
            await getattr(log, call.method)(*call.args)
        records = await log.read_all()
        assert [json.dumps(record, sort_keys=True) for record in records] == expected
        assert log.bytes_written == sum(len(line) + 1 for line in expected)
        assert (log.pending, log.lost) == (0, 0)


async def test_most_calls_are_sent_as_typed_events(server: Server) -> None:
    async with await HubAuditLog.connect(server.address, hub="lab", clock=lambda: CLOCK) as log:
        for call in CALLS:
            if not call.name.startswith(("misfit", "custom")):
                await getattr(log, call.method)(*call.args)
        details = {record.body.WhichOneof("detail") async for record in log.client.read()}
        customs = [record async for record in log.client.read() if record.body.WhichOneof("detail") == "custom"]
    # NaN and the infinities are no JSON, so no event holds them.
    assert all("NaN" in record.json for record in customs), [record.json for record in customs]
    assert len(details - {"custom"}) == 11, details


async def test_a_record_with_keys_of_mixed_types_raises_as_in_ag2(server: Server) -> None:
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        with pytest.raises(TypeError):
            await log.append({"kind": "x", 1: "y"})
        assert await log.read_all() == []
