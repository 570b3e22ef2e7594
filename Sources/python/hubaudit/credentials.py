"""Whom a client trusts and what it shows: TLS files, and a token."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Union

from . import errors
from .address import Address

ALPN = "hubaudit/1"
"""The protocol's name in the TLS handshake (RFC 7301)."""
MAX_TOKEN_BYTES = 16 * 1024
# The system's bundle of roots has about 250 KiB.
_MAX_FILE_BYTES = 4 * 1024 * 1024

FilePath = Union[str, "os.PathLike[str]"]
Token = Union[str, "os.PathLike[str]", Callable[[], Union[str, Awaitable[str]]]]
"""A token itself, the path of a file that holds it, or a function (also a coroutine function) that returns it."""


@dataclass(frozen=True)
class TLS:
    """The PEM files of a client. They are read anew for each connection, so they may be exchanged while it runs.

        hubaudit.connect("hubaudits://audit.example:7411", hub="lab", tls=TLS(cacert="ca.pem", cert="hub.pem", key="hub.key"))

    TLS 1.3 only. The server's certificate is always verified, and must name the host of the address.
    """

    cacert: FilePath | None = None
    """Certificates of the CAs that sign servers; None: the system's."""
    cert: FilePath | None = None
    """The certificate to show, followed by intermediate ones; None: none."""
    key: FilePath | None = None
    """Its private key, without a passphrase."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            missing = "a certificate without its private key" if self.key is None else "a private key without its certificate"
            raise ValueError(f"{missing} is of no use: give both cert and key")

    def context(self) -> ssl.SSLContext:
        """A new context of what the files hold now. Raises `CredentialsError`, which names the file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.hostname_checks_common_name = False
        if self.cacert is None:
            context.load_default_certs()
        else:
            pem = _read(self.cacert).decode("ascii", "replace")
            try:
                context.load_verify_locations(cadata=pem)
            except (ssl.SSLError, ValueError):
                raise errors.CredentialsError(f"{os.fspath(self.cacert)} holds no certificate in PEM form", retry=True) from None
        if self.cert is not None and self.key is not None:
            # They are only opened by OpenSSL, whose errors do not say which file is meant.
            _read(self.cert)
            _read(self.key)
            try:
                context.load_cert_chain(self.cert, self.key, password=_no_passphrase)
            except ssl.SSLError as error:
                raise errors.CredentialsError(self._mismatch(error), retry=True) from None
            except (OSError, ValueError):
                text = f"{os.fspath(self.key)} holds no private key in PEM form without a passphrase"
                raise errors.CredentialsError(text, retry=True) from None
        return context

    def _mismatch(self, error: ssl.SSLError) -> str:
        assert self.cert is not None and self.key is not None
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{os.fspath(self.key)} is not the key of the certificate in {os.fspath(self.cert)}"
        if b"-----BEGIN CERTIFICATE-----" not in _read(self.cert):
            return f"{os.fspath(self.cert)} holds no certificate in PEM form"
        return f"{os.fspath(self.key)} holds no private key in PEM form without a passphrase"


