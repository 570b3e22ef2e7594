"""The log records who read it, who was refused, and what was changed about access; refusals make few records, however many they are."""

from __future__ import annotations

import json
import pathlib
import secrets
import ssl
import time

import pytest
from secured import Secured, reload, token
from test_access import answer, ask
from wire import Connection, Server

FLOOD = 100_000


@pytest.fixture
def secured(tmp_path: pathlib.Path) -> Secured:
    return Secured(tmp_path)


class Trail:
    """Somebody who reads the log's own records."""

    def __init__(self, server: Server, connect: object = None, **hello: object) -> None:
        self.connection = connect if isinstance(connect, Connection) else server.connect()
        self.connection.hello(**hello)
        self.seen = 0

    def records(self) -> list[dict]:
        return [json.loads(record.body.custom.json) for record in self.connection.read_all() if record.header.hub == "hubaudit"]

    def await_record(self, **wanted: object) -> dict:
        """The first record that has all of that; waits for it."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for record in self.records():
                if all(record.get(key) == value for key, value in wanted.items()):
                    return record
            time.sleep(0.02)
        raise AssertionError(f"no record has {wanted}: {self.records()[-5:]}")


def test_who_read_what(secured: Secured) -> None:
    (hub, hub_line), (auditor, auditor_line), (own, own_line) = token("hub"), token("auditor"), token("own")
    people = f"identity hub {hub_line}\nidentity auditor {auditor_line}\nidentity own {own_line}\n"
    rights = "grant hub publish hubs=*\ngrant auditor read hubs=bank\ngrant own read hubs=hubaudit\n"
    secured.write(people + rights)
    flags = ("--access", str(secured.access))
    with Server(secured.directory / "log", *flags) as server:
        publisher = server.connect(hub="bank", token=hub)
        for number in range(5):
            publisher.append({"kind": "k", "n": number})
        trail = Trail(server, token=own)
        assert trail.records()[0]["kind"] == "access_changed" and len(trail.records()[0]["sha256"]) == 64

        reader = server.connect(token=auditor)
        frame = reader.request()
        frame.read.start.earliest = True
        frame.read.filter.kinds.append("k")
        reader.send(frame)
        while answer(reply := reader.receive()) != "read_end":
            assert reply is not None
        found = trail.await_record(kind="read_closed", principal="token:auditor")
        assert found["records"] == 5 and found["request"] == "read" and found["outcome"] == "end" and found["filter"] == {"kinds": ["k"]}
        assert found["from"] == 0 and found["to"] >= 5

        # A subscription is one record, when it ends: also for somebody who follows the log's own records.
        follower = server.connect(token=own)
        frame = follower.request()
        frame.subscribe.start.earliest = True
        frame.subscribe.credit = 1 << 20
        follower.send(frame)
        assert answer(follower.receive()) == "records"
        follower.socket.close()
        closed = trail.await_record(kind="read_closed", principal="token:own", request="subscribe")
        assert closed["outcome"] in ("end", "the connection closed") and closed["records"] > 0

        # What has no right is refused, and recorded once a minute for each right.
        for _ in range(20):
            assert ask(reader, "health") == "NOT_PERMITTED" and ask(reader, "proof") == "NOT_PERMITTED"
        denied = [record for record in trail.records() if record["kind"] == "access_denied"]
        assert sorted(record["right"] for record in denied) == ["operate", "prove"]
        assert all(record["principal"] == "token:auditor" for record in denied)

        # Changes of the access file: by name.
        secured.write(people + rights + "identity new unix 1\ngrant auditor prove\n")
        reload(server)
        changed = trail.await_record(kind="access_changed", added=["new"])
        assert changed["changed"] == ["auditor"] and "removed" not in changed
        secured.write(people.replace("identity hub", "identity other") + rights.replace("hub publish", "other publish"))
        reload(server)
        assert answer(publisher.receive()) == "CREDENTIAL_EXPIRED"
        trail.await_record(kind="credential_expired", principal="token:hub")
        trail.await_record(kind="access_changed", removed=["hub", "new"])
        # No secret, nor its digest, is in the log.
        text = json.dumps(trail.records())
        for secret, line in ((hub, hub_line), (auditor, auditor_line), (own, own_line)):
            assert secret not in text and line.rpartition(":")[2] not in text


def test_an_order_to_erase_names_who_sent_it(secured: Secured) -> None:
    import subprocess

    from wire import BINARY

    text, line = token("e")
    secured.write(f"identity e {line}\ngrant e publish hubs=h read hubs=*,hubaudit prove erase operate\n")
    key = secured.directory / "key"
    flags = ("--access", str(secured.access), "--signing-key", str(key), "--make-key", "--origin", "test.example/log")
    with Server(secured.directory / "log", *flags) as server:
        connection = server.connect(hub="h", token=text)
        connection.append({"kind": "k", "secret": "x"})
        sequence = connection.read_all()[-1].header.sequence
        (secured.directory / "token").write_text(text)
        (secured.directory / "token").chmod(0o600)
        done = subprocess.run(
            [BINARY, "erase", str(sequence), "--server", server.address, "--token-file", str(secured.directory / "token"),
             "--signing-key", str(key), "--reason", "asked for", "--by", "somebody"],
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        kinds = [(record["kind"], record.get("principal")) for record in Trail(server, token=text).records()]
        assert kinds.index(("erase_ordered", "token:e")) < kinds.index(("record_erased", None))


def test_a_flood_of_refusals_makes_few_records(secured: Secured) -> None:
    """A hundred thousand refused requests and connections: the log grows by its cap, and memory stays."""
    (text, line), (own, own_line) = token("t"), token("own")
    secured.write(f"identity t {line}\nidentity own {own_line}\ngrant own read hubs=hubaudit\n")
    with Server(secured.directory / "log", "--access", str(secured.access)) as server:
        trail = Trail(server, token=own)
        begin, minutes = time.monotonic(), 1
        before = memory(server)
        connection = server.connect(token=text)
        asked = 0
        while asked < FLOOD:
            # A few hundred in flight; the answers are counted.
            for _ in range(500):
                frame = connection.request()
                frame.health.SetInParent()
                connection.send(frame)
            for _ in range(500):
                assert answer(connection.receive()) == "NOT_PERMITTED"
            asked += 500
        for _ in range(1000):
            stranger = Connection(server.port)
            frame = stranger.request()
            frame.hello.version, frame.hello.token = 1, f"hat_x_{secrets.token_hex(32)}"
            assert answer(stranger.ask(frame)) == "UNAUTHENTICATED"
            stranger.socket.close()
        minutes += int((time.monotonic() - begin) // 60) + 1
        denied = [record for record in trail.records() if record["kind"] == "access_denied"]
        # In each minute: ten of nobody known, one of the identity, and one of each that counts the rest.
        assert 0 < len(denied) <= minutes * 13, len(denied)
        assert sum("cause" in record for record in denied) <= minutes * 10
        # The server's own log does not grow with the flood either.
        lines = [entry for entry in server.log if entry.get("message") in ("unauthenticated", "connection ended")]
        assert 0 < len(lines) <= minutes * 20, len(lines)
        grown = memory(server) - before
        print(f"{asked + 1000} refusals, {len(denied)} records, memory grew by {grown / 1e6:.1f} MB")
        assert grown < 64 << 20


def test_the_metrics_count_refusals_and_records(secured: Secured) -> None:
    text, line = token("t")
    secured.write(f"identity t {line}\ngrant t operate\n")
    with secured.serve() as server:
        connection = secured.connect(server)
        connection.hello(token=text)
        for _ in range(3):
            assert ask(connection, "proof") == "NOT_PERMITTED"
        import urllib.request

        context = ssl.create_default_context(cafile=str(secured.root.cert))
        request = urllib.request.Request(f"https://{server.http_address}/metrics", headers={"Authorization": f"Bearer {text}"})
        with urllib.request.urlopen(request, context=context, timeout=30) as reply:  # noqa: S310
            page = reply.read().decode()
        assert 'hubaudit_denied_total{right="prove"} 3' in page and "hubaudit_access_records_suppressed_total 2" in page
        expiry = next(float(line.split()[1]) for line in page.splitlines() if line.startswith("hubaudit_certificate_expiry"))
        assert 0 < expiry - time.time() < 86_400


def test_required_records_of_reads(secured: Secured) -> None:
    import subprocess

    from wire import BINARY

    done = subprocess.run(
        [BINARY, "serve", "--data", str(secured.directory / "log"), "--audit-reads", "always"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 64 and "is not one of best-effort, required" in done.stderr


def memory(server: Server) -> int:
    """Resident bytes."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
