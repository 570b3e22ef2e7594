"""Who gets in and what they may do, as the Python client and the command (so the Swift client) say it: the rows and the rights of
test_access.py. What only raw frames can show (another ALPN) has no row here."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess

import hubaudit
import pytest
from certificates import Certificate
from credentials import NO_HANDSHAKE, UNAUTHENTICATED, Row, credential_rows
from hubaudit import TLS, errors
from secured import Secured, token
from test_command_words import clean_environment
from wire import BINARY, Server

# What a client says of each: the class in Python, and words of the command's sentence.
PYTHON = {"welcome": None, UNAUTHENTICATED: errors.Unauthenticated, NO_HANDSHAKE: errors.TLSError, "NOT_PERMITTED": errors.NotPermitted}
# The exit status of the command, and words of its one line.
COMMAND = {"welcome": (0, ""), UNAUTHENTICATED: (5, "does not know who this is"), NO_HANDSHAKE: (2, "refused the client's certificate"), "NOT_PERMITTED": (5, "no right to")}
TOO_LONG = "over 16 KiB"


@pytest.fixture
def secured(tmp_path: pathlib.Path) -> Secured:
    return Secured(tmp_path)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER", "CACERT", "CERT", "KEY", "TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"HUBAUDIT_{name}", raising=False)


def python(secured: Secured, server: Server, certificate: Certificate | None, shown: str | pathlib.Path, do=None, **options) -> BaseException | None:
    """What the Python client raises when it connects and does something; None if all went well."""

    async def body() -> None:
        tls = TLS(cacert=secured.root.cert, **({"cert": certificate.cert, "key": certificate.key} if certificate else {}))
        async with await hubaudit.connect(f"hubaudits://127.0.0.1:{server.port}", tls=tls, token=shown or None, connect_deadline=30, **options) as client:
            if do:
                await do(client)

    try:
        asyncio.run(body())
    except (errors.HubauditError, ValueError) as error:
        return error
    return None


def command(
    secured: Secured, server: Server, certificate: Certificate | None, shown: str, *words: str, text: str = ""
) -> tuple[int, str]:
    """The exit status, and what is said on stderr."""
    environment = clean_environment(
        HUBAUDIT_SERVER=f"hubaudits://127.0.0.1:{server.port}", HUBAUDIT_CACERT=str(secured.root.cert), **({"HUBAUDIT_TOKEN": shown} if shown else {}),
        **({"HUBAUDIT_CERT": str(certificate.cert), "HUBAUDIT_KEY": str(certificate.key)} if certificate else {}))
    done = subprocess.run([BINARY, *words], input=text, capture_output=True, text=True, timeout=60, env=environment)
    return done.returncode, done.stderr


GRANTS = "grant bank publish hubs=bank read hubs=*\ngrant ci read hubs=*\ngrant named read hubs=*"


def test_every_way_to_show_a_credential_by_the_clients(secured: Secured) -> None:
    rows = [row for row in credential_rows(secured, GRANTS) if "alpn" not in row.options]
    with secured.serve() as server:
        assert command(secured, server, rows[1].options["certificate"], "", "append", "--hub", "bank", "--kind", "k")[0] == 0
        print(f"{'':36} {'Python':20} the command")
        for row in rows:
            certificate = row.options.get("certificate")
            raised = python(secured, server, certificate, row.token)
            status, said = command(secured, server, certificate, row.token, "read")
            print(f"{row.name:36} {type(raised).__name__ if raised else 'welcome':20} {status} {said.strip()}")
            check(row, raised, status, said)
            assert row.token not in said or not row.token
            assert not raised or not row.token or row.token not in str(raised)


def check(row: Row, raised: BaseException | None, status: int, said: str) -> None:
    if row.name == TOO_LONG:
        # Neither client sends it.
        assert raised and "16384" in str(raised) and status != 0 and "16384" in said, (raised, said)
        return
    wanted = PYTHON[row.answer]
    assert raised is None if wanted is None else type(raised) is wanted, (row.name, repr(raised))
    wanted_status, words = COMMAND[row.answer]
    assert status == wanted_status and words in said and said.count("\n") <= 1, (row.name, status, said)


SIGNING = ("--make-key", "--origin", "test.example/log")
RIGHTS = {
    "nobody": "", "bank": "publish hubs=bank,bank-*", "reader": "read hubs=bank", "prover": "prove read hubs=*,hubaudit", "eraser": "erase", "operator": "operate",
}


async def append(client: hubaudit.Client) -> None:
    await client.append({"kind": "k"})


async def read(client: hubaudit.Client) -> None:
    async for _ in client.read(limit=1):
        return


async def follow(client: hubaudit.Client) -> None:
    async for _ in client.tail():
        return


async def checkpoint(client: hubaudit.Client) -> None:
    await client.checkpoint()


async def prove(client: hubaudit.Client) -> None:
    await client.prove(0)


async def health(client: hubaudit.Client) -> None:
    await client.health()


async def settings(client: hubaudit.Client) -> None:
    await client.settings()


# Who may; the Python client's call; the command's words. A receipt has the record's header in it, so it takes the right to read as well.
REQUESTS = {
    "append": ({"bank"}, append, ["append", "--hub", "bank", "--kind", "k"]),
    "read": ({"reader", "prover"}, read, ["read", "-n", "1"]),
    "subscribe": ({"reader", "prover"}, follow, ["tail", "-n", "1"]),
    "proof": ({"prover"}, prove, ["prove", "0", "--out", "-"]),
    "health": ({"operator"}, health, ["health"]),
    "settings": ({"operator"}, settings, ["config", "show", "--server", "SERVER"]),
}


def test_every_right_by_the_clients(secured: Secured) -> None:
    tokens: dict[str, str] = {}
    text = ""
    for name, rights in RIGHTS.items():
        tokens[name], line = token(name)
        text += f"identity {name} {line}\n" + (f"grant {name} {rights}\n" if rights else "")
    secured.write(text)
    with secured.serve(*SIGNING, "--signing-key", str(secured.directory / "key")) as server:
        assert command(secured, server, None, tokens["bank"], "append", "--hub", "bank", "--kind", "k")[0] == 0
        print(f"{'':10}" + " ".join(f"{name:20}" for name in REQUESTS))
        address = f"hubaudits://127.0.0.1:{server.port}"
        for name in RIGHTS:
            row = []
            for request, (people, call, words) in REQUESTS.items():
                expected = "welcome" if name in people else "NOT_PERMITTED"
                status, said = command(secured, server, None, tokens[name], *(address if word == "SERVER" else word for word in words))
                wanted_status, sentence = COMMAND[expected]
                assert status == wanted_status and sentence in said, (name, request, status, said)
                raised = python(secured, server, None, tokens[name], call, **({"hub": "bank"} if request == "append" else {}))
                wanted = PYTHON[expected]
                assert raised is None if wanted is None else type(raised) is wanted, (name, request, repr(raised))
                row.append(f"{status}, {type(raised).__name__ if raised else 'done'}")
            print(f"{name:10}" + " ".join(f"{cell:20}" for cell in row))


def test_who_may_not_read_a_record_is_told_so_when_it_is_to_be_proven_or_verified(secured: Secured) -> None:
    """Record 0 is the log's own, about the access file."""
    text, line = token("narrow")
    secured.write(f"identity narrow {line}\ngrant narrow publish hubs=bank prove read hubs=bank\n")
    with secured.serve(*SIGNING, "--signing-key", str(secured.directory / "key")) as server:
        assert command(secured, server, None, text, "append", "--hub", "bank", "--kind", "k")[0] == 0
        status, said = command(secured, server, None, text, "prove", "0", "--out", "-")
        assert status == 5 and "record 0" in said and "has no right to read it" in said, said
        status, said = command(secured, server, None, text, "verify")
        assert status == 5 and "not verified: record 0 did not come" in said and "read hubs=*,hubaudit" in said, said
        raised = python(secured, server, None, text, prove)
        assert type(raised) is errors.NotPermitted and "record 0" in str(raised), raised

        async def proven(client: hubaudit.Client) -> None:
            appended = await client.append([{"kind": "k"}, {"kind": "l"}], proven=True)
            assert [receipt.sequence for receipt in appended.receipts] == list(appended.sequences)

        assert python(secured, server, None, text, proven, hub="bank") is None