class Credentials:
    """What the connections of one client show, checked as far as that can be done without connecting."""

    def __init__(self, address: Address, tls: TLS | ssl.SSLContext | None, token: Token | None) -> None:
        """Without `tls` or `token`, what the environment says. Raises ValueError for what contradicts the address, or each other."""
        self._tls = _tls_of_environment() if tls is None else tls
        self._token = _token_of_environment() if token is None else token
        if not address.tls:
            if self._tls is not None:
                advice = "leave it out" if address.path is not None else f"write hubaudits://{address} for TLS, or leave it out"
                raise ValueError(f"tls is given (or set in the environment), but {address} is an address without TLS: {advice}")
            if self._token is not None and not is_local(address):
                raise ValueError(
                    f"a token is sent only over TLS, a Unix socket or loopback: anybody on the way to {address} could read it: "
                    f"write hubaudits://{address}"
                )
        if isinstance(self._tls, ssl.SSLContext):
            if self._tls.verify_mode is not ssl.CERT_REQUIRED or not self._tls.check_hostname:
                raise ValueError("the SSLContext does not verify the server: make it with ssl.create_default_context()")
            self._tls.set_alpn_protocols([ALPN])

    @property
    def renewable(self) -> bool:
        """Whether the token may be another one the next time."""
        return self._token is not None and not isinstance(self._token, str)

    @property
    def shows_certificate(self) -> bool | None:
        """Whether a certificate is shown; None where only the caller knows."""
        return None if isinstance(self._tls, ssl.SSLContext) else self._tls is not None and self._tls.cert is not None

    def context(self) -> ssl.SSLContext:
        """The context of a new connection. Reads files, hence not for an event loop's thread. Raises `CredentialsError`."""
        if isinstance(self._tls, ssl.SSLContext):
            return self._tls
        context = (self._tls or TLS()).context()
        context.set_alpn_protocols([ALPN])
        return context

    async def token(self) -> str | None:
        """The token as of now; None without one. Raises `CredentialsError`, which never holds the token."""
        name = "the token"
        if self._token is None:
            return None
        if isinstance(self._token, str):
            text = self._token
        elif isinstance(self._token, os.PathLike):
            name = os.fspath(self._token)
            text = _read(self._token, MAX_TOKEN_BYTES + 1024).decode("utf-8", "replace")
        else:
            try:
                given = self._token()
                text = await given if inspect.isawaitable(given) else given
            except asyncio.CancelledError:
                raise
            except Exception as error:
                raise errors.CredentialsError(f"no token was provided: {error}", retry=True) from error
        return _checked_token(text, name)


def is_local(address: Address) -> bool:
    """Whether what is sent does not leave this machine. A name other than localhost may resolve to any address."""
    if address.path is not None:
        return True
    host = address.host or ""
    if host.lower() == "localhost":
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _checked_token(text: object, name: str) -> str:
    if not isinstance(text, str):
        raise errors.CredentialsError(f"{name} is not a text but a {type(text).__name__}", retry=True)
    token = text.strip(" \t\r\n\v\f")
    if not token:
        raise errors.CredentialsError(f"{name} holds no token: it is empty", retry=True)
    if len(token.encode()) > MAX_TOKEN_BYTES:
        raise errors.CredentialsError(f"{name} has {len(token.encode())} bytes: the limit for a token is {MAX_TOKEN_BYTES}", retry=True)
    if not all("!" <= one <= "~" for one in token):
        text = f"{name} is not one token: it has spaces, line ends or characters outside of ASCII within"
        raise errors.CredentialsError(text, retry=True)
    return token


def _tls_of_environment() -> TLS | None:
    cacert, cert, key = (os.environ.get(f"HUBAUDIT_{name}") or None for name in ("CACERT", "CERT", "KEY"))
    return None if cacert is None and cert is None and key is None else TLS(cacert=cacert, cert=cert, key=key)


def _token_of_environment() -> Token | None:
    token, file = os.environ.get("HUBAUDIT_TOKEN"), os.environ.get("HUBAUDIT_TOKEN_FILE")
    if token and file:
        raise ValueError("HUBAUDIT_TOKEN and HUBAUDIT_TOKEN_FILE are both set: set one of them")
    return _File(file) if file else token or None


class _File:
    """A path, of whatever form."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path


def _no_passphrase() -> str:
    # Without it OpenSSL would ask on the terminal.
    raise ValueError("the key has a passphrase")


def _read(path: FilePath, limit: int = _MAX_FILE_BYTES) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise errors.CredentialsError(f"{os.fspath(path)} cannot be read: {reason}", retry=True) from None
    if len(content) > limit:
        raise errors.CredentialsError(f"{os.fspath(path)} has more than {limit} bytes: is it the right file?", retry=True)
    return content
