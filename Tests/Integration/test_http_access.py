"""Who may ask what over HTTP: every path, every way to show a credential, over real TLS and over plain HTTP."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.client
import json
import pathlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
from certificates import SERVER, Authority, Certificate
from peers import eventually
from secured import BANK, Secured, reload, token
from wire import Server
from witness import keygen

HOUR = datetime.timedelta(hours=1)
RECORDS = 5
NO_HANDSHAKE = "no handshake"
OPEN, ANYBODY, OPERATE, PROVE, READ = "open", "anybody", "operate", "prove", "read"
# What each path needs, and the status for whoever may ask it.
ROUTES = {
    "/livez": (OPEN, 200),
    "/readyz": (OPEN, 200),
    "/readyz?verbose=1": (OPEN, 200),
    "/": (ANYBODY, 200),
    "/nothing": (ANYBODY, 404),
    "//metrics": (ANYBODY, 404),
    "/readyz?verbose": (OPERATE, 200),
    "/healthz": (OPERATE, 200),
    "/healthz?verbose": (OPERATE, 200),
    "/metrics": (OPERATE, 200),
    "/metrics?x": (OPERATE, 200),
    "/checkpoint": (PROVE, 200),
    f"/tile/0/000.p/{RECORDS}": (PROVE, 200),
    "/tile/0/999": (PROVE, 404),
    "/tile/nonsense": (PROVE, 400),
    f"/tile/entries/000.p/{RECORDS}": (READ, 200),
    "/tile/entries/999": (READ, 404),
}
RIGHTS = {
    "nothing": set[str](),
    "operator": {OPERATE},
    "prover": {PROVE},
    "reader": {READ},
    # Not what `/tile/entries` has, for that is everything.
    "partial": set[str](),
    "denied": set[str](),
}
GRANTS = """
    grant operator operate
    grant prover   prove
    grant reader   read hubs=*,hubaudit
    grant partial  read hubs=*
    grant denied   read hubs=*,hubaudit
    deny  denied   read hubs=hr-*
    grant bank     publish hubs=bank  prove
"""
URI = "spiffe://test.example/"


class Site:
    """A secured server with a signed log, and certificates and tokens of its identities."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.secured = Secured(directory)
        self.root = self.secured.root
        self.bank = self.root.issue("bank", uris=(BANK,))
        self.certificates = {name: self.root.issue(name, uris=(URI + name,)) for name in RIGHTS}
        self.tokens = {name: token(name) for name in RIGHTS}
        keygen(directory / "log.key", "log.example/hubs")
        self.write()

    def lines(self) -> str:
        lines = [f"identity bank cert {BANK}"]
        for name in RIGHTS:
            lines += [f"identity {name} cert {URI}{name}", f"identity {name} {self.tokens[name][1]}"]
        return "\n".join(lines) + "\n" + GRANTS

    def write(self, more: str = "") -> None:
        self.secured.write(self.lines() + more)

    @contextlib.contextmanager
    def serve(self, *flags: str) -> Iterator[Server]:
        with self.secured.serve("--signing-key", str(self.secured.directory / "log.key"), "--log-level", "debug", *flags) as server:
            with self.secured.connect(server, self.bank) as hub:
                hub.hello(hub="bank")
                hub.append(*[{"kind": "k"}] * RECORDS)
                frame = hub.request()
                frame.checkpoint.size = RECORDS
                assert hub.ask(frame).checkpoint.note
            yield server

    def context(self, certificate: Certificate | None = None, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.root.cert))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if certificate:
            context.load_cert_chain(certificate.cert, certificate.key)
        return context

    def connect(self, server: Server, certificate: Certificate | None = None, **options: tuple[str, ...]) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(server.http_address, timeout=30, context=self.context(certificate, **options))

    def ask(
        self, server: Server, path: str, *, certificate: Certificate | None = None, bearer: str | None = None, method: str = "GET",
        fields: dict[str, str] | None = None, alpn: tuple[str, ...] = ("http/1.1",),
    ) -> tuple[int | str, str, http.client.HTTPMessage | None]:
        """Status, body and fields of an answer."""
        with contextlib.closing(self.connect(server, certificate, alpn=alpn)) as connection:
            try:
                connection.request(method, path, headers={**(fields or {}), **({"Authorization": f"Bearer {bearer}"} if bearer else {})})
                answer = connection.getresponse()
                return answer.status, answer.read().decode("latin-1"), answer.headers
            except (ssl.SSLError, ConnectionError):
                return NO_HANDSHAKE, "", None


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


