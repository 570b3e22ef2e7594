"""Makes the first inputs of the fuzz corpus: real frames, files of a real log, and the texts of the transparency-log formats.

    PYTHONPATH=Sources/python:Tests/Integration .venv/bin/python Tests/Fuzz/seeds.py

The files are named seed-*; what the fuzzer finds has other names and stays. Positions, times and random bytes differ from run to run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import tempfile

from hubaudit._proto import event_pb2, frames_pb2
from wire import Connection, Server, varint

HERE = pathlib.Path(__file__).resolve().parent
EVENTS = json.loads((HERE.parent / "Fixtures/ag2_events.json").read_text())


def save(target: str, name: str, content: bytes) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(content)


def telling_events() -> list[bytes]:
    """One event of each shape."""
    shapes: dict[tuple, bytes] = {}
    for item in EVENTS:
        event = event_pb2.Event.FromString(bytes.fromhex(item["event_hex"]))
        which = event.WhichOneof("event")
        inner = getattr(event, which)
        kind = inner.kind if which in ("agent", "channel", "task") else ""
        shapes.setdefault((which, kind), event.SerializeToString())
    line = event_pb2.Event()
    line.unreadable_line.line = b'{"torn": \xff'
    line.unreadable_line.unterminated = True
    # A field that a newer hub sends.
    newer = event_pb2.Event.FromString(next(iter(shapes.values()))).SerializeToString() + b"\xfa\x3f\x03new"
    return [*shapes.values(), line.SerializeToString(), newer]


def requests() -> list[frames_pb2.ClientFrame]:
    frames: list[frames_pb2.ClientFrame] = []

    def add() -> frames_pb2.ClientFrame:
        frames.append(frames_pb2.ClientFrame(id=len(frames) + 1))
        return frames[-1]

    hello = add().hello
    hello.version, hello.hub, hello.producer, hello.producer_next, hello.client = 1, "hub", "producer", 1, "seeds"
    events = telling_events()
    for number in range(0, len(events), 3):
        append = add().append
        append.producer_sequence = number + 1
        for event in events[number : number + 3]:
            append.events.add().MergeFromString(event)
    numbers = add().append
    for object_ in ({"kind": "k", "at": "t", "agent_id": "a-1", "participants": ["x", "é"]}, {}):
        numbers.events.add().custom = json.dumps(object_).encode()
    read = add().read
    read.start.sequence, read.limit, read.backwards = 3, 5, True
    full = add().read
    full.start.earliest = True
    for field, value in (("kinds", "k"), ("hubs", "hub"), ("agents", "a-1"), ("channels", "c-1"), ("tasks", "t-1")):
        getattr(full.filter, field).append(value)
    full.filter.since, full.filter.until = 1, 1 << 62
    everything = add().read
    everything.start.time = 0
    subscribe = add().subscribe
    subscribe.start.after, subscribe.credit = 1, 100_000
    credit = add().credit
    credit.subscription, credit.bytes = subscribe_id(frames), 1000
    add().unsubscribe.subscription = subscribe_id(frames)
    # One that is refused.
    add().unsubscribe.subscription = 99
    add().checkpoint.size = 3
    prove = add().proof
    prove.inclusion, prove.size = 2, 5
    add().proof.consistency = 3
    add().health.SetInParent()
    add().schema.SetInParent()
    add().settings.SetInParent()
    add().ping.payload = b"ping"
    return frames


def subscribe_id(frames: list[frames_pb2.ClientFrame]) -> int:
    return next(frame.id for frame in frames if frame.WhichOneof("request") == "subscribe")


def talk(port: int, frames: list[frames_pb2.ClientFrame]) -> list[frames_pb2.ServerFrame]:
    """Every reply. Appends are answered before anything is read."""
    replies: list[frames_pb2.ServerFrame] = []
    ended = frames_pb2.SubscriptionState.STATE_ENDED
    with Connection(port) as connection:
        for part in (range(0, 16), range(16, len(frames))):
            open_ = set()
            for frame in (frames[number] for number in part):
                connection.send(frame)
                if frame.WhichOneof("request") not in ("credit", "unsubscribe"):
                    open_.add(frame.id)
                if part.start == 0:
                    replies.append(connection.receive())
                    open_.remove(replies[-1].id)
            while open_:
                replies.append(connection.receive())
                which = replies[-1].WhichOneof("reply")
                if which != "records" and (which != "subscription" or replies[-1].subscription.state == ended):
                    open_.discard(replies[-1].id)
    return replies


def delimited(frames: list) -> bytes:
    return b"".join(varint(len(data)) + data for data in (frame.SerializeToString() for frame in frames))


def wire_and_log() -> None:
    with tempfile.TemporaryDirectory() as work:
        data = pathlib.Path(work) / "log"
        with Server(data) as server:
            asked = requests()
            answered = talk(server.port, asked)
            server.stop()
        segment = (data / "segments/00000000000000000000.seg").read_bytes()
        identity = (data / "log.json").read_bytes()
    for number, frame in enumerate(asked):
        save("requests", f"{number:02}-{frame.WhichOneof('request')}", frame.SerializeToString())
    seen: set[str] = set()
    details: set[str] = set()
    for frame in answered:
        which = frame.WhichOneof("reply")
        state = str(frame.subscription.state) if which == "subscription" else ""
        if which + state not in seen:
            seen.add(which + state)
            # The descriptor set is long and opaque.
            if which == "schema":
                frame.schema.file_descriptor_set = frame.schema.file_descriptor_set[:64]
            save("replies", which + state, frame.SerializeToString())
        for record in frame.records.batch.records:
            detail = record.body.WhichOneof("detail")
            if detail not in details:
                details.add(detail)
                save("records", detail, b"\1" + record.SerializeToString())
    save("frames", "requests", b"\3\6" + delimited(asked))
    save("frames", "replies", b"\7\3" + delimited([frame for frame in answered if len(frame.SerializeToString()) < 2000]))
    save("frames", "small-limit", b"\0\0" + delimited(asked[-4:]))
    short = cut(segment, commits=2)
    for role, name in ((0, "newest"), (1, "sealed")):
        for repairs, what in ((0, ""), (28, "-repaired")):
            save("segment", name + what, bytes([role | repairs, 6]) + short)
    save("segment", "newest-zeros", b"\0\0" + short + bytes(100))
    save("segment", "newest-torn", b"\0\0" + short[:-30])
    places = [(0, 79, 1), (2, 200, 2), (4, 320, 3)]
    index = b"".join(number.to_bytes(8, "little") for place in places for number in place)
    save("segment", "index", b"\6\0" + bytes(40) + index + bytes(4))
    save("segment", "identity", b"\3\0" + identity)
    # The segments' log is that of the fixture in SegmentFixture.swift: log id and checksum are put right.
    save("segment", "identity-own", b"\3\0" + json.dumps({"format": 1, "log_id": bytes(range(16)).hex(), "created": "x"}).encode())


def cut(segment: bytes, commits: int) -> bytes:
    """A segment's header, made the fixture's log's, and its first commits."""
    end = 79
    for _ in range(commits):
        end += 39 + int.from_bytes(segment[end + 26 : end + 30], "little")
    whole = bytearray(segment[:end])
    whole[18:34] = bytes(range(16))
    whole[75:79] = crc32c(bytes(whole[2:74])).to_bytes(4, "little")
    return bytes(whole)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def texts() -> None:
    lines = {item["expected_line"] for item in EVENTS if item["expected_line"] is not None}
    for number, line in enumerate(sorted(lines, key=lambda line: hashlib.sha256(line.encode()).digest())[:12]):
        save("json", f"line-{number:02}", line.encode())
    objects = (
        '{"kind": "k", "a": [1, -0.5e+3, NaN, -Infinity, true, null, {}], "participants": ["x", "\\u00e9\\ud83d\\ude00"]}',
        ' {"k\\u0069nd": "k", "at": 5, "violators": [["a"], "b"], "agent_id": "\\ud800", "kind": "k2"} ',
        '{"a": [[[[{"b": [[[{}]]]}]]]]}', '{"torn": "li', '{"a": 1}{"b": 2}', "[1, 2]", '{"é": "日本"}', "{\n\t\"a\":\r\n 0}",
    )
    for number, text in enumerate(objects):
        save("json", f"text-{number}", text.encode())


