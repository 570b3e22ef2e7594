"""Certificates, tokens and rights exchanged again and again under load: no append fails, and what is revoked ends."""

from __future__ import annotations

import pathlib
import threading
import time

from hubaudit._proto import frames_pb2
from secured import BANK, Secured, SecureConnection, reload, token
from wire import Server

ROUNDS = 100


class Publisher(threading.Thread):
    """Appends without a pause, over one connection; exchanges what it shows when it is told to."""

    def __init__(self, connection: SecureConnection, hub: str, **hello: object) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.appended = 0
        self.failure: BaseException | None = None
        self.ends = False
        self._new: list[SecureConnection | str] = []
        self._taken = threading.Event()
        connection.hello(hub=hub, **hello)
        self._hub = hub

    def exchange(self, new: SecureConnection | str) -> None:
        """A token is shown on the connection; another connection takes its place. Returns when that is done."""
        self._taken.clear()
        self._new.append(new)
        assert self._taken.wait(60), self.failure
        assert self.failure is None, self.failure

    def run(self) -> None:
        try:
            while not self.ends:
                if self._new:
                    new = self._new.pop()
                    if isinstance(new, str):
                        frame = self.connection.request()
                        frame.authenticate.token = new
                        assert self.connection.ask(frame).WhichOneof("reply") == "authenticated"
                    else:
                        new.hello(hub=self._hub)
                        self.connection = new
                    self._taken.set()
                reply = self.connection.append({"kind": "k", "n": self.appended})
                assert reply.WhichOneof("reply") == "appended", reply
                self.appended += 1
        except BaseException as error:  # noqa: BLE001
            self.failure = error
            self._taken.set()


def ended(connection: SecureConnection) -> frames_pb2.ServerFrame:
    """What a connection that has nothing under way is told last."""
    frame = connection.receive()
    assert frame is not None and connection.receive() is None
    return frame


def test_exchanged_under_load(tmp_path: pathlib.Path) -> None:
    secured = Secured(tmp_path)
    secret, line = token("t")
    victim, victim_line = token("victim")
    bank = secured.root.issue("bank-0", uris=(BANK,))
    rights = "grant bank publish hubs=bank\ngrant ci publish hubs=ci\ngrant victim publish hubs=v\n"

    def write(*lines: str) -> None:
        secured.write("\n".join([f"identity bank cert {BANK}", *lines]) + "\n" + rights)

    write(f"identity ci {line}", f"identity victim {victim_line}")
    slowest = 0.0
    with secured.serve() as server:
        by_token = Publisher(secured.connect(server), "ci", token=secret)
        by_certificate = Publisher(secured.connect(server, bank), "bank")
        publishers = (by_token, by_certificate)
        for publisher in publishers:
            publisher.start()
        for number in range(ROUNDS):
            revoked = secured.connect(server)
            revoked.hello(hub="v", token=victim)
            match number % 4:
                case 0:
                    # The server's certificate.
                    new = secured.root.issue_server(f"server-{number}")
                    for old, made in ((secured.certificate.cert, new.cert), (secured.certificate.key, new.key)):
                        made.replace(old)
                    certificate = [f"identity ci {line}"]
                case 1:
                    # The token's secret: both, then the new one alone.
                    secret, new_line = token("t")
                    write(f"identity ci {line}", f"identity ci {new_line}", f"identity victim {victim_line}")
                    reload(server)
                    by_token.exchange(secret)
                    line = new_line
                    certificate = [f"identity ci {line}"]
                case 2:
                    # The client's certificate: a new connection, then the old one is revoked.
                    fresh = secured.root.issue(f"bank-{number}", uris=(BANK,))
                    old_connection = by_certificate.connection
                    by_certificate.exchange(secured.connect(server, fresh))
                    certificate = [f"identity ci {line}", f"revoke serial {bank.serial:x}"]
                    bank = fresh
                case _:
                    certificate = [f"identity ci {line}"]
            victim_before = victim
            victim, victim_line = token("victim")
            write(*certificate, f"identity victim {victim_line}")
            begin = time.monotonic()
            reload(server)
            assert ended(revoked).error.code == frames_pb2.Error.CODE_CREDENTIAL_EXPIRED, victim_before
            if number % 4 == 2:
                assert ended(old_connection).error.code == frames_pb2.Error.CODE_CREDENTIAL_EXPIRED
            slowest = max(slowest, time.monotonic() - begin)
            for publisher in publishers:
                assert publisher.failure is None, publisher.failure
        for publisher in publishers:
            publisher.ends = True
            publisher.join(60)
            assert publisher.failure is None and publisher.appended > ROUNDS
        print(f"{ROUNDS} exchanges, {sum(one.appended for one in publishers)} appends; revoked connections ended within {slowest * 1000:.0f} ms of the signal")
        assert stored(server, secured) == sum(one.appended for one in publishers)


def stored(server: Server, secured: Secured) -> int:
    """The records of both publishers, read by somebody who may."""
    text, line = token("r")
    secured.write(f"identity r {line}\ngrant r read hubs=bank,ci\n")
    reload(server)
    connection = secured.connect(server)
    connection.hello(token=text)
    return len(connection.read_all())
