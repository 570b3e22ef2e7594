"""The client against the real server with TLS and an access file."""

import asyncio
import hashlib
from pathlib import Path
import secrets

from certificates import Authority
import hubaudit
from hubaudit import TLS, errors
import pytest
from server import Server


class SecuredServer(Server):
    """A server with TLS, a CA for clients and an access file."""

    def __init__(self, directory: Path) -> None:
        self.ca = Authority(directory)
        certificate = self.ca.issue_server()
        self.access = directory / "access"
        self.statements: dict[str, str] = {}
        flags = {"tls-cert": certificate.cert, "tls-key": certificate.key, "client-ca": self.ca.cert, "access": self.access}
        super().__init__(directory, *(word for name, path in flags.items() for word in (f"--{name}", str(path))))

    def write(self, **lines: str) -> None:
        """Changes lines of the access file, which is put in its place as a whole."""
        self.statements |= lines
        new = self.access.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in self.statements.values()))
        new.chmod(0o600)
        new.rename(self.access)

    async def reload(self) -> None:
        """Returns when the files were read again."""
        before = self._reloads()
        self.hang_up()
        while self._reloads() == before:
            await asyncio.sleep(0.01)

    def _reloads(self) -> int:
        return sum("access and TLS were read again" in line for line in self.lines)

    @property
    def tls_address(self) -> str:
        return f"hubaudits://localhost:{self.port}"

    def new_token(self, id: str, until: str = "") -> str:
        """A token of the identity `hub`, in the access file from now on."""
        text = f"hat_{id}_{secrets.token_hex(32)}"
        self.write(**{id: f"identity hub token {id} sha256:{hashlib.sha256(text.encode()).hexdigest()} {until}".rstrip()})
        return text


@pytest.fixture
def secured(tmp_path: Path):
    server = SecuredServer(tmp_path)
    server.write(lab="identity lab cert spiffe://test.example/hub/lab", grant="grant lab publish hubs=lab", reads="grant lab read hubs=* kinds=*")
    try:
        server.start()
        yield server
    finally:
        server.kill()


async def test_a_hub_with_a_certificate_appends_and_reads(secured: SecuredServer) -> None:
    hub = secured.ca.issue("lab", uris=("spiffe://test.example/hub/lab",))
    tls = TLS(cacert=secured.ca.cert, cert=hub.cert, key=hub.key)
    async with await hubaudit.connect(secured.tls_address, hub="lab", tls=tls) as client:
        assert client.welcome.identity == "cert:spiffe://test.example/hub/lab"
        await client.append([{"kind": "k", "n": n} for n in range(1000)])
        assert len([record async for record in client.read()]) == 1000
        async with client.tail(after=998) as tail:
            assert (await anext(tail)).sequence == 999
    with pytest.raises(errors.NotPermitted):
        await hubaudit.connect(secured.tls_address, hub="other", tls=tls)


async def test_who_shows_nothing_is_unknown_and_who_speaks_plainly_is_told_so(secured: SecuredServer) -> None:
    with pytest.raises(errors.Unauthenticated):
        await hubaudit.connect(secured.tls_address, hub="lab", tls=TLS(cacert=secured.ca.cert))
    with pytest.raises(errors.ProtocolError, match=f"speaks TLS: write hubaudits://127.0.0.1:{secured.port}"):
        await hubaudit.connect(secured.address, hub="lab")


async def test_a_foreign_certificate_is_refused_with_the_reason(secured: SecuredServer, tmp_path: Path) -> None:
    foreign = Authority(tmp_path, "foreign").issue("lab2", uris=("spiffe://test.example/hub/lab",))
    with pytest.raises(errors.TLSError, match="refused the client's certificate"):
        await hubaudit.connect(secured.tls_address, hub="lab", tls=TLS(cacert=secured.ca.cert, cert=foreign.cert, key=foreign.key))


async def test_a_revoked_token_keeps_events_until_there_is_a_new_one(secured: SecuredServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(secured.new_token("one"))
    # The identity stays when its token goes.
    secured.new_token("spare")
    secured.write(publish="grant hub publish hubs=lab")
    await secured.reload()
    async with await hubaudit.connect(secured.tls_address, hub="lab", tls=TLS(cacert=secured.ca.cert), token=file) as client:
        assert await client.append({"kind": "before"})
        secured.write(one="")
        await secured.reload()
        while client.connected:
            await asyncio.sleep(0.01)
        pending = client.submit({"kind": "kept"})
        while not isinstance(client.last_error, errors.Unauthenticated):
            await asyncio.sleep(0.01)
        # Of the same id: another would be another principal, to whom the producer's numbers do not belong.
        new = secured.new_token("one")
        await secured.reload()
        file.write_text(new)
        # Behind the first event, and what the log has recorded about access meanwhile.
        (kept,) = (await pending.wait(60)).sequences
        assert kept > 1