def samples(site: Site, server: Server, name: str) -> dict[str, int]:
    """A metric's values by its one label."""
    text = site.ask(server, "/metrics", certificate=site.certificates["operator"])[1]
    lines = [line for line in text.splitlines() if line.startswith(name + "{")]
    return {line.split('"')[1]: int(line.rsplit(" ", 1)[1]) for line in lines}


def test_each_path_asks_for_its_right_of_certificates_and_tokens(site: Site) -> None:
    with site.serve() as server:
        print(f"{'path':32}" + "".join(f"{who:>14}" for who in ("nobody", *RIGHTS)))
        for path, (need, status) in ROUTES.items():
            row = []
            for method in ("GET", "HEAD"):
                got, body, fields = site.ask(server, path, method=method)
                assert got == (status if need == OPEN else 401), path
                assert fields["WWW-Authenticate"] == (None if need == OPEN else "Bearer")
                row.append(got)
            for who, rights in RIGHTS.items():
                expected = status if need in rights | {OPEN, ANYBODY} else 403
                shown = ({"certificate": site.certificates[who]}, {"bearer": site.tokens[who][0]})
                both = {"certificate": site.certificates[who], "bearer": site.tokens[who][0]}
                for credentials in (*shown, both):
                    got, body, fields = site.ask(server, path, **credentials)
                    assert got == expected, (path, who, body)
                    assert expected != 403 or "has no right to" in body and who in body
                    # A shared cache asks nobody for rights.
                    assert need == OPEN or "public" not in fields["Cache-Control"]
                row.append(got)
            print(f"{path:32}" + "".join(f"{status:>14}" for status in row[1:]))
        denied = samples(site, server, "hubaudit_denied_total")
        assert denied["operate"] > 10 and denied["prove"] > 10 and denied["read"] > 10 and denied["publish"] == 0
        assert samples(site, server, "hubaudit_unauthenticated_total")["no_credential"] == 2 * sum(need != OPEN for need, _ in ROUTES.values())
        # What is open has no details.
        assert [site.ask(server, path)[1] for path in ("/livez", "/readyz", "/readyz?verbose=1")] == ["ok\n"] * 3


def test_public_evidence_is_for_everybody_and_records_are_not(site: Site) -> None:
    with site.serve("--public-evidence") as server:
        for path, (need, status) in ROUTES.items():
            got, body, fields = site.ask(server, path)
            assert got == (status if need in (OPEN, PROVE) else 401), path
            if path.startswith("/tile/0/000"):
                assert fields["Cache-Control"].startswith("public,") and len(body) == 32 * RECORDS
        assert site.ask(server, "/metrics", certificate=site.certificates["prover"])[0] == 403


