"""The client over TLS: servers that are in order, and those that are not."""

import asyncio
from datetime import timedelta
import logging
from pathlib import Path
import ssl

from certificates import SERVER, Authority, Certificate
from frame_server import FrameServer, context
import hubaudit
from hubaudit import TLS, errors
from hubaudit.ag2 import HubAuditLog
import pytest
from test_loops import LOOPS, run


DAY = timedelta(days=1)


def expired(ca: Authority) -> Certificate:
    return ca.issue("s", dns=("localhost",), usage=SERVER, begins=-3 * DAY, ends=-DAY)


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER", "CACERT", "CERT", "KEY", "TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"HUBAUDIT_{name}", raising=False)


async def refusal(server: FrameServer, tls: TLS | ssl.SSLContext | None, host: str = "localhost") -> str:
    """Why no connection was made."""
    async with server:
        with pytest.raises(errors.CredentialsError) as caught:
            await (await hubaudit.connect(f"hubaudits://{host}:{server.port}", tls=tls)).close()
        assert caught.value.retry and f"{host}:{server.port}" in str(caught.value)
        return str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("make", LOOPS)
def test_appends_go_over_tls_in_every_loop(ca: Authority, make, host: str) -> None:
    async def body() -> None:
        async with FrameServer(context(ca.issue_server())) as server:
            async with await hubaudit.connect(f"hubaudits://{host}:{server.port}", hub="lab", tls=TLS(cacert=ca.cert)) as client:
                await client.append({"kind": "one"})
                # Of more than one write.
                await client.append([{"kind": "many", "text": "x" * 30_000} for _ in range(20)])
                assert await client.ping() < 30
            assert server.stored == 21

    run(make(), body())


async def test_the_drop_in_for_ag2_speaks_tls_and_shows_its_token(ca: Authority) -> None:
    async with FrameServer(context(ca.issue_server())) as server:
        url = f"hubaudits://localhost:{server.port}"
        async with await HubAuditLog.connect(url, hub="lab", tls=TLS(cacert=ca.cert), token="t1") as log:
            await log.append({"kind": "hello"})
        assert server.stored == 1
        assert server.requests[0].hello.token == "t1"


async def test_the_environment_names_files_and_tokens(ca: Authority, tmp_path: Path, monkeypatch) -> None:
    clients = Authority(tmp_path, "clients")
    hub = clients.issue("hub")
    (tmp_path / "token").write_text(" t2\n")
    async with FrameServer(context(ca.issue_server(), clients=clients)) as server:
        for name, value in [("CACERT", ca.cert), ("CERT", hub.cert), ("KEY", hub.key), ("TOKEN_FILE", tmp_path / "token")]:
            monkeypatch.setenv(f"HUBAUDIT_{name}", str(value))
        monkeypatch.setenv("HUBAUDIT_SERVER", f"hubaudits://localhost:{server.port}")
        await (await hubaudit.connect()).close()
        assert server.requests[0].hello.token == "t2"
        monkeypatch.setenv("HUBAUDIT_TOKEN", "t3")
        with pytest.raises(ValueError, match="both set"):
            await hubaudit.connect()


async def test_an_expired_certificate_of_the_server_is_called_expired(ca: Authority) -> None:
    assert "has expired" in await refusal(FrameServer(context(expired(ca))), TLS(cacert=ca.cert))


async def test_a_certificate_that_is_not_yet_valid_is_called_so(ca: Authority) -> None:
    assert "not valid yet" in await refusal(FrameServer(context(ca.issue("s", dns=("localhost",), usage=SERVER, begins=DAY, ends=3 * DAY))), TLS(cacert=ca.cert))


