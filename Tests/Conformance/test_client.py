"""The client: appends, reads, questions and errors."""

import asyncio
from datetime import datetime, timedelta, timezone
import json
import subprocess

import hubaudit
from hubaudit import errors, events
from hubaudit._proto import frames_pb2
from hubaudit.connection import Connection
import pytest
from proxy import Proxy
from server import BINARY, Server


async def test_an_append_tells_what_became_of_each_event(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        assert await client.append([]) == hubaudit.Appended(())
        one = await client.append({"kind": "k"})
        assert (one.sequences, one.recorded, one.ignored) == ((0,), 1, 0)
        mixed = await client.append([
            events.envelope_posted("e", "c", "s"),
            events.agent("a", "registered", name="Ada", at="now"),
            events.channel("c", "opened"),
            {"n": 1},
            events.inbox_pressure("a", 8, 10),
        ])
        assert mixed.sequences == (None, 1, None, 2, None)
        assert (mixed.recorded, mixed.ignored, mixed.first_sequence, mixed.last_sequence) == (2, 3, 1, 2)
        none = await client.append(events.dispatch_failed("e", "c", "r"))
        assert (none.sequences, none.first_sequence, none.last_sequence) == ((None,), None, None)
        assert [r.record async for r in client.read(start=1, limit=1)] == [
            {"at": "now", "kind": "agent_registered", "agent_id": "a", "name": "Ada"}
        ]


async def test_an_empty_kind_finds_the_records_whose_kind_is_empty_and_those_without_one(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await client.append([{"kind": ""}, {"n": 1}, {"kind": "k"}, {"kind": None}])
        found = [(record.sequence, record.kind) async for record in client.read(kinds="")]
    assert found == [(0, ""), (1, None), (3, None)]
    command = [BINARY, "read", "-s", server.address, "-o", "json", "--kind", ""]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [(line["sequence"], line["kind"]) for line in map(json.loads, lines)] == found


async def test_each_event_constructor_makes_its_record(server: Server) -> None:
    metadata = events.channel_metadata(manifest_type="consulting", manifest_version=2, creator_id="a", participants=["a", "b"])
    table = [
        (events.agent("a", "skill_set", at="t"), {"kind": "skill_set", "agent_id": "a", "removed": False}),
        (events.agent("a", "skill_set", removed=None, at="t"), {"kind": "skill_set", "agent_id": "a", "removed": None}),
        (
            events.channel("c", "created", metadata=metadata, at="t"),
            {
                "kind": "channel_created", "channel_id": "c", "manifest_type": "consulting", "manifest_version": 2,
                "creator_id": "a", "participants": ["a", "b"],
            },
        ),
        (events.channel("c", "created", participants=[], at="t"), {"kind": "channel_created", "channel_id": "c", "participants": []}),
        (events.channel("c", "closed", reason="", at="t"), {"kind": "channel_closed", "channel_id": "c", "reason": ""}),
        (
            events.expectation_fired("c", "max_silence", on_violation="audit", params={"seconds": 30.0}, violators=["a"], at="t"),
            {
                "kind": "expectation_violated", "channel_id": "c", "expectation": "max_silence", "on_violation": "audit",
                "params": {"seconds": 30.0}, "violators": ["a"], "detail": {},
            },
        ),
        (
            events.task("t", "completed", outcome=None, owner_id="a", at="t"),
            {
                "kind": "task_terminated", "task_id": "t", "outcome": None, "owner_id": "a", "channel_id": None,
                "capability": None, "reason": None,
            },
        ),
        (
            events.turn_failed("c", "a", "e", ValueError("bad"), at="t"),
            {
                "kind": "turn_failed", "channel_id": "c", "agent_id": "a", "envelope_id": "e",
                "exc_type": "ValueError", "exc_message": "bad",
            },
        ),
    ]  # fmt: skip
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await client.append([event for event, _ in table])
        records = [record.record async for record in client.read()]
    assert records == [{**record, "at": "t"} for _, record in table]
    assert json.dumps(records[5]["params"]) == '{"seconds": 30.0}'


async def test_an_unreadable_line_is_kept_byte_for_byte(server: Server) -> None:
    line = b'{"kind": "x\xff\xfe'
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await client.append(events.unreadable_line(line, unterminated=True))
        (record,) = [record async for record in client.read()]
    assert record.kind == "unreadable_line"
    assert record.record["line"].encode("utf-8", "surrogateescape") == line
    assert record.record["unterminated"] is True


async def test_a_record_tells_what_the_server_knows(server: Server) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    async with await hubaudit.connect(server.address, hub="lab", producer="p") as client:
        await client.append([{"kind": "k", "at": "then"}, {"n": 1}])
        first, second = [record async for record in client.read()]
    assert (first.sequence, first.hub, first.producer, first.producer_sequence, first.kind, first.at) == (0, "lab", "p", 1, "k", "then")
    assert (second.sequence, second.producer_sequence, second.kind, second.schema_version, second.principal) == (1, 2, None, 1, None)
    assert before <= first.received_time <= datetime.now(timezone.utc)
    assert not first.erased and len(first.body_sha256) == 32 and first.json == '{"at": "then", "kind": "k"}'
    first.verify()
    # One byte of the body is another: the length stays, the digest does not.
    damaged = hubaudit.Record(first.raw.replace(b"then", b"ther"))
    with pytest.raises(errors.DataDamaged, match="record 0"):
        damaged.verify()


async def test_reads_select_by_position_filter_and_limit(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client, await hubaudit.connect(server.address, hub="other") as other:
        for number in range(10):
            await (client if number % 2 == 0 else other).append(events.task(f"t{number % 3}", "completed", owner_id=f"a{number}", at="t"))

        async def sequences(**arguments) -> list[int]:
            return [record.sequence async for record in client.read(**arguments)]

        everything = list(range(10))
        assert await sequences() == everything
        assert await sequences(start=7) == [7, 8, 9]
        assert await sequences(after=7) == [8, 9]
        assert await sequences(start="latest") == []
        assert await sequences(limit=3) == [0, 1, 2]
        assert await sequences(backwards=True) == everything[::-1]
        assert await sequences(backwards=True, limit=2) == [9, 8]
        assert await sequences(backwards=True, start=3) == [2, 1, 0]
        assert await sequences(hubs="other") == [1, 3, 5, 7, 9]
        assert await sequences(hubs="lab", tasks=["t0", "t1"]) == [0, 4, 6]
        assert await sequences(agents="a4", backwards=True) == [4]
        assert await sequences(kinds="turn_failed") == []
        (fifth,) = [record async for record in client.read(start=5, limit=1)]
        assert await sequences(start=fifth.received_time - timedelta(days=1)) == everything
        assert await sequences(since=fifth.received_at) == [5, 6, 7, 8, 9]
        assert await sequences(until=fifth.received_at) == [0, 1, 2, 3, 4]


async def test_a_read_goes_on_where_it_was_when_its_connection_is_cut(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as writer, Proxy(server.port) as proxy:
        await writer.append([{"n": n, "pad": "x" * 100} for n in range(20_000)], deadline=60)
        async with await hubaudit.connect(proxy.address) as client:
            for backwards in (False, True):
                seen = []
                async for record in client.read(backwards=backwards, limit=19_000):
                    seen.append(record.sequence)
                    if len(seen) % 4_001 == 0:
                        proxy.cut()
                wanted = list(range(19_999, 999, -1)) if backwards else list(range(19_000))
                assert seen == wanted
        assert proxy.cuts >= 8


async def test_many_small_appends_in_flight_are_answered_each(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        answers = await asyncio.gather(*(client.append({"n": n}) for n in range(3_000)))
        assert [answer.first_sequence for answer in answers] == list(range(3_000))
        assert [record.record["n"] async for record in client.read()] == list(range(3_000))


async def test_appends_are_stored_once_across_cut_connections(server: Server) -> None:
    async with Proxy(server.port) as proxy, await hubaudit.connect(proxy.address, hub="lab", deadline=60) as client:

        async def append(number: int) -> int:
            answer = await client.append({"n": number})
            assert answer.first_sequence is not None
            return answer.first_sequence

        sequences = []
        for base in range(0, 2_000, 100):
            batch = asyncio.gather(*(append(number) for number in range(base, base + 100)))
            await asyncio.sleep(0)
            proxy.cut()
            sequences += await batch
        records = [record async for record in client.read()]
        assert proxy.cuts >= 20
    assert [record.record["n"] for record in records] == list(range(2_000))
    assert sequences == list(range(2_000))


async def test_a_named_producer_goes_on_with_its_numbers(server: Server) -> None:
    for expected in (1, 3, 5):
        async with await hubaudit.connect(server.address, hub="lab", producer="exporter") as client:
            await client.append([{"n": 1}, {"n": 2}])
            records = [record async for record in client.read(start="latest", backwards=True, limit=2)]
            assert [record.producer_sequence for record in records] == [expected + 1, expected]


async def test_of_two_clients_under_one_producer_name_the_first_gets_it_back_and_each_event_is_stored_once(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab", producer="p") as one:
        await one.append({"n": 1})
        two = await hubaudit.connect(server.address, hub="lab", producer="p")
        await two.append({"n": 2})
        await asyncio.gather(*(one.append({"n": n}) for n in range(3, 40)))
        # While the first one is connected, the other waits.
        with pytest.raises(errors.AppendPending, match="PRODUCER_SUPERSEDED"):
            await two.append({"n": 40}, deadline=1)
        await one.append({"n": 41})
        await one.close()
        await two.flush(20)
        assert [record.record["n"] async for record in two.read(hubs="lab")] == [1, 2, *range(3, 40), 41, 40]
        assert [record.record["kind"] async for record in two.read(hubs="hubaudit")] == ["producer_taken_over", "producer_taken_back"]
        await two.close()


async def test_a_hello_by_somebody_else_does_not_silence_a_client(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab", producer="p") as client:
        await client.append({"n": 0})
        hello = frames_pb2.Hello(version=1, hub="lab", producer="p", producer_next=50_000)
        intruder = await Connection.open(client.address, hello, deadline=10, heartbeat=10)
        assert intruder.welcome.producer_next == 50_000
        intruder.close()
        await asyncio.gather(*(client.append({"n": n}) for n in range(1, 20)))
        records = [record async for record in client.read(hubs="lab")]
        assert [record.record["n"] for record in records] == list(range(20))
        assert [record.producer_sequence for record in records] == [1, *range(50_000, 50_019)]


async def test_a_refused_event_does_not_hold_up_those_behind_it(server: Server) -> None:
    bad = events.Event()
    bad.custom = b"[1, 2]"
    async with await hubaudit.connect(server.address, hub="lab") as client:
        answers = await asyncio.gather(
            client.append({"n": 1}), client.append(bad), client.append({"n": 2}), client.append([{"n": 3}, bad]), client.append({"n": 4}),
            return_exceptions=True,
        )  # fmt: skip
        assert isinstance(answers[1], errors.InvalidJSON) and isinstance(answers[3], errors.InvalidJSON)
        assert answers[3].event == 1
        assert [record.record["n"] async for record in client.read()] == [1, 2, 4]
        assert [answer.first_sequence for answer in (answers[0], answers[2], answers[4])] == [0, 1, 2]


async def test_appends_that_share_a_request_are_each_answered_for_themselves(server: Server) -> None:
    ignored = events.inbox_pressure("a", 1, 2)
    async with await hubaudit.connect(server.address, hub="lab") as client:
        answers = await asyncio.gather(
            client.append(ignored), client.append([{"n": 1}, ignored, {"n": 2}]), client.append({"n": 3}), client.append([ignored, {"n": 4}])
        )
        assert [answer.sequences for answer in answers] == [(None,), (0, None, 1), (2,), (None, 3)]
        assert [(answer.recorded, answer.ignored, answer.duplicates) for answer in answers] == [(0, 1, 0), (2, 1, 0), (1, 0, 0), (1, 1, 0)]


def test_what_had_been_stored_before_is_counted_where_it_is() -> None:
    whole = hubaudit.Appended((5, None, 6, 9, 10), duplicates=2)
    assert [whole.part(0, 1), whole.part(1, 2), whole.part(3, 2)] == [
        hubaudit.Appended((5,), 1), hubaudit.Appended((None, 6), 1), hubaudit.Appended((9, 10), 0)
    ]  # fmt: skip


async def test_an_append_that_fits_no_frame_is_refused_here(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        with pytest.raises(errors.RecordTooLarge):
            await client.append({"text": "x" * 2_000_000})
        assert (await client.append({"n": 1})).first_sequence == 0


async def test_without_a_hub_nothing_can_be_appended(server: Server) -> None:
    async with await hubaudit.connect(server.address) as client:
        with pytest.raises(errors.InvalidRequest, match="name of the hub"):
            await client.append({"n": 1})


async def test_an_append_during_an_outage_stays_queued(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await asyncio.to_thread(server.kill)
        with pytest.raises(errors.AppendPending, match="stay queued"):
            await client.append({"n": 1}, deadline=0.05)
        await asyncio.to_thread(server.start)
        await client.append({"n": 2})
        assert [record.record["n"] async for record in client.read()] == [1, 2]


async def test_questions_are_answered(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await client.append([{"n": 1}, {"n": 2}])
        health = await client.health()
        assert (health.next_sequence, health.records_appended, health.log_id) == (2, 2, client.welcome.log_id)
        assert health.Status.Name(health.status) == "STATUS_OK"
        assert health.now > 0 and not health.HasField("signer") and not health.witnesses and not health.HasField("quorum_size")
        settings = {setting.name: setting for setting in (await client.settings()).settings}
        data, reads = settings["data"], settings["reads"]
        assert (data.Source.Name(data.source), data.origin) == ("SOURCE_FLAG", "--data") and data.value
        assert (reads.value, reads.Source.Name(reads.source), reads.HasField("origin")) == ("16", "SOURCE_DEFAULT", False)
        assert await client.ping(b"payload") >= 0


async def test_the_schema_reads_records_without_our_files(server: Server) -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    async with await hubaudit.connect(server.address, hub="lab") as client:
        await client.append(events.agent("a", "registered", name="Ada", at="t"))
        schema = await client.schema()
        (record,) = [record async for record in client.read()]
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(schema.file_descriptor_set).file:
        pool.Add(file)
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("hubaudit.v1.Record")).FromString(record.raw)
    assert message.body.agent_registered.name == "Ada"


async def test_nobody_answers_at_a_closed_port(server: Server) -> None:
    server.kill()
    with pytest.raises(errors.ConnectionLost, match=f"{server.address}.*is the server up"):
        await hubaudit.connect(server.address)


async def test_a_silent_server_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(errors.Timeout, match="is it a hubaudit server"):
            await hubaudit.connect(f"127.0.0.1:{port}", connect_deadline=0.05)


async def test_a_unix_socket_works_like_any_address(server: Server, tmp_path) -> None:
    path = tmp_path / "s"
    bridge = await asyncio.start_unix_server(lambda r, w: _bridge(r, w, server.port), str(path))
    async with bridge, await hubaudit.connect(f"unix:{path}", hub="lab") as client:
        assert (await client.append({"n": 1})).first_sequence == 0


async def _bridge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))
