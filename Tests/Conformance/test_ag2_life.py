"""The life of a log: its event loop, its process, what is left when they end, and what cannot be called where."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading

import hubaudit
from hubaudit import errors
import hubaudit.ag2
from hubaudit.ag2 import HubAuditLog
import hubaudit.client
import pytest
from server import ROOT, Server

SECONDS = 60


async def until(condition) -> None:
    for _ in range(100 * SECONDS):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within a minute")


def program(text: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a program of its own with this package."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "Sources" / "python")}
    head = "import asyncio, logging, os, sys\nfrom hubaudit.ag2 import HubAuditLog\nlogging.basicConfig(format='%(levelname)s %(message)s')\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(text), *arguments], env=environment, capture_output=True, text=True, timeout=SECONDS
    )


async def stored(server: Server) -> list[dict]:
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        return await log.read_all()


# Event loops, threads, processes


def test_in_a_second_loop_every_call_says_at_once_what_is_wrong_and_nothing_that_is_stored_counts_as_lost(server: Server) -> None:
    async def first() -> HubAuditLog:
        log = await HubAuditLog.connect(server.address, hub="lab", mode="queued")
        for number in range(50):
            await log.append({"n": number})
        return log

    log = asyncio.run(first())

    async def see(record: dict) -> None:
        pass

    async def second() -> None:
        for call in (log.append({"n": 50}), log.read_all(), log.flush(), log.drain(), log.client.append({}), log.client.health()):
            with pytest.raises(errors.WrongLoop, match="event loop that has ended"):
                await asyncio.wait_for(call, SECONDS)
        for call in (lambda: log.subscribe(see), lambda: log.client.submit({})):
            with pytest.raises(errors.WrongLoop, match="event loop that has ended"):
                call()
        with pytest.raises(errors.WrongLoop):
            async for _ in log.client.tail():
                pass
        await log.close()

    asyncio.run(second())
    assert [record["n"] for record in asyncio.run(stored(server))] == list(range(50))
    assert (log.lost, log.unconfirmed, log.pending) == (1, 0, 0)


async def test_in_another_thread_every_call_says_at_once_what_is_wrong(server: Server) -> None:
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        await log.append({"n": 0})
        found: list[str] = []

        async def elsewhere() -> None:
            for call in (log.append({"n": 1}), log.read_all(), log.client.ping(), log.close()):
                with pytest.raises(errors.WrongLoop, match="thread") as raised:
                    await call
                found.append(str(raised.value))
            tail = log.client.tail()
            with pytest.raises(errors.WrongLoop, match="thread"):
                await tail.__anext__()

        def thread() -> None:
            asyncio.run(elsewhere())
            with pytest.raises(errors.WrongLoop, match="run_coroutine_threadsafe"):
                log.subscribe(None)  # type: ignore[arg-type]

        await asyncio.to_thread(thread)
        assert len(found) == 4 and log.lost == 1
        # It goes on where it belongs.
        await log.append({"n": 2})
        assert [record["n"] for record in await log.read_all()] == [0, 2]


def test_in_a_fork_every_call_says_at_once_what_is_wrong_and_the_parent_goes_on(server: Server) -> None:
    fork = program(
        """
        import hubaudit
        log = None

        async def connect():
            global log
            log = await HubAuditLog.connect(sys.argv[1], hub="lab", mode="queued")
            await log.append({"n": 3})

        loop = asyncio.new_event_loop()
        loop.run_until_complete(connect())
        child = os.fork()
        if child == 0:
            async def use():
                for call in (lambda: log.append({"n": 4}), lambda: log.read_all(), lambda: log.close()):
                    try:
                        await call()
                    except hubaudit.errors.WrongLoop as error:
                        assert f"this is process {os.getpid()} (a fork)" in str(error), error
                    else:
                        raise AssertionError("nothing was said")
            asyncio.run(use())
            print("child", log.lost, flush=True)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        loop.run_until_complete(log.append({"n": 5}))
        loop.run_until_complete(log.flush(30))
        loop.run_until_complete(log.close())
        print("parent", log.lost, log.unconfirmed)
        """,
        server.address,
    )
    assert fork.returncode == 0, fork.stderr
    assert fork.stdout == "child 1\nparent 0 0\n"
    assert "not acknowledged" not in fork.stderr
    assert [record["n"] for record in asyncio.run(stored(server))] == [3, 5]


# At the end


def test_what_is_pending_when_the_loop_ends_is_stored_where_the_server_is_there(server: Server) -> None:
    run = program(
        """
        async def main():
            log = await HubAuditLog.connect(sys.argv[1], hub="lab", mode="queued")
            for number in range(1000):
                await log.append({"n": number})
            return log

        log = asyncio.run(main())
        print(log.pending, log.lost, log.unconfirmed)
        """,
        server.address,
    )
    assert (run.stdout, run.stderr) == ("0 0 0\n", "")
    assert [record["n"] for record in asyncio.run(stored(server))] == list(range(1000))


WITHOUT_A_SERVER = """
    async def main():
        log = await HubAuditLog.connect(sys.argv[1], hub="lab", mode="queued", wait=False, on_lost=lambda record, error: lost.append(record))
        for number in range(30):
            await log.append({"n": number, "kind": "queued"})
        return log

    lost = []
