"""Who gets in and what they may do: every way to show a credential, right and wrong, and every request, over TLS and Unix sockets."""

from __future__ import annotations

import datetime
import os
import pathlib
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from certificates import Authority, Certificate
from credentials import NO_HANDSHAKE, UNAUTHENTICATED, credential_rows
from hubaudit._proto import frames_pb2
from secured import BANK, Secured, SecureConnection, UnixConnection, reload, token
from wire import Connection, Server



def answer(frame: frames_pb2.ServerFrame | None) -> str:
    """What came: the code of an error, or the kind of a reply."""
    if frame is None:
        return "the end"
    kind = frame.WhichOneof("reply")
    if kind == "error":
        return frames_pb2.Error.Code.Name(frame.error.code).removeprefix("CODE_")
    return str(kind)


def greeted(connect: Callable[[], Connection], **hello: object) -> str:
    try:
        connection = connect()
        frame = connection.request()
        frame.hello.version = 1
        for name, value in hello.items():
            setattr(frame.hello, name, value)
        connection.send(frame)
        return answer(connection.receive())
    except (ssl.SSLError, ConnectionError):
        return NO_HANDSHAKE


@pytest.fixture
def secured(tmp_path: pathlib.Path) -> Secured:
    return Secured(tmp_path)


# --- Credentials


def test_credentials(secured: Secured) -> None:
    """Every row: the answer to a hello, and the cause that the server's log names."""
    rows = credential_rows(secured)
    with secured.serve("--log-level", "debug") as server:
        for name, options, shown, expected, cause in rows:
            known = len(server.log)
            got = greeted(lambda: secured.connect(server, **options), **({"token": shown} if shown else {}))  # noqa: B023
            print(f"{name:36} {got:20} {cause}")
            assert got == expected, name
            if cause:
                assert cause in causes(server, known), (name, server.log[known:])
        with pytest.raises((AssertionError, EOFError, OSError)):
            Connection(server.port).hello()
        # Nobody's bytes did harm.
        assert secured.connect(server, secured.root.issue("again", uris=(BANK,))).hello().identity == f"cert:{BANK}"
        assert server.stop() == 0


def causes(server: Server, known: int) -> set[str]:
    """The causes that the server's log names from a line on; waits for one."""
    import time

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = {entry["cause"] for entry in server.log[known:] if "cause" in entry}
        if found:
            return found
        time.sleep(0.01)
    return set()


def test_a_refused_client_can_read_why(secured: Secured) -> None:
    """TLS 1.3 tells a client that its certificate is refused when it has sent its first bytes already: they must not cost it the alert."""
    stranger = Authority(secured.directory, "stranger").issue("foreign", uris=(BANK,))
    secured.write(f"identity bank cert {BANK}\n")
    with secured.serve() as server:
        for _ in range(30):
            connection = secured.connect(server, stranger)
            # More than one packet, the last ones when the server has refused already.
            for _ in range(20):
                connection.socket.sendall(bytes(100))
            with pytest.raises(ssl.SSLError, match="alert"):
                connection.socket.recv(100)
            connection.socket.close()


def test_unix_users(secured: Secured) -> None:
    path = str(secured.directory / "socket")
    flags = ("--access", str(secured.access))
    secured.write(f"identity me unix {os.getuid()}\ngrant me publish hubs=h read hubs=h\n")
    with Server(secured.directory / "log", *flags, listen=f"unix:{path}") as server:
        connection = UnixConnection(path)
        assert connection.hello(hub="h").identity == f"unix:{os.getuid()}"
        assert answer(connection.append({"kind": "a"})) == "appended"
        assert connection.read_all()[0].header.principal == f"unix:{os.getuid()}"
        # Another user: the same socket, and a file that names somebody else.
        secured.write(f"identity you unix {os.getuid() + 1}\n")
        reload(server)
        assert answer(connection.receive()) == "CREDENTIAL_EXPIRED"
        assert greeted(lambda: UnixConnection(path)) == UNAUTHENTICATED
        # A token counts where the user is not asked for.
        text, line = token("t")
        secured.write(f"identity t {line}\n")
        reload(server)
        assert greeted(lambda: UnixConnection(path), token=text) == "welcome"


