"""What a server of this version does not know, from a newer hub: it is stored, found, and shown by both clients in the same way."""

import json
import subprocess

import hubaudit
from hubaudit._proto.event_pb2 import Event
from server import BINARY, Server

GROUP = bytes.fromhex("a30108071b0d010203041ca401")  # field 20: a group with a number and another group in it
CLOSED = Event(channel={"channel_id": "c", "kind": "closed"}).channel.SerializeToString()


def channel_event(content: bytes) -> bytes:
    return bytes([0x12, len(content)]) + content


EVENTS = {
    "a new event": bytes.fromhex("fa01030a0178"),
    "a new kind": Event(agent={"agent_id": "a-1", "kind": "promoted", "at": "then"}).SerializeToString(),
    "a new field": channel_event(CLOSED + bytes.fromhex("c80601")),
    "a new group": channel_event(CLOSED + GROUP),
    "a new field of a part": channel_event(bytes.fromhex("0a016312076372656174656422050a016d2801")),
    "nothing new": Event(channel={"channel_id": "c", "kind": "closed", "at": "t"}).SerializeToString(),
}
UNKNOWN = {
    "a new event": [("Event", 31, bytes.fromhex("fa01030a0178"))],
    "a new field": [("ChannelEvent", 105, bytes.fromhex("c80601"))],
    "a new group": [("ChannelEvent", 20, GROUP)],
    "a new field of a part": [("ChannelMetadata", 5, bytes.fromhex("2801"))],
}


def printed(server: Server, *options: str) -> list[dict]:
    command = [BINARY, "read", "-s", server.address, "-o", "json", *options]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


async def test_unknown_things_are_stored_and_shown_alike_by_both_clients(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        for event in EVENTS.values():
            appended = await client.append(Event.FromString(event))
            assert (appended.recorded, appended.ignored) == (1, 0)
        records = [record async for record in client.read()]
        found = [record.sequence async for record in client.read(agents=["a-1"])]
    assert found == [1]
    lines = printed(server)
    assert [record.kind for record in records] == ["unrecognised"] * 2 + ["channel_closed"] * 2 + ["channel_created", "channel_closed"]
    for (name, event), record, line in zip(EVENTS.items(), records, lines, strict=True):
        unknown = [(field.message, field.number, field.raw) for field in record.unknown_fields]
        assert unknown == UNKNOWN.get(name, []), name
        told = [(field["message"], field["number"], bytes.fromhex(field["bytes"])) for field in line.get("unknown_fields", [])]
        assert told == unknown, name
        assert line["record"] == record.record, name
        assert line["body_sha256"] == record.body_sha256.hex(), name
        kept = name in UNKNOWN or name == "a new kind"
        assert record.body.event == (event if kept else b""), name
        record.verify()
    assert records[0].record["event"] == EVENTS["a new event"].hex() and records[0].record["event_field"] == 31
    assert [line["sequence"] for line in printed(server, "--kind", "unrecognised")] == [0, 1]