async def test_an_unknown_ca_is_refused(ca: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").issue_server()
    assert "no trusted root has signed" in await refusal(FrameServer(context(other)), TLS(cacert=ca.cert))
    # The system's roots.
    assert "no trusted root has signed" in await refusal(FrameServer(context(other)), None)


@pytest.mark.parametrize(
    "names", [{"dns": ["other.example"]}, {"addresses": ["127.0.0.1"]}, {}, {"dns": ["*.localhost"]}, {"uris": ["spiffe://a/b"]}]
)
async def test_a_certificate_for_another_host_is_refused(ca: Authority, names: dict) -> None:
    server = FrameServer(context(ca.issue("s", usage=SERVER, common_name="localhost", **names)))
    assert 'does not name "localhost"' in await refusal(server, TLS(cacert=ca.cert))


@pytest.mark.parametrize("alpn", [(), ("h2",)])
async def test_a_server_of_another_protocol_is_refused(ca: Authority, alpn: tuple[str, ...]) -> None:
    assert "hubaudit/1" in await refusal(FrameServer(context(ca.issue_server(), alpn=alpn)), TLS(cacert=ca.cert))


@pytest.mark.parametrize("own", [False, True])
async def test_tls_1_2_alone_is_refused(ca: Authority, own: bool) -> None:
    old = context(ca.issue_server())
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = ssl.create_default_context(cafile=str(ca.cert)) if own else TLS(cacert=ca.cert)
    assert "TLS 1.3" in await refusal(FrameServer(old), tls)


@pytest.mark.parametrize("make", LOOPS[::3])
def test_what_the_server_says_of_the_clients_certificate_is_told(ca: Authority, tmp_path: Path, make) -> None:
    async def body() -> None:
        clients = Authority(tmp_path, "clients")

        def demanding() -> FrameServer:
            return FrameServer(context(ca.issue_server(), clients=clients))

        def showing(certificate: Certificate) -> TLS:
            return TLS(cacert=ca.cert, cert=certificate.cert, key=certificate.key)

        async with demanding() as server:
            await (await hubaudit.connect(f"hubaudits://localhost:{server.port}", tls=showing(clients.issue("hub")))).close()
        assert "asks for a client certificate" in await refusal(demanding(), TLS(cacert=ca.cert))
        assert "refused the client's certificate" in await refusal(demanding(), showing(ca.issue("foreign")))
        late = clients.issue("expired", begins=-3 * DAY, ends=-DAY)
        assert "refused the client's certificate: it has expired" in await refusal(demanding(), showing(late))

    run(make(), body())


async def test_a_plain_server_at_a_tls_address_is_called_so(ca: Authority) -> None:
    async def answer_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x05\x08\x01\x7a\x01\x08 not TLS")
        writer.close()

    async with await asyncio.start_server(answer_plainly, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        with pytest.raises(errors.TLSError, match="does not speak TLS"):
            await hubaudit.connect(f"hubaudits://localhost:{port}", tls=TLS(cacert=ca.cert))


async def test_a_server_that_never_finishes_the_handshake_is_a_timeout(ca: Authority) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(errors.Timeout, match="did not answer"):
            await hubaudit.connect(f"hubaudits://localhost:{port}", tls=TLS(cacert=ca.cert), connect_deadline=0.3)


async def test_files_that_cannot_be_used_are_named(ca: Authority, tmp_path: Path) -> None:
    one, two = ca.issue("one"), ca.issue("two")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    locked = tmp_path / "locked.key"
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(one.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    for tls, words in [
        (TLS(cacert="/nowhere/ca.pem"), "/nowhere/ca.pem cannot be read: no such file"),
        (TLS(cacert=empty), "empty.pem holds no certificate"),
        (TLS(cert=one.cert, key=two.key), "two.key.pem is not the key of the certificate"),
        (TLS(cert=one.cert, key=empty), "empty.pem holds no private key"),
        (TLS(cert=one.cert, key=locked), "locked.key holds no private key"),
        (TLS(cert=one.key, key=one.key), "one.key.pem holds no certificate"),
        (TLS(cert=one.cert, key=tmp_path), "cannot be read: is a directory"),
    ]:
        with pytest.raises(errors.CredentialsError) as caught:
            await hubaudit.connect("hubaudits://localhost:1", tls=tls)
        assert words in str(caught.value)
    for arguments in ({"cert": one.cert}, {"key": one.key}):
        with pytest.raises(ValueError, match="of no use"):
            TLS(**arguments)


@pytest.mark.parametrize("url", ["localhost:1", "unix:/nowhere.sock"])
def test_tls_with_a_plain_address_says_so(url: str) -> None:
    with pytest.raises(ValueError, match="an address without TLS"):
        hubaudit.Client(url, tls=TLS())


def test_a_context_that_verifies_nobody_is_refused() -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    with pytest.raises(ValueError, match="does not verify"):
        hubaudit.Client("hubaudits://localhost", tls=lax)


async def test_events_are_kept_through_an_expired_certificate_of_the_server(ca: Authority, caplog) -> None:
    good = context(ca.issue_server("good"))
    async with FrameServer(context(expired(ca))) as server:
        client = hubaudit.Client(f"hubaudits://localhost:{server.port}", hub="lab", tls=TLS(cacert=ca.cert))
        await client.start(wait=False)
        pending = client.submit({"kind": "kept"})
        while client.last_error is None:
            await asyncio.sleep(0.01)
        assert isinstance(client.last_error, errors.TLSError)
        server.tls = good
        await pending.wait(60)
        assert server.stored == 1
        assert [one.levelno for one in caplog.records].count(logging.ERROR) == 1
        await client.close()