def test_resumed_sessions(secured: Secured) -> None:
    """A resumed TLS session skips the verification of its certificate; hubaudit looks at it all the same."""
    bank = secured.root.issue("bank", uris=(BANK,))
    secured.write(f"identity bank cert {BANK}\ngrant bank publish hubs=h\n")
    with secured.serve() as server:
        first = secured.connect(server, bank)
        assert first.hello(hub="h").identity == f"cert:{BANK}"
        # Tickets come behind the handshake, so with the first answer.
        session = first.socket.session  # type: ignore[attr-defined]
        assert session is not None and session.has_ticket

        def resumed() -> SecureConnection:
            connection = SecureConnection.__new__(SecureConnection)
            Connection.__init__(connection, server.port)
            connection.socket = first.socket.context.wrap_socket(  # type: ignore[attr-defined]
                connection.socket, server_hostname="127.0.0.1", session=session)
            return connection

        again = resumed()
        assert again.socket.session_reused  # type: ignore[attr-defined]
        assert again.hello(hub="h").identity == f"cert:{BANK}"
        # Revoked: the ticket is as good as before, the certificate is not.
        secured.write(f"identity bank cert {BANK}\nrevoke serial {bank.serial:x}\n")
        reload(server)
        assert greeted(resumed) == UNAUTHENTICATED
        # A new certificate of the server ends all tickets.
        secured.write(f"identity bank cert {BANK}\ngrant bank publish hubs=h\n")
        new = secured.root.issue_server("other")
        for old, made in ((secured.certificate.cert, new.cert), (secured.certificate.key, new.key)):
            old.write_bytes(made.read_bytes())
        reload(server)
        fresh = resumed()
        assert not fresh.socket.session_reused  # type: ignore[attr-defined]
        assert fresh.hello(hub="h").identity == f"cert:{BANK}"


# --- Rights


@dataclass
class Person:
    rights: str
    may: frozenset[str]


PEOPLE = {
    "nobody": Person("", frozenset()),
    "bank": Person("publish hubs=bank,bank-*", frozenset({"hello bank", "hello bank-", "hello bank-2", "append"})),
    "reader": Person("read hubs=bank", frozenset({"read", "subscribe"})),
    "prover": Person("prove", frozenset({"checkpoint", "proof"})),
    "eraser": Person("erase", frozenset({"erase"})),
    "operator": Person("operate", frozenset({"health", "settings"})),
}
ALWAYS = frozenset({"hello", "ping", "schema", "unsubscribe", "credit"})


def ask(connection: Connection, request: str) -> str:
    frame = connection.request()
    match request:
        case "append":
            frame.append.events.add().custom = b'{"kind": "k"}'
        case "append, proven":
            frame.append.events.add().custom = b'{"kind": "k"}'
            frame.append.proven = True
        case "read":
            frame.read.start.earliest = True
        case "subscribe":
            frame.subscribe.start.earliest = True
            frame.subscribe.credit = 1 << 16
        case "unsubscribe":
            frame.unsubscribe.subscription = 99
            connection.send(frame)
            frame = connection.request()
            frame.ping.SetInParent()
        case "credit":
            frame.credit.subscription, frame.credit.bytes = 99, 1
            connection.send(frame)
            frame = connection.request()
            frame.ping.SetInParent()
        case "checkpoint":
            frame.checkpoint.SetInParent()
        case "proof":
            frame.proof.inclusion = 0
        case "erase":
            frame.erase.statement = b"none"
        case _:
            getattr(frame, request).SetInParent()
    reply = connection.ask(frame)
    # What comes with the right to erase, and without a signed statement.
    return "unsigned" if "statement signed" in reply.error.message else answer(reply)


@pytest.fixture
def signed(secured: Secured) -> tuple[str, ...]:
    """Flags of a server that signs."""
    return ("--signing-key", str(secured.directory / "key"), "--make-key", "--origin", "test.example/log")


