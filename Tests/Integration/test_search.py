"""Filtered reads under a running server that makes its search indexes, loses them, and makes them again."""

from __future__ import annotations

import pathlib

from test_scrub import wait_for
from wire import Connection, Server

RARE = [150, 1234, 4100]


def fill(connection: Connection, records: int) -> None:
    for first in range(0, records, 100):
        connection.append(
            *({"kind": "k", "agent_id": "rare" if number in RARE else f"a{number % 50}", "text": "x" * 150} for number in range(first, first + 100))
        )


def search(connection: Connection, agent: str, backwards: bool = False) -> list[int]:
    """The sequences of an agent's records, as a filtered read gives them."""
    frame = connection.request()
    if backwards:
        frame.read.start.latest = frame.read.backwards = True
    else:
        frame.read.start.earliest = True
    frame.read.filter.agents.append(agent)
    connection.send(frame)
    sequences = []
    while (reply := connection.receive()) is not None:
        if reply.id == frame.id and reply.WhichOneof("reply") == "records":
            sequences += [record.header.sequence for record in reply.records.batch.records]
        elif reply.id == frame.id:
            assert reply.WhichOneof("reply") == "read_end" and reply.read_end.records == len(sequences), reply
            assert reply.read_end.next_sequence == (0 if backwards else 6000)
            return sequences
    raise EOFError("the connection ended in the middle of a read")


def indexes(log: pathlib.Path) -> list[pathlib.Path]:
    return sorted((log / "index").glob("*.bloom"))


def wait_for_all(log: pathlib.Path) -> None:
    sealed = len(list((log / "segments").glob("*.seg"))) - 1
    assert sealed > 5
    wait_for(lambda: len(indexes(log)) == sealed, "every full segment has an index")


def test_indexes_are_made_found_wanting_and_made_again(tmp_path):
    log = tmp_path / "log"

    def check(connection: Connection) -> None:
        assert search(connection, "rare") == RARE
        assert search(connection, "rare", backwards=True) == RARE[::-1]
        assert search(connection, "a7") == [number for number in range(7, 6000, 50) if number not in RARE]
        assert search(connection, "nobody") == []

    with Server(log, "--segment-bytes", "131072", "--search-bytes", "0") as server:
        connection = server.connect(hub="h")
        fill(connection, 6000)
        check(connection)
        assert server.stop() == 0
    assert indexes(log) == []

    with Server(log, "--segment-bytes", "131072") as server:
        connection = server.connect(hub="h")
        check(connection)
        wait_for_all(log)
        check(connection)
        good = {path: path.read_bytes() for path in indexes(log)}
        assert server.stop() == 0

    # Another segment's, cut, missing: made again at the start, or when a search meets it.
    first, second, third = list(good)[:3]
    first.write_bytes(good[second])
    second.write_bytes(good[second][:-100])
    third.unlink()
    with Server(log, "--segment-bytes", "131072") as server:
        connection = server.connect(hub="h")
        check(connection)
        wait_for(lambda: {path: path.read_bytes() for path in indexes(log)} == good, "the indexes are made again")
        check(connection)
        assert any("damaged or stale" in entry["message"] for entry in server.log)
        # One whose filters are damaged is found out by the search that asks them.
        content = bytearray(good[third])
        content[100] ^= 0xFF
        with third.open("r+b") as file:
            file.write(content)
        server.stop()
    with Server(log, "--segment-bytes", "131072") as server:
        connection = server.connect(hub="h")
        check(connection)
        wait_for(lambda: third.exists() and third.read_bytes() == good[third], "the index is made again")
        check(connection)
        assert server.stop() == 0


def test_a_segment_that_is_sealed_under_load_gets_its_index(tmp_path):
    with Server(tmp_path / "log", "--segment-bytes", "131072") as server:
        connection = server.connect(hub="h")
        fill(connection, 6000)
        wait_for_all(tmp_path / "log")
        assert search(connection, "rare") == RARE
        assert server.stop() == 0