def test_every_way_to_show_a_credential(site: Site) -> None:
    root, certificates = site.root, site.certificates
    stranger = Authority(site.secured.directory, "stranger")
    operator = URI + "operator"
    text = site.tokens["operator"][0]
    old, old_line = token("old")
    lost = root.issue("lost", uris=(URI + "lost",))
    site.write(f"""
        identity old  {old_line} until 2026-01-01
        identity lost cert {URI}lost
        revoke serial {lost.serial:x}
    """)

    def basic(value: str) -> dict[str, str]:
        return {"Authorization": value}

    rows: list[tuple[str, dict, int | str, str]] = [
        ("none", {}, 401, "no_credential"),
        ("certificate", {"certificate": certificates["operator"]}, 200, ""),
        ("token", {"bearer": text}, 200, ""),
        ("token, scheme in capitals", {"fields": basic(f"BEARER {text}")}, 200, ""),
        ("no ALPN", {"bearer": text, "alpn": ()}, 200, ""),
        ("certificate and token, the same", {"certificate": certificates["operator"], "bearer": text}, 200, ""),
        ("certificate and token differ", {"certificate": certificates["operator"], "bearer": site.tokens["prover"][0]}, 401, "identities_differ"),
        ("certificate and a wrong token", {"certificate": certificates["operator"], "bearer": "hat_operator_" + "0" * 64}, 401, "wrong_secret"),
        ("expired", {"certificate": root.issue("x", uris=(operator,), begins=-2 * HOUR, ends=-HOUR)}, NO_HANDSHAKE, "handshake"),
        ("not yet valid", {"certificate": root.issue("e", uris=(operator,), begins=HOUR, ends=2 * HOUR)}, NO_HANDSHAKE, "handshake"),
        ("wrong CA", {"certificate": stranger.issue("f", uris=(operator,))}, NO_HANDSHAKE, "handshake"),
        ("wrong EKU", {"certificate": root.issue("u", uris=(operator,), usage=SERVER)}, NO_HANDSHAKE, "handshake"),
        ("two URIs", {"certificate": root.issue("two", uris=(operator, URI + "b"))}, 401, "ambiguous_name"),
        ("CN only", {"certificate": root.issue("operator-cn")}, 401, "ambiguous_name"),
        ("unknown URI", {"certificate": root.issue("no", uris=(operator + "s",))}, 401, "unknown_certificate"),
        ("revoked", {"certificate": lost}, 401, "revoked"),
        ("expired token", {"bearer": old}, 401, "expired"),
        ("wrong secret", {"bearer": f"hat_operator_{secrets.token_hex(32)}"}, 401, "wrong_secret"),
        ("unknown id", {"bearer": f"hat_nobody_{secrets.token_hex(32)}"}, 401, "unknown_token"),
        ("no token's form", {"bearer": "hat_operator"}, 401, "malformed_token"),
        ("basic", {"fields": basic("Basic " + base64.b64encode(f"operator:{text}".encode()).decode())}, 401, "malformed_token"),
        ("no scheme", {"fields": basic(text)}, 401, "malformed_token"),
        ("over 16 KiB", {"bearer": "x" * (16 << 10)}, 431, ""),
    ]
    with site.serve() as server:
        bodies = set()
        for name, options, expected, cause in rows:
            before = samples(site, server, "hubaudit_unauthenticated_total")
            got, body, fields = site.ask(server, "/metrics", **options)
            print(f"{name:36} {got!s:14} {cause}")
            assert got == expected, (name, body)
            if got == 401:
                bodies.add(body)
                assert fields["WWW-Authenticate"] == "Bearer"
            after = samples(site, server, "hubaudit_unauthenticated_total")
            assert {key: after[key] - before[key] for key in after if after[key] != before[key]} == ({cause: 1} if cause else {}), name
        # Nobody is told what was wrong.
        assert len(bodies) == 1 and "log" in bodies.pop()
        secret = text.rsplit("_", 1)[1]
        assert not any(secret in str(entry) for entry in server.log)
        with contextlib.closing(site.connect(server)) as connection:
            connection.putrequest("GET", "/metrics")
            for _ in range(2):
                connection.putheader("Authorization", f"Bearer {text}")
            connection.endheaders()
            assert connection.getresponse().status == 401


def test_tokens_over_plain_http_only_from_this_machine(site: Site, tmp_path: pathlib.Path) -> None:
    flags = ("--access", str(site.secured.access), "--insecure-listen")
    with Server(tmp_path / "plain", *flags, "--http-listen", "0.0.0.0:0") as server:
        port = int(server.http_address.rsplit(":", 1)[1])

        def status(host: str) -> int:
            connection = http.client.HTTPConnection(host, port, timeout=30)
            with contextlib.closing(connection):
                connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {site.tokens['operator'][0]}"})
                return connection.getresponse().status

        assert status("127.0.0.1") == 200
        own = own_address()
        if own is None:
            pytest.skip("this machine has no address but loopback")
        assert status(own) == 401
        eventually(lambda: any(entry.get("cause") == "token_in_the_clear" for entry in server.log), "the cause is not logged")