def test_rights(secured: Secured, signed: tuple[str, ...]) -> None:
    """Each identity has one right, and gets what it allows and nothing else."""
    hellos = {"hello": None, "hello bank": "bank", "hello bank-": "bank-", "hello bank-2": "bank-2", "hello banks": "banks", "hello other": "other"}
    requests = ["append", "read", "subscribe", "checkpoint", "proof", "erase", "health", "settings", "ping", "schema", "unsubscribe", "credit"]
    # What comes where the right is there.
    allowed = {
        "append": {"appended"}, "read": {"records"}, "subscribe": {"records"}, "checkpoint": {"checkpoint"}, "proof": {"proof"},
        "erase": {"unsigned"}, "health": {"health"}, "settings": {"settings"}, "ping": {"pong"}, "schema": {"schema"},
        "unsubscribe": {"pong"}, "credit": {"pong"},
    }
    tokens: dict[str, str] = {}
    text = ""
    for name, person in PEOPLE.items():
        tokens[name], line = token(name)
        text += f"identity {name} {line}\n" + (f"grant {name} {person.rights}\n" if person.rights else "")
    secured.write(text)
    with secured.serve(*signed) as server:
        first = secured.connect(server)
        first.hello(hub="bank", token=tokens["bank"])
        assert answer(first.append({"kind": "k"})) == "appended"
        print(f"{'':10}" + " ".join(f"{name:13}" for name in [*hellos, *requests]))
        for name, person in PEOPLE.items():
            row = []
            for column, hub in hellos.items():
                got = greeted(lambda: secured.connect(server), token=tokens[name], **({"hub": hub} if hub else {}))  # noqa: B023
                row.append(got)
                assert got == ("welcome" if column in person.may | ALWAYS else "NOT_PERMITTED"), (name, column)
            for request in requests:
                connection = secured.connect(server)
                connection.hello(token=tokens[name], **({"hub": "bank"} if "append" in person.may else {}))
                got = ask(connection, request)
                row.append(got)
                if request in person.may | ALWAYS:
                    assert got in allowed[request], (name, request)
                elif request == "append":
                    # Who may not publish got in without a hub.
                    assert got == "INVALID_REQUEST"
                else:
                    assert got == "NOT_PERMITTED", (name, request)
            print(f"{name:10}" + " ".join(f"{got:13}" for got in row))
        # Answers meet rights too: no checkpoint comes to somebody who may not prove.
        connection = secured.connect(server)
        connection.hello(hub="bank", token=tokens["bank"], checkpoints=True)
        assert not connection.append({"kind": "k"}).appended.HasField("checkpoint")
        assert ask(connection, "append, proven") == "NOT_PERMITTED"


def test_producers_belong_to_principals(secured: Secured) -> None:
    (one, one_line), (two, two_line) = token("one"), token("two")
    secured.write(f"identity a {one_line}\nidentity b {two_line}\ngrant a publish hubs=h\ngrant b publish hubs=h\n")
    with secured.serve() as server:
        connection = secured.connect(server)
        connection.hello(hub="h", producer="p", token=one)
        assert answer(connection.append({"kind": "k"}, number=1)) == "appended"
        assert greeted(lambda: secured.connect(server), hub="h", producer="p", token=two) == "NOT_PERMITTED"
        assert greeted(lambda: secured.connect(server), hub="h", producer="p2", token=two) == "welcome"
        assert server.stop() == 0
    # The log remembers whose they are.
    with secured.serve() as server:
        assert greeted(lambda: secured.connect(server), hub="h", producer="p", token=two) == "NOT_PERMITTED"
        assert greeted(lambda: secured.connect(server), hub="h", producer="p", token=one) == "welcome"


def test_the_logs_own_records_are_named(secured: Secured) -> None:
    """`*` is every hub but the log's own."""
    (all_hubs, all_line), (own, own_line) = token("all"), token("own")
    secured.write(f"""
        identity hub   {all_line}
        identity audit {own_line}
        grant hub   publish hubs=* read hubs=*
        grant audit read hubs=*,hubaudit
    """)
    with secured.serve() as server:
        first = secured.connect(server)
        first.hello(hub="h", producer="p", producer_next=1, token=all_hubs)
        first.append({"kind": "a"}, number=1)
        # Who takes it over makes a record of the log's own.
        second = secured.connect(server)
        second.hello(hub="h", producer="p", token=all_hubs)
        second.append({"kind": "b"}, number=2)
        third = secured.connect(server)
        third.hello(token=own)
        kinds = [record.header.kind for record in third.read_all()]
        assert "producer_taken_over" in kinds
        assert {record.header.hub for record in second.read_all()} == {"h"}
        assert greeted(lambda: secured.connect(server), hub="hubaudit", token=all_hubs) == "INVALID_REQUEST"


