"""What an error of TLS means, as a sentence that says what to do."""

from __future__ import annotations

import ssl

from . import errors
from .address import Address
from .credentials import ALPN

# X509_V_ERR_*, from OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAME = (62, 64)

_REFUSALS = (
    ("ALERT_UNKNOWN_CA", "it does not trust the CA that signed it"),
    ("ALERT_CERTIFICATE_EXPIRED", "it has expired or is not valid yet"),
    ("ALERT_CERTIFICATE_REVOKED", "it was revoked"),
    ("ALERT_CERTIFICATE_UNKNOWN", "the server's log says why"),
    ("ALERT_BAD_CERTIFICATE", "the server's log says why"),
    ("ALERT_UNSUPPORTED_CERTIFICATE", "it is not for clients, or of a kind it lacks"),
    ("ALERT_ACCESS_DENIED", "its identity may not connect"),
    ("ALERT_DECRYPT_ERROR", "its signature does not fit"),
)


def of_handshake(address: Address, error: OSError) -> errors.HubauditError:
    """Why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return _failed(address, "showed a certificate that has expired; the server needs a new one")
        if error.verify_code == _NOT_YET_VALID:
            return _failed(address, "showed a certificate that is not valid yet; are the clocks right?")
        if error.verify_code in _OTHER_NAME:
            return other_name(address)
        return _failed(address, "showed a certificate that no trusted root has signed; give the CA's certificate (cacert)")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if "NO_APPLICATION_PROTOCOL" in reason:
            return _failed(address, f'does not speak "{ALPN}"; is it the frame port of a hubaudit server?')
        if any(word in reason for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "HTTP_REQUEST")):
            return _failed(address, "does not speak TLS; for a connection without TLS write the address without hubaudits://")
        if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
            return _failed(address, "does not speak TLS 1.3, and older versions are not accepted")
        if isinstance(error, ssl.SSLEOFError) or "EOF" in reason:
            return ended_early(address)
        return _refusal(address, reason) or _failed(address, f"failed the TLS handshake: {reason or error}")
    return ended_early(address)


def after_handshake(address: Address, error: BaseException, *, heard: bool) -> errors.HubauditError:
    """Why a connection ended. In TLS 1.3 the client's handshake ends before the server has judged the client's certificate: its refusal
    comes with the first read."""
    refusal = _refusal(address, error.reason or "") if isinstance(error, ssl.SSLError) else None
    if refusal is not None:
        return refusal
    if heard:
        return errors.ConnectionLost(f"the connection to {address} was closed: {error}", retry=True)
    # The server's alert may be lost when it resets the connection.
    text = (
        f"the connection to {address} was lost before the server's first answer: {error} (a server that does not accept the client's "
        "certificate may do so; its log says why)"
    )
    return errors.ConnectionLost(text, retry=True)


def ended_early(address: Address) -> errors.TLSError:
    return _failed(address, "closed the connection during the TLS handshake; does it speak TLS 1.3?")


def other_name(address: Address) -> errors.TLSError:
    text = f'showed a certificate that does not name "{address.host}"; connect with a name of the certificate, or issue one that names the host'
    return _failed(address, text)


def check(address: Address, tls: ssl.SSLObject | ssl.SSLSocket) -> None:
    """Raises `TLSError` when what was negotiated is not what is needed."""
    chosen = tls.selected_alpn_protocol()
    if chosen != ALPN:
        other = "chose no protocol" if chosen is None else f"chose {chosen[:64]!a}"
        text = f'speaks TLS but {other} instead of "{ALPN}"; is it the frame port of a hubaudit server?'
        raise _failed(address, text)
    if tls.version() != "TLSv1.3":
        raise _failed(address, "does not speak TLS 1.3, and older versions are not accepted")


def _refusal(address: Address, reason: str) -> errors.TLSError | None:
    if "ALERT_CERTIFICATE_REQUIRED" in reason:
        return _failed(address, "asks for a client certificate; give one with its key (cert and key)")
    for alert, cause in _REFUSALS:
        if alert in reason:
            return _failed(address, f"refused the client's certificate: {cause}")
    return None


def _failed(address: Address, text: str) -> errors.TLSError:
    return errors.TLSError(f"{address} {text}", retry=True)