"""


@pytest.mark.parametrize(
    "ending",
    [
        "log = asyncio.run(main())\nassert (log.lost, log.pending, log.bytes_written, len(lost)) == (30, 0, 0, 30), log.lost\n",
        "loop = asyncio.new_event_loop()\nlog = loop.run_until_complete(main())\nsys.exit(0)\n",
        "loop = asyncio.new_event_loop()\nlog = loop.run_until_complete(main())\nloop.close()\nsys.exit(0)\n",
        "def run():\n    loop = asyncio.new_event_loop()\n    loop.run_until_complete(main())\nrun()\n",
    ],
    ids=["asyncio.run", "a loop that is left", "a loop that is closed", "a loop that nobody has"],
)
def test_what_is_pending_when_the_loop_or_the_process_ends_is_named(server: Server, ending: str) -> None:
    server.kill()
    run = program(textwrap.dedent(WITHOUT_A_SERVER) + ending, server.address)
    assert run.returncode == 0, run.stderr
    assert "30 events were not acknowledged" in run.stderr
    assert run.stderr.count("a record of kind 'queued' is lost") == 10 and run.stderr.count("and more for the same reason") == 1


async def test_what_was_sent_and_never_answered_is_unconfirmed_and_not_lost(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    log = await HubAuditLog.connect(server.address, hub="lab", deadline=0.05)
    server.pause()
    try:
        await log.append({"n": 1})
        await log.close(timeout=0.05)
    finally:
        server.resume()
    assert (log.lost, log.unconfirmed, log.pending) == (0, 1, 0)
    assert "was sent and never acknowledged" in caplog.text


# What cannot be called where


async def test_a_subscriber_may_close_the_log_and_cannot_drain_it(server: Server) -> None:
    log = await HubAuditLog.connect(server.address, hub="lab")
    found: list[object] = []

    async def see(record: dict) -> None:
        with pytest.raises(errors.UsageError, match="drain"):
            await log.drain()
        # In a task of its own, which the subscriber waits for, it is the same.
        with pytest.raises(errors.UsageError, match="drain"):
            await asyncio.create_task(log.drain())
        await log.close()
        found.append(record)

    log.subscribe(see)
    await log.append({"n": 1})
    await asyncio.wait_for(until(lambda: found and log.client.ended), SECONDS)
    with pytest.raises(errors.Closed):
        log.subscribe(see)
    with pytest.raises(errors.Closed):
        await log.append({"n": 2})
    assert log.lost == 1


async def test_a_task_that_a_subscriber_started_may_drain_when_the_subscriber_has_returned(server: Server) -> None:
    tasks: list[asyncio.Task] = []
    gate = asyncio.Event()

    async def later(log: HubAuditLog) -> None:
        await gate.wait()
        await log.drain(30)

    async with await HubAuditLog.connect(server.address, hub="lab") as log:

        async def see(record: dict) -> None:
            tasks.append(asyncio.create_task(later(log)))

        log.subscribe(see)
        await log.append({"n": 1})
        await log.drain(30)
        gate.set()
        await asyncio.wait_for(tasks[0], SECONDS)


def test_subscribing_outside_of_a_coroutine_works_while_the_loop_rests(server: Server) -> None:
    loop = asyncio.new_event_loop()
    seen: list[dict] = []

    async def see(record: dict) -> None:
        seen.append(record)

    log = loop.run_until_complete(HubAuditLog.connect(server.address, hub="lab"))
    log.subscribe(see)
    loop.run_until_complete(log.append({"n": 1}))
    loop.run_until_complete(log.drain(30))
    assert seen == [{"n": 1}]
    loop.run_until_complete(log.close())
    loop.close()


def test_a_log_that_was_never_connected_cannot_be_subscribed_outside_of_a_loop() -> None:
    log = HubAuditLog(hubaudit.Client("127.0.0.1:1", hub="lab"))
    with pytest.raises(errors.WrongLoop, match="outside of an event loop"):
        log.subscribe(None)  # type: ignore[arg-type]


async def test_options_that_make_no_sense_are_refused_where_they_are_given(server: Server) -> None:
    for options in ({"deadline": -1}, {"deadline": 0}, {"deadline": float("nan")}, {"queue_events": 0}, {"queue_bytes": 0},
                    {"heartbeat": 0}, {"connect_deadline": -1}, {"max_frame_bytes": 0}):  # fmt: skip
        (name,) = options
        for connect in (HubAuditLog.connect, hubaudit.connect):
            with pytest.raises(ValueError, match=name):
                await connect(server.address, hub="lab", **options)
    for options in ({"mode": "x"}, {"deliver": "x"}, {"mode": "queued", "deliver": "inline"}):
        with pytest.raises(ValueError, match=r"mode|deliver"):
            await HubAuditLog.connect(server.address, hub="lab", **options)
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        for call in (log.flush(-1), log.drain(-1), log.close(-1), log.client.append({}, deadline=-1), log.client.flush(-1)):
            with pytest.raises(ValueError, match=r"-1"):
                await call
        with pytest.raises(ValueError, match="limit=-1"):
            log.client.read(limit=-1)
        with pytest.raises(ValueError, match="window"):
            log.client.tail(window=0)
        with pytest.raises(TypeError):
            await log.append(["no dict"])  # type: ignore[arg-type]
        assert await log.read_all() == []


# Outages


@pytest.mark.parametrize("mode", ["durable", "queued"])
async def test_a_warning_is_repeated_while_an_outage_lasts(
    server: Server, mode: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubaudit.ag2, "_REPEAT_SECONDS", 0.02)
    monkeypatch.setattr(hubaudit.client, "_REPEAT_SECONDS", 0.02)
    log = await HubAuditLog.connect(server.address, hub="lab", deadline=0.05, mode=mode)
    await asyncio.to_thread(server.kill)
    await log.append({"n": 1})
    await until(lambda: caplog.text.count("nothing is acknowledged for") >= 3 and caplog.text.count("trying on, without a connection") >= 3)
    assert "1 records of" in caplog.text
    await asyncio.to_thread(server.start)
    await log.flush(30)
    said = caplog.text.count("nothing is acknowledged")
    await asyncio.sleep(0.2)
    assert caplog.text.count("nothing is acknowledged") == said
    assert "acknowledges again" in caplog.text
    await log.close()


async def test_a_lost_record_is_handed_to_the_hook(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    lost: list[tuple[dict, str]] = []

    def hook(record: dict, error: errors.HubauditError) -> None:
        lost.append((record, type(error).__name__))
        raise ValueError("the hook's own fault")

    async with await HubAuditLog.connect(server.address, hub="lab", on_lost=hook) as log:
        large = {"kind": "large", "text": "x" * 2_000_000, "when": (1, 2)}
        with pytest.raises(errors.RecordTooLarge):
            await log.append(large)
        await log.append({"n": 1})
        assert lost == [(large | {"when": [1, 2]}, "RecordTooLarge")]
        assert log.bytes_written == len('{"n": 1}\n')
    assert "on_lost raised" in caplog.text


# What AG2's does


async def test_in_queued_mode_the_bytes_count_at_once(server: Server) -> None:
    async with await HubAuditLog.connect(server.address, hub="lab", mode="queued") as log:
        server.pause()
        try:
            await log.append({"n": 1})
            assert (log.pending, log.bytes_written) == (1, len('{"n": 1}\n'))
        finally:
            server.resume()


async def test_inline_an_append_waits_for_its_subscribers(server: Server) -> None:
    seen: list[int] = []

    async def slow(record: dict) -> None:
        await asyncio.sleep(0.02)
        seen.append(record["n"])
        if record["n"] == 3:
            # It does not wait for the subscriber that it is called in.
            await log.append({"n": 100})

    async with await HubAuditLog.connect(server.address, hub="lab", deliver="inline", deadline=30) as log:
        log.subscribe(slow)
        for number in range(5):
            await log.append({"n": number})
            assert number in seen
        await asyncio.gather(*[log.append({"n": number}) for number in range(5, 20)])
        assert sorted(seen) == [*range(20), 100]


async def test_inline_a_slow_subscriber_is_waited_for_beyond_the_deadline(server: Server) -> None:
    gate = asyncio.Event()

    async def slow(record: dict) -> None:
        await gate.wait()

    async with await HubAuditLog.connect(server.address, hub="lab", deliver="inline", deadline=0.05) as log:
        log.subscribe(slow)
        append = asyncio.create_task(log.append({"n": 1}))
        await asyncio.sleep(0.5)
        assert not append.done()
        gate.set()
        await asyncio.wait_for(append, SECONDS)


@pytest.mark.parametrize("kind", ["turn_failed", "channel_closed", "task_terminated"])
async def test_a_text_that_is_too_long_for_the_server_is_cut_and_says_so(server: Server, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    text = "Grüße 🌍" * 300_000
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        if kind == "turn_failed":
            await log.on_turn_failed("c", "a", "e", RuntimeError(text))
        elif kind == "channel_closed":
            await log.on_channel_event("c", "closed", {"reason": text})
        else:
            await log.on_task_event("t", "failed", {"reason": text})
        (record,) = await log.read_all()
        assert log.lost == 0 and log.bytes_written == len(hubaudit.ag2._line(record)) + 1
        (cut,) = [value for value in record.values() if isinstance(value, str) and len(value) > 1000]
        assert cut.startswith(text[:10_000]) and f"[cut by hubaudit: {len(text)} characters, SHA-256 " in cut[-150:]
        assert [r.body.WhichOneof("detail") async for r in log.client.read()] == [kind]
    assert "is cut" in caplog.text


# An append that was given up


async def test_an_append_that_was_given_up_can_be_waited_for_again_and_is_stored_once(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab", deadline=60) as client:
        server.pause()
        try:
            pending = client.submit([{"n": 0}, {"n": 1}])
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(pending, 0.02)
            with pytest.raises(errors.AppendPending) as raised:
                await pending.wait(0.01)
            assert raised.value.pending is pending and not pending.done
            with pytest.raises(errors.AppendPending) as late:
                await client.append({"n": 2}, deadline=0.01)
        finally:
            server.resume()
        assert (await pending).recorded == 2 and pending.done and pending.exception() is None
        handle = late.value.pending
        assert handle is not None and (await handle.wait(30)).sequences == (2,)
        assert [record.record["n"] async for record in client.read()] == [0, 1, 2]


async def test_an_append_that_had_room_for_a_part_only_says_which_part_and_can_be_gone_on_with(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab", queue_events=1500, deadline=60) as client:
        records = [{"n": number} for number in range(3000)]
        server.pause()
        try:
            with pytest.raises(errors.QueueFull) as raised:
                await client.append(records, deadline=0.05)
            assert raised.value.event == 1000 and raised.value.pending is not None
            with pytest.raises(errors.QueueFull):
                client.submit(records[1000:])
        finally:
            server.resume()
        assert (await raised.value.pending).recorded == 1000
        assert (await client.append(records[1000:])).recorded == 2000
        assert [record.record["n"] async for record in client.read()] == list(range(3000))


async def test_a_kind_that_no_header_can_hold_is_kept(server: Server) -> None:
    kinds = ["nul \0 byte", "lone \ud800 surrogate", "plain"]
    async with await HubAuditLog.connect(server.address, hub="lab") as log:
        for kind in kinds:
            await log.append({"kind": kind})
        await log.client.append([{"kind": kind} for kind in kinds])
        assert [record["kind"] for record in await log.read_all()] == kinds * 2
        assert [record.kind async for record in log.client.read()] == kinds * 2
