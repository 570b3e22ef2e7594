"""Tokens: where they come from, where they may go, and how they are renewed."""

import asyncio
import logging
from pathlib import Path
import time

from frame_server import Code, FrameServer, welcome
import hubaudit
from hubaudit import errors
from hubaudit._proto import frames_pb2
from hubaudit._renewal import delay
import pytest


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER", "CACERT", "CERT", "KEY", "TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"HUBAUDIT_{name}", raising=False)


def soon(seconds: float) -> int:
    return time.time_ns() + int(seconds * 1e9)


@pytest.mark.parametrize("host", ["audit.example", "10.0.0.1", "127.evil.example", "[::ffff:10.0.0.1]"])
def test_a_token_goes_to_no_other_machine_without_tls(host: str) -> None:
    with pytest.raises(ValueError, match="hubaudits://") as caught:
        hubaudit.Client(f"{host}:7411", token="secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost", "127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/s", "hubaudits://audit.example"])
def test_a_token_goes_over_tls_a_unix_socket_or_loopback(url: str) -> None:
    hubaudit.Client(url, token="secret")


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), (" \n", "is empty"), ("secret one", "not one token"), ("secret\u00e9", "not one token"),
     ("secret" * 2731, "the limit for a token is 16384"), ("secret" * 4000, "more than")],
)  # fmt: skip
async def test_what_is_no_token_is_said_without_what_it_holds(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(errors.CredentialsError, match=words) as caught:
        await hubaudit.connect("localhost:1", token=file)
    assert "secret" not in str(caught.value)


async def test_a_missing_file_and_a_function_that_fails_are_named() -> None:
    with pytest.raises(errors.CredentialsError, match="/nowhere/token cannot be read"):
        await hubaudit.connect("localhost:1", token=Path("/nowhere/token"))

    def fail() -> str:
        raise RuntimeError("the vault is sealed")

    with pytest.raises(errors.CredentialsError, match="no token was provided: the vault is sealed"):
        await hubaudit.connect("localhost:1", token=fail)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_token_is_renewed_on_the_connection_which_goes_on(is_async: bool) -> None:
    shown: list[str] = []

    def answer(request, frame) -> None:
        if request.HasField("hello"):
            shown.append(f"hello {request.hello.token}")
            welcome(frame, soon(0.5))
        elif request.HasField("authenticate"):
            shown.append(f"authenticate {request.authenticate.token}")
            frame.authenticated.identity = "token:1"
            if len(shown) < 3:
                frame.authenticated.expires_at = soon(0.5)

    number = 0

    def token() -> str:
        nonlocal number
        number += 1
        return f"t{number}"

    async def token_later() -> str:
        await asyncio.sleep(0)
        return token()

    async with FrameServer(answer=answer) as server:
        client = await hubaudit.connect(f"localhost:{server.port}", token=token_later if is_async else token)
        while len(shown) < 3:
            await asyncio.sleep(0.01)
        assert client.connected
        await client.close()
    assert shown == ["hello t1", "authenticate t2", "authenticate t3"]


def test_a_token_is_renewed_when_four_fifths_of_its_time_have_passed() -> None:
    assert delay(110 * 10**9, 100.0) == pytest.approx(8.0)
    assert delay(90 * 10**9, 100.0) == 0.0


async def test_a_token_of_another_identity_ends_the_connection(caplog) -> None:
    def answer(request, frame) -> None:
        if request.HasField("hello"):
            welcome(frame, soon(0.1))
        elif request.HasField("authenticate"):
            frame.authenticated.identity = "token:2"

    async with FrameServer(answer=answer) as server:
        client = await hubaudit.connect(f"localhost:{server.port}", token=lambda: "t")
        connection = await client.wait_connected()
        await asyncio.wait_for(connection.ended, 30)
        assert "another identity" in str(connection.error)
        await client.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [(Code.CODE_UNAUTHENTICATED, errors.Unauthenticated), (Code.CODE_CREDENTIAL_EXPIRED, errors.CredentialExpired)],
)
async def test_a_refused_token_loses_no_event(tmp_path: Path, caplog, code: int, kind: type[errors.HubauditError]) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    refuses = False

    def answer(request, frame) -> bool | None:
        if request.HasField("hello") and (not refuses or request.hello.token == "new"):
            welcome(frame)
            return None
        frame.error.code = code
        frame.error.message = "not you"
        return False

    async with FrameServer(answer=answer) as server:
        client = await hubaudit.connect(f"localhost:{server.port}", hub="lab", token=file)
        await client.append({"n": 1})
        refuses = True
        connection = await client.wait_connected()
        with pytest.raises(kind):
            await connection.request(health=frames_pb2.HealthRequest())
        connection.close()
        pending = client.submit({"n": 2})
        while not isinstance(client.last_error, kind) or len([one for one in server.requests if one.HasField("hello")]) < 4:
            await asyncio.sleep(0.01)
        assert [one.levelno for one in caplog.records].count(logging.ERROR) <= 1
        file.write_text("new\n")
        await pending.wait(60)
        assert server.stored == 2
        await client.close()


async def test_a_first_connection_that_is_refused_raises(tmp_path: Path) -> None:
    def answer(_, frame) -> bool:
        frame.error.code = Code.CODE_UNAUTHENTICATED
        frame.error.message = "not you"
        return False

    async with FrameServer(answer=answer) as server:
        with pytest.raises(errors.Unauthenticated, match="UNAUTHENTICATED: not you"):
            await hubaudit.connect(f"localhost:{server.port}", token="t")