def evidence() -> None:
    key = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    signature = "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    checkpoint = (
        "hubaudit.example/demo\n70000\nSetbsr+kDfnOsfkN53+XtlnD6O006VHSKx5qKVKBi8w=\n\n\u2014 hubaudit.example/demo "
        "Q/Cj8bUbGKezHltjgtRfQ+oRnuwkJZYEgegXOR+r4OQRkWuopax37+sg+hrh2TDhmhM9Cp5G4VoHgEOmJcYNyWSs5QM=\n"
    )
    hash_ = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    # RFC 8032's first test vector.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")

    def named(name: str, kind: int, content: bytes) -> str:
        identity = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4].hex()
        return f"{name}+{identity}+{base64.b64encode(bytes([kind]) + content).decode()}"

    witness = named("w.example/1", 4, public)
    texts = {
        "note": "This is an example message.\n\n" + signature,
        "signature": signature,
        "checkpoint": checkpoint,
        "checkpoint-extension": checkpoint.replace("\n\n", "\nextension\n\n", 1),
        "checkpoint-text": checkpoint.split("\n\n")[0] + "\n",
        "proof": f"c2sp.org/tlog-proof@v1\nextra AAAA\nindex 17\n{hash_}\n{hash_}\n\n{checkpoint}",
        "proof-single": f"c2sp.org/tlog-proof@v1\nindex 0\n\n{checkpoint}",
        "add-checkpoint": f"old 300\n{hash_}\n{hash_}\n\n{checkpoint}",
        "policy": f"# one\nlog {key} https://log.example/\nwitness X1 {witness} https://w.example/\ngroup g any X1\n"
        "group h 1 g\nquorum h\n",
        "policy-none": f"log {key}\nquorum none\n",
        "verifier-key": key,
        "witness-key": witness,
        "signer-key": "PRIVATE+KEY+" + named("log.example", 1, seed),
        "tile": "tile/0/x001/x234/067.p/17",
        "tile-entries": "tile/entries/x123/456",
        "tile-high": "tile/63/000",
        "hash": hash_,
        "hash-hex": hashlib.sha256(b"").hexdigest(),
    }
    for name, text in texts.items():
        save("evidence", name, text.encode())
    save("evidence", "tree-state", (5).to_bytes(8, "big") + bytes(64))
    save("evidence", "entry-bundle", b"\2\0\3abc\0\0")


