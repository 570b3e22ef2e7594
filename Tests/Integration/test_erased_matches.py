"""An erased record that a filter might have wanted: it is counted, on the wire, in the clients and in every command, and never shown as a match."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import pty
import subprocess

import hubaudit
import pytest
from hubaudit._proto import frames_pb2
from peers import eventually
from erasing import erase, keygen, run
from wire import BINARY, Connection, Server

ERASED = (5, 6, 30)
COUNT = 60


@pytest.fixture(params=["65536", "67108864"], ids=["searched", "unsearched"])
def server(request: pytest.FixtureRequest, tmp_path: pathlib.Path):
    """Records about two agents in turn; some of ann's are erased, in segments that have a search index and in one that has none."""
    key = tmp_path / "log.key"
    keygen(key)
    with Server(tmp_path / "log", "--signing-key", str(key), "--segment-bytes", request.param) as server:
        with server.connect(hub="hub") as hub:
            first = hub.append({"kind": "key is in the log"}).appended.first_sequence
            for number in range(COUNT):
                event = {"kind": f"k{number % 3}", "agent_id": ("ann", "bob")[number % 2], "pad": "x" * 5000}
                assert hub.append(event).appended.recorded == 1
            server.first = first + 1
        for number in ERASED:
            assert erase(server, server.first + number, key).returncode == 0
        if request.param == "65536":
            segments = len(list((tmp_path / "log" / "segments").iterdir()))
            assert segments > 3
            index = tmp_path / "log" / "index"
            eventually(lambda: len(list(index.glob("*.bloom"))) == segments - 1, "segments are not indexed")
        yield server


def read(connection: Connection, backwards: bool = False, limit: int | None = None, **filter: list[str]) -> tuple[list[int], int]:
    """The sequences that a filtered read sends, and how many erased records it says it passed over."""
    frame = connection.request()
    frame.read.backwards = backwards
    if backwards:
        frame.read.start.latest = True
    else:
        frame.read.start.earliest = True
    for name, values in filter.items():
        getattr(frame.read.filter, name).extend(values)
    if limit is not None:
        frame.read.limit = limit
    connection.send(frame)
    sequences = []
    while (reply := connection.receive()).WhichOneof("reply") == "records":
        sequences += [record.header.sequence for record in reply.records.batch.records]
    assert reply.read_end.records == len(sequences)
    return sequences, reply.read_end.erased_skipped


@pytest.mark.parametrize("backwards", [False, True])
def test_a_filtered_read_counts_the_erased_records_that_may_have_matched(server, backwards):
    first = server.first
    ann = [first + number for number in range(COUNT) if number % 2 == 0 and number not in ERASED]
    bob = [first + number for number in range(COUNT) if number % 2 == 1 and number not in ERASED]
    with server.connect(client="auditor") as connection:
        def ordered(sequences: list[int]) -> list[int]:
            return sequences[::-1] if backwards else sequences

        assert read(connection, backwards, agents=["ann"]) == (ordered(ann), len(ERASED))
        assert read(connection, backwards, agents=["bob"]) == (ordered(bob), len(ERASED))
        assert read(connection, backwards, agents=["nobody"]) == ([], len(ERASED))
        assert read(connection, backwards, channels=["c"], tasks=["t"]) == ([], len(ERASED))
        # What the header says is known: 6 and 30 are of kind k0, 5 is of kind k2.
        assert read(connection, backwards, agents=["nobody"], kinds=["k0"]) == ([], 2)
        assert read(connection, backwards, agents=["nobody"], kinds=["k1"]) == ([], 0)
        assert read(connection, backwards, agents=["nobody"], hubs=["other"]) == ([], 0)
        # They are shown where the filter asks for nothing that was erased.
        shown, skipped = read(connection, backwards, kinds=["k0"])
        assert skipped == 0 and {first + 6, first + 30} <= set(shown)
        # Only those up to where the read ended.
        assert read(connection, backwards, agents=["bob"], limit=1)[1] == 0
        if not backwards:
            assert read(connection, agents=["bob"], limit=3) == (bob[:3], 2)


def test_a_subscription_says_how_many_it_has_passed_over(server):
    with server.connect(client="auditor") as connection:
        frame = connection.request()
        frame.subscribe.start.earliest = True
        frame.subscribe.filter.agents.append("nobody")
        frame.subscribe.credit = 1 << 20
        connection.send(frame)
        state = connection.receive().subscription
        while state.state == frames_pb2.SubscriptionState.STATE_PROGRESS:
            state = connection.receive().subscription
        assert state.state == frames_pb2.SubscriptionState.STATE_CAUGHT_UP and state.erased_skipped == len(ERASED)
        end = connection.request()
        end.unsubscribe.subscription = frame.id
        connection.send(end)
        state = connection.receive().subscription
        assert state.state == frames_pb2.SubscriptionState.STATE_ENDED and state.erased_skipped == len(ERASED)


def test_every_command_with_a_filter_says_so(server):
    words = "3 erased records may have matched"
    for command in (("read",), ("read", "--backwards"), ("tail", "-n", "100"), ("export",)):
        done = run(*command, "-s", server.address, "--agent", "ann")
        assert done.returncode == 0 and words in done.stderr, (command, done.stderr)
        done = run(*command, "-s", server.address, "--agent", "nobody")
        assert done.returncode == 3 and words in done.stderr and done.stdout == "", (command, done.stderr)
        assert "may have matched" not in run(*command, "-s", server.address, "--kind", "k1").stderr


def test_an_empty_result_says_so_on_a_terminal_and_only_there(server):
    for command in (("read",), ("tail",), ("export",), ("stats",)):
        arguments = [BINARY, *command, "-s", server.address, "--kind", "k9"]
        terminal, other = pty.openpty()
        try:
            done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=other, timeout=60)
            os.close(other)
            assert done.returncode == 3 and done.stdout == b""
            assert b"nothing found" in os.read(terminal, 1 << 16), command
        finally:
            os.close(terminal)
        done = run(*arguments[1:])
        assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


def test_stats_counts_them_apart(server):
    rows = [json.loads(line) for line in run("stats", "-s", server.address, "--agent", "ann", "-o", "json").stdout.splitlines()]
    assert {"count": 3, "erased": True} in rows and sum(row["count"] for row in rows) == COUNT // 2 - 2 + 3
    rows = [json.loads(line) for line in run("stats", "-s", server.address, "--by", "agent", "--kind", "k0", "-o", "json").stdout.splitlines()]
    assert {"count": 2, "erased": True} in rows
    assert "erased" in run("stats", "-s", server.address, "--agent", "nobody", "-o", "table").stdout


def test_the_python_client_tells(server):
    async def work() -> tuple[list[int], int]:
        async with await hubaudit.connect(server.address) as client:
            told: list[int] = []
            async for _ in client.read(agents="nobody", on_erased_skipped=told.append):
                raise AssertionError("nobody has a record")
            caught_up: list[int] = []
            async with client.tail(agents="nobody", on_caught_up=caught_up.append) as tail:
                waiting = asyncio.ensure_future(anext(tail))
                while not caught_up:
                    await asyncio.sleep(0.01)
                waiting.cancel()
                return told, tail.erased_skipped

    assert asyncio.run(work()) == ([len(ERASED)], len(ERASED))