# --- Reload


def test_what_is_revoked_ends_and_the_rest_goes_on(secured: Secured) -> None:
    (bank, bank_line), (auditor, auditor_line), (other, other_line) = token("bank"), token("auditor"), token("other")
    people = f"identity bank {bank_line}\nidentity auditor {auditor_line}\nidentity other {other_line}\n"
    secured.write(people + "grant bank publish hubs=*\ngrant auditor read hubs=*\ngrant other read hubs=bank\n")
    with secured.serve() as server:
        publisher = secured.connect(server)
        publisher.hello(hub="bank", token=bank)
        publisher.append({"kind": "a"})
        followers = {}
        for name, text in (("auditor", auditor), ("other", other)):
            connection = secured.connect(server)
            connection.hello(token=text)
            frame = connection.request()
            frame.subscribe.start.latest = True
            frame.subscribe.credit = 1 << 20
            assert answer(connection.ask(frame)) == "subscription"
            followers[name] = connection
        # The auditor may read less, and bank may not publish any more; the other's rights stay.
        secured.write(people + "grant auditor read hubs=bank\ngrant other read hubs=bank\ngrant bank read hubs=bank\n")
        reload(server)
        ended = followers["auditor"].receive()
        assert ended.subscription.state == frames_pb2.SubscriptionState.STATE_ENDED
        assert ended.subscription.error.code == frames_pb2.Error.CODE_NOT_PERMITTED and ended.subscription.error.retry
        assert answer(publisher.append({"kind": "b"})) == "NOT_PERMITTED"
        # The connections themselves went on.
        assert ask(followers["auditor"], "read") == "records" and len(publisher.read_all()) == 1
        secured.write(people + "grant bank publish hubs=*\ngrant auditor read hubs=*\ngrant other read hubs=bank\n")
        reload(server)
        assert answer(publisher.append({"kind": "c"})) == "appended"
        pushed = followers["other"].receive()
        while answer(pushed) != "records":
            pushed = followers["other"].receive()
        assert [record.body.custom.json for record in pushed.records.batch.records] == [b'{"kind": "c"}']
        # A file that is not understood changes nothing.
        secured.write(people + "grant bank publsh hubs=*\n")
        reload(server)
        assert any("publsh" in entry.get("reason", "") and ":4:" in entry["reason"] for entry in server.log)
        assert answer(publisher.append({"kind": "d"})) == "appended"
        # An identity that is gone is out, at once.
        secured.write(f"identity auditor {auditor_line}\ngrant auditor read hubs=*\n")
        reload(server)
        assert answer(publisher.receive()) == "CREDENTIAL_EXPIRED" and publisher.receive() is None


def test_a_root_that_is_trusted_no_more(secured: Secured) -> None:
    bank = secured.root.issue("bank", uris=(BANK,))
    text, line = token("t")
    secured.write(f"identity bank cert {BANK}\nidentity t {line}\n")
    other = Authority(secured.directory, "other")
    with secured.serve() as server:
        by_certificate, by_token = secured.connect(server, bank), secured.connect(server)
        by_certificate.hello()
        by_token.hello(token=text)
        roots = secured.directory / "roots"
        ca = secured.root.cert.read_bytes()
        # Both roots: everybody stays.
        secured.root.cert.write_bytes(ca + other.pem)
        reload(server)
        assert ask(by_certificate, "ping") == "pong"
        secured.root.cert.write_bytes(other.pem)
        roots.write_bytes(ca)
        reload(server)
        assert answer(by_certificate.receive()) == "CREDENTIAL_EXPIRED"
        assert ask(by_token, "ping") == "pong"
        assert greeted(lambda: SecureConnection(server.port, roots, bank)) == NO_HANDSHAKE
        assert greeted(lambda: SecureConnection(server.port, roots, other.issue("new", uris=(BANK,)))) == "welcome"


# --- Expiry and renewal