def derived() -> None:
    """Search indexes and cosigned checkpoints; heads and checksums are put right by the targets."""

    def little(number: int, size: int) -> bytes:
        return number.to_bytes(size, "little")

    # Places of the fixture's records in SegmentFixture.swift, as in the index above.
    for name, filters in (("one-block", [bytes(32)]), ("full", [b"\xff" * 32]), ("three-blocks", [b"\xff" * 32, b"", bytes(64)])):
        places = [(0, 79), (2, 200), (4, 320)][: len(filters)]
        table = b"".join(little(sequence, 8) + little(offset, 8) + little(len(one), 4) + bytes(4) for (sequence, offset), one in zip(places, filters))
        index = bytes(72) + b"".join(filters) + table + little(len(filters), 4) + bytes(4)
        for repairs in (0, 1, 3):
            save("bloom", f"{name}-{repairs}", bytes([repairs]) + index)
    note = b"demo\n4\nroot\n\n\xe2\x80\x94 demo AAAA\n"
    elements = b"".join(bytes([size, len(note)]) + note for size in (4, 4, 6, 5))
    save("cosigned", "notes", b"\1" + elements)
    save("cosigned", "one", b"\1" + bytes([4, len(note)]) + note)
    save("cosigned", "smaller", b"\1" + bytes([3, 0, 4, len(note)]) + note)
    content = b"\x09" + little(4, 8) + b"\x11" + little(1, 8) + b"\x1a" + bytes([len(note)]) + note
    stored = content + b"\x7d" + little(crc32c(content), 4)
    whole = b"\x0a" + bytes([len(stored)]) + stored
    save("cosigned", "file", b"\0" + whole * 2)
    save("cosigned", "torn", b"\0" + whole + whole[:-3])


if __name__ == "__main__":
    wire_and_log()
    texts()
    evidence()
    derived()
