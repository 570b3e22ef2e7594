"""A server that asks for identities, and connections to it: over TLS, or over a Unix socket."""

from __future__ import annotations

import hashlib
import pathlib
import secrets
import signal
import socket
import ssl

from certificates import Authority, Certificate
from wire import Connection, Server

BANK = "spiffe://test.example/hub/bank"


def token(identity: str) -> tuple[str, str]:
    """A new token, and the credential of the access file."""
    text = f"hat_{identity}_{secrets.token_hex(32)}"
    return text, f"token {identity} sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class SecureConnection(Connection):
    """Frames over TLS."""

    def __init__(
        self, port: int, roots: pathlib.Path, certificate: Certificate | None = None, *, alpn: tuple[str, ...] = ("hubaudit/1",),
        session: ssl.SSLSession | None = None, timeout: float = 30,
    ) -> None:
        super().__init__(port, timeout)
        context = ssl.create_default_context(cafile=str(roots))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if certificate:
            context.load_cert_chain(certificate.cert, certificate.key)
        self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1", session=session)


class UnixConnection(Connection):
    """Frames over a Unix socket."""

    def __init__(self, path: str, timeout: float = 30) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b""
        self.ids = 0


class Secured:
    """What a secured server needs: a root, its certificate, an access file that tests rewrite."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.root = Authority(directory)
        self.certificate = self.root.issue_server()
        self.access = directory / "access"

    def write(self, text: str) -> None:
        """The access file, put in its place as a whole."""
        new = self.access.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o600)
        new.rename(self.access)

    @property
    def flags(self) -> tuple[str, ...]:
        return (
            "--access", str(self.access), "--tls-cert", str(self.certificate.cert), "--tls-key", str(self.certificate.key),
            "--client-ca", str(self.root.cert),
        )

    def serve(self, *flags: str) -> Server:
        return Server(self.directory / "log", *self.flags, *flags)

    def connect(self, server: Server, certificate: Certificate | None = None, **options: object) -> SecureConnection:
        return SecureConnection(server.port, self.root.cert, certificate, **options)  # type: ignore[arg-type]


def reload(server: Server) -> None:
    """SIGHUP, and waits until the server has read its files again."""
    known = len(server.log)
    server.process.send_signal(signal.SIGHUP)
    wanted = ("access and TLS were read again", "access and TLS cannot be read again")
    import time

    deadline = time.monotonic() + 30
    while not any(entry.get("message", "").startswith(wanted) for entry in server.log[known:]):
        assert time.monotonic() < deadline, "the server did not read its files again"
        time.sleep(0.01)