def test_a_connection_ends_when_its_token_expires_unless_it_shows_another(secured: Secured) -> None:
    import time

    until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (old, old_line), (_, other_line) = token("t"), token("x")
    new, new_line = token("t")
    stranger, stranger_line = token("s")
    secured.write(
        f"identity a {old_line} until {until}\nidentity a {new_line}\nidentity x {other_line}\nidentity s {stranger_line}\ngrant a publish hubs=h\n")
    with secured.serve() as server:
        ends, stays = secured.connect(server), secured.connect(server)
        expires = ends.hello(hub="h", token=old).expires_at
        assert 0 < expires - time.time_ns() < 3_000_000_000
        stays.hello(hub="h", token=old)
        frame = stays.request()
        frame.authenticate.token = new
        reply = stays.ask(frame).authenticated
        assert reply.identity == "token:t" and not reply.HasField("expires_at")
        # Somebody else's token ends the connection.
        wrong = secured.connect(server)
        wrong.hello(token=old)
        frame = wrong.request()
        frame.authenticate.token = stranger
        assert answer(wrong.ask(frame)) == UNAUTHENTICATED
        assert answer(ends.receive()) == "CREDENTIAL_EXPIRED"
        assert time.time_ns() >= expires
        assert answer(stays.append({"kind": "k"})) == "appended"
        assert greeted(lambda: secured.connect(server), token=old) == UNAUTHENTICATED


# --- Quotas


def test_quotas(secured: Secured) -> None:
    text, line = token("q")
    secured.write(f"""
        identity q {line}
        grant q publish hubs=h read hubs=*
        quota q connections=2 producers=1 subscriptions=1 filter-bytes=4096 bytes=100kB/s
    """)
    with secured.serve() as server:
        one, two = secured.connect(server), secured.connect(server)
        one.hello(hub="h", producer="p", token=text)
        # One producer is connected; without one there is room.
        assert greeted(lambda: secured.connect(server), hub="h", producer="p2", token=text) == "OVERLOADED"
        two.hello(hub="h", token=text)
        assert greeted(lambda: secured.connect(server), token=text) == "OVERLOADED"
        assert ask(one, "subscribe") in ("records", "subscription")
        assert ask(two, "subscribe") == "OVERLOADED"
        frame = two.request()
        frame.read.start.earliest = True
        frame.read.filter.kinds.extend(f"kind number {number}" for number in range(500))
        assert answer(two.ask(frame)) == "OVERLOADED"
        # More than a second's worth at once is refused, by name; nothing of it is stored.
        refused = [reply for reply in (two.append({"kind": "k", "text": "x" * 60_000}) for _ in range(5)) if answer(reply) == "OVERLOADED"]
        assert refused and "bytes" in refused[0].error.message and refused[0].error.retry
        one.socket.close()
        # What the closed connection had is free again.
        third = secured.connect(server)
        while (got := greeted(lambda: third, hub="h", producer="p2", token=text)) == "OVERLOADED":
            third = secured.connect(server)
        assert got == "welcome"


def test_settings_that_do_not_go_together(secured: Secured) -> None:
    import subprocess

    from wire import BINARY

    secured.write("")
    cases = [
        (["--listen", "0.0.0.0:0"], "not a loopback address"),
        (["--listen", "0.0.0.0:0", "--access", str(secured.access)], "not a loopback address"),
        (["--tls-cert", str(secured.certificate.cert)], "--tls-key"),
        (["--tls-key", str(secured.certificate.key)], "--tls-cert"),
        (["--client-ca", str(secured.root.cert)], "--tls-cert"),
        (["--tls-cert", str(secured.certificate.cert), "--tls-key", str(secured.root.issue_server("n").key)], "is the key that of the certificate"),
        (["--tls-cert", str(secured.certificate.key), "--tls-key", str(secured.certificate.key)], "no certificate"),
        (["--access", str(secured.directory / "missing")], "No such file"),
        (["--access", str(secured.directory)], "not a file"),
    ]
    for flags, sentence in cases:
        done = subprocess.run(
            [BINARY, "serve", "--data", str(secured.directory / "log"), "--http-listen", "off", *flags], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 64 and sentence in done.stderr, (flags, done.stderr)
        assert not (secured.directory / "log").exists()
    secured.access.chmod(0o666)
    done = subprocess.run([BINARY, "serve", "--data", str(secured.directory / "log"), "--access", str(secured.access)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 64 and "chmod go-w" in done.stderr
