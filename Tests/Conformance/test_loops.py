"""The client in every event loop that there is for asyncio: its own, with its debug checks and eager tasks, and uvloop's."""

import asyncio
from collections.abc import Callable
import socket

import hubaudit
from hubaudit._proto import frames_pb2
from hubaudit.ag2 import HubAuditLog
from hubaudit.framing import encode_frame
import pytest
from server import Server

SECONDS = 60


def debugging() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


def eager() -> asyncio.AbstractEventLoop:
    if not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("eager tasks are new in Python 3.12")
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def uv() -> asyncio.AbstractEventLoop:
    return pytest.importorskip("uvloop").new_event_loop()


def uv_debugging() -> asyncio.AbstractEventLoop:
    loop = uv()
    loop.set_debug(True)
    return loop


LOOPS = [asyncio.new_event_loop, debugging, eager, uv, uv_debugging]


def run(loop: asyncio.AbstractEventLoop, coroutine) -> None:
    """As `asyncio.run`, on a loop of the caller's choice."""
    raised: list[dict] = []
    loop.set_exception_handler(lambda _, context: raised.append(context))
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(asyncio.wait_for(coroutine, SECONDS))
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert not raised, raised


async def use(address: str, restart: Callable[[], None]) -> None:
    seen: list[int] = []

    async def see(record: dict) -> None:
        seen.append(record["n"])

    async with (
        await hubaudit.connect(address, hub="other") as client,
        await HubAuditLog.connect(address, hub="lab", deadline=30) as log,
    ):
        log.subscribe(see)
        await asyncio.gather(*[log.append({"n": number}) for number in range(100)])
        large = [{"n": number, "text": "x" * 10_000} for number in range(300)]
        assert (await client.append(large)).recorded == 300
        # A reader that takes its time pauses the connection.
        numbers = []
        async for record in client.read(hubs="other"):
            numbers.append(record.record["n"])
            if len(numbers) % 100 == 0:
                await asyncio.sleep(0.01)
        assert numbers == list(range(300))
        await asyncio.to_thread(restart)
        await asyncio.gather(*[log.append({"n": number}) for number in range(100, 200)])
        await log.drain(30)
        assert seen == list(range(200))
        tail = client.tail(after=399, hubs="lab")
        async for record in tail:
            assert record.sequence == 400
            break
        await tail.aclose()


@pytest.mark.parametrize("make", LOOPS)
def test_everything_works_in_this_loop(server: Server, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    def restart() -> None:
        server.kill()
        server.start()

    run(make(), use(server.address, restart))


@pytest.mark.parametrize("make", LOOPS)
def test_a_server_that_is_not_there_is_named_as_such(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def connect() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            with pytest.raises(hubaudit.errors.ConnectionLost, match="is the server up"):
                await hubaudit.connect(f"127.0.0.1:{bound.getsockname()[1]}")

    run(make(), connect())


@pytest.mark.parametrize("make", LOOPS)
def test_a_unix_socket_works_in_this_loop(tmp_path, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    path = tmp_path / "s"
    answered = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(encode_frame(frames_pb2.ServerFrame(id=1, welcome=frames_pb2.Welcome(version=1)).SerializeToString()))
        await reader.read()
        writer.close()
        answered.set()

    async def connect() -> None:
        server = await asyncio.start_unix_server(answer, path)
        async with await hubaudit.connect(f"unix:{path}") as client:
            assert client.connected
        await answered.wait()
        server.close()

    run(make(), connect())