def own_address() -> str | None:
    """An address of this machine that is not loopback."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            # Sends nothing.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("is_secured", [False, True])
def test_pages_of_other_sites_and_other_names_get_nothing(site: Site, tmp_path: pathlib.Path, is_secured: bool) -> None:
    with site.serve() if is_secured else Server(tmp_path / "open") as server:
        for path in ("/livez", "/metrics", "/checkpoint"):
            for fields, expected in (
                ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "Cross-Site"}, 403), ({"Host": "evil.example"}, 421),
                ({"Host": "127.evil.example"}, 421), ({"Sec-Fetch-Site": "same-origin"}, 0), ({"Sec-Fetch-Site": "none"}, 0),
            ):
                if is_secured:
                    got = site.ask(server, path, fields=fields, certificate=site.certificates["operator"])[0]
                else:
                    with contextlib.closing(http.client.HTTPConnection(server.http_address, timeout=30)) as connection:
                        connection.request("GET", path, headers=fields)
                        got = connection.getresponse().status
                assert got == expected or expected == 0 and got not in (403, 421) or is_secured and got == 403 and path == "/checkpoint"


def status_of(connection: http.client.HTTPConnection, path: str, bearer: str = "") -> int:
    connection.request("GET", path, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_connection_that_stays_is_judged_by_the_access_file_in_force(site: Site) -> None:
    with site.serve() as server, contextlib.closing(site.connect(server)) as by_token, \
            contextlib.closing(site.connect(server, site.certificates["operator"])) as by_certificate:
        text = site.tokens["operator"][0]

        def statuses() -> tuple[int, int]:
            return status_of(by_token, "/metrics", text), status_of(by_certificate, "/metrics")

        assert statuses() == (200, 200)
        sockets = by_token.sock, by_certificate.sock
        site.write("grant prover operate\n")
        reload(server)
        assert statuses() == (200, 200)
        site.secured.write(site.lines().replace("grant operator operate", "grant operator prove"))
        reload(server)
        assert statuses() == (403, 403)
        assert status_of(by_token, "/checkpoint", text) == 200
        # A file that cannot be used changes nothing.
        site.write("nonsense\n")
        reload(server)
        assert statuses() == (403, 403)
        site.write()
        reload(server)
        assert statuses() == (200, 200)
        # The connections are still the first ones.
        assert (by_token.sock, by_certificate.sock) == sockets
        site.write(f"revoke serial {site.certificates['operator'].serial:x}\n")
        reload(server)
        assert statuses() == (200, 401)


def test_new_certificates_are_shown_and_a_removed_root_is_trusted_no_more(site: Site) -> None:
    with site.serve() as server, contextlib.closing(site.connect(server)) as by_token, \
            contextlib.closing(site.connect(server, site.certificates["operator"])) as by_certificate:
        text = site.tokens["operator"][0]
        assert status_of(by_certificate, "/metrics") == status_of(by_token, "/metrics", text) == 200
        first = by_certificate.sock.getpeercert(binary_form=True)

        # The server's certificate is exchanged: nothing ends.
        new = site.root.issue_server("server2")
        new.cert.rename(site.secured.certificate.cert)
        new.key.rename(site.secured.certificate.key)
        reload(server)
        assert status_of(by_certificate, "/metrics") == status_of(by_token, "/metrics", text) == 200
        with contextlib.closing(site.connect(server)) as fresh:
            assert status_of(fresh, "/livez") == 200
            assert fresh.sock.getpeercert(binary_form=True) != first
        assert by_certificate.sock.getpeercert(binary_form=True) == first

        # The clients' root is exchanged: whoever showed a certificate of the old one is unknown now, tokens stay.
        other = Authority(site.secured.directory, "other")
        certificate = other.issue("operator2", uris=(URI + "operator",))
        site.root.cert.write_bytes(other.pem)
        roots = site.secured.directory / "servers.pem"
        roots.write_bytes(site.root.pem)
        site.root.cert = roots
        reload(server)
        assert status_of(by_certificate, "/metrics") == 401
        assert status_of(by_token, "/metrics", text) == 200
        assert site.ask(server, "/metrics", certificate=certificate)[0] == 200
        assert site.ask(server, "/metrics", certificate=site.certificates["operator"])[0] == NO_HANDSHAKE


def test_a_resumed_session_is_judged_like_a_new_one(site: Site) -> None:
    context = site.context(site.certificates["operator"])

    def ask(server: Server, session: ssl.SSLSession | None) -> tuple[int, ssl.SSLSession, bool]:
        host, port = server.http_address.rsplit(":", 1)
        with context.wrap_socket(socket.create_connection((host, int(port)), 30), server_hostname=host, session=session) as peer:
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            with contextlib.suppress(ssl.SSLEOFError):
                while more := peer.recv(1 << 16):
                    answer += more
            return int(answer.split(b" ")[1]), peer.session, peer.session_reused

    with site.serve() as server:
        status, session, _ = ask(server, None)
        assert status == 200
        status, session, is_resumed = ask(server, session)
        assert (status, is_resumed) == (200, True)
        site.write(f"revoke uri {URI}operator\n")
        reload(server)
        status, _, is_resumed = ask(server, session)
        assert (status, is_resumed) == (401, True)


def test_slow_and_silent_handshakes_end_and_keep_nobody_away(site: Site) -> None:
    with site.serve() as server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(server.http_address.rsplit(":", 1)[1]))
        peers = [stack.enter_context(socket.create_connection(address, 30)) for _ in range(300)]
        for peer in peers[::2]:
            with contextlib.suppress(OSError):
                peer.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert site.ask(server, "/livez")[0] == 200
        begun = time.monotonic()
        for peer in peers:
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""
        # Handshakes have as long as heads: 10 s.
        assert time.monotonic() - begun < 30
        slow = stack.enter_context(socket.create_connection(address, 30))
        ends = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not ends.wait(0.05):
                    slow.sendall(b"\x16\x03\x01\x02\x00\x01" if not drip.sent else b"\x00")
                    drip.sent += 1

        drip.sent = 0
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(1) == b""
        ends.set()
        thread.join(30)
        assert 0 < drip.sent < 509
        eventually(lambda: any("TLS handshake was not complete" in str(entry) for entry in server.log), "the reason is not logged")


def test_plain_http_on_the_port_of_tls_is_closed_and_logged_a_few_times(site: Site) -> None:
    with site.serve() as server:
        address = ("127.0.0.1", int(server.http_address.rsplit(":", 1)[1]))
        for _ in range(100):
            with socket.create_connection(address, 30) as peer, contextlib.suppress(ConnectionResetError):
                peer.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert peer.recv(1) == b""
        assert samples(site, server, "hubaudit_http_refused_total")["plaintext"] == 100
        lines = [entry for entry in server.log if entry.get("cause") == "plaintext"]
        assert 0 < len(lines) <= 20 and "https://" in lines[0]["reason"]


def test_without_an_access_file_tls_alone_asks_nobody(site: Site, tmp_path: pathlib.Path) -> None:
    flags = ("--tls-cert", str(site.secured.certificate.cert), "--tls-key", str(site.secured.certificate.key))
    with Server(tmp_path / "open", *flags) as server:
        for path in ("/livez", "/readyz?verbose", "/healthz", "/metrics"):
            assert site.ask(server, path)[0] == 200


def test_reads_and_refusals_over_http_are_records_of_the_log(site: Site) -> None:
    site.write("grant watcher read hubs=hubaudit\n" "identity watcher cert " + URI + "watcher\n")
    watcher = site.root.issue("watcher", uris=(URI + "watcher",))
    with site.serve() as server:
        assert site.ask(server, f"/tile/entries/000.p/{RECORDS}", certificate=site.certificates["reader"])[0] == 200
        assert site.ask(server, "/tile/entries/000", bearer=site.tokens["partial"][0])[0] == 403
        assert site.ask(server, "/metrics")[0] == 401
        assert site.ask(server, f"/tile/0/000.p/{RECORDS}", certificate=site.certificates["prover"])[0] == 200

        def own() -> list[tuple[str, dict]]:
            with site.secured.connect(server, watcher) as connection:
                connection.hello(client="w")
                return [(record.header.kind, json.loads(record.body.custom.json)) for record in connection.read_all()]

        def is_recorded() -> bool:
            found = own()
            reads = [body for kind, body in found if kind == "read_closed" and body["principal"] == f"cert:{URI}reader"]
            denials = [body for kind, body in found if kind == "access_denied"]
            return (
                [(body["from"], body["to"], body["records"], body["outcome"]) for body in reads] == [(0, RECORDS, RECORDS, "end")]
                and any(body.get("principal") == "token:partial" and body["right"] == "read" for body in denials)
                and any("principal" not in body for body in denials)
            )

        eventually(is_recorded, "reads and refusals are not recorded")
        secret = site.tokens["partial"][0].rsplit("_", 1)[1]
        assert secret not in str(own())
