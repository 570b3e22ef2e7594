"""Every way to show a credential, right and wrong: the rows of the tests of who gets in."""

from __future__ import annotations

import datetime
import secrets
from typing import Any, NamedTuple

from certificates import SERVER, Authority
from secured import BANK, Secured, token

HOUR = datetime.timedelta(hours=1)
UNAUTHENTICATED = "UNAUTHENTICATED"
# The TLS handshake fails, and nothing of hubaudit's is said.
NO_HANDSHAKE = "no handshake"


class Row(NamedTuple):
    name: str
    # The arguments of `Secured.connect`: certificate, ALPN.
    options: dict[str, Any]
    token: str
    # "welcome", UNAUTHENTICATED or NO_HANDSHAKE.
    answer: str
    # What the server's log names as the cause; "" for none.
    cause: str


def credential_rows(secured: Secured, grants: str = "") -> list[Row]:
    """Writes the access file that the rows belong to."""
    root = secured.root
    stranger = Authority(secured.directory, "stranger")
    good, ci = token("ci")
    old, old_line = token("old")
    bank = root.issue("bank", uris=(BANK,))
    lost = root.issue("lost", uris=("spiffe://test.example/hub/lost",))
    secured.write(f"""
        identity bank  cert {BANK}
        identity ci    {ci}
        identity old   {old_line} until 2026-01-01
        identity lost  cert spiffe://test.example/hub/lost
        identity gone  cert spiffe://test.example/hub/gone
        identity named cert dns:named.example
        identity abroad cert spiffe://other.example/hub
        trust-domain test.example
        revoke serial {lost.serial:x}
        revoke uri spiffe://test.example/hub/gone
        {grants}
    """)
    hub = "spiffe://test.example/hub"
    return [
        Row("none", {}, "", UNAUTHENTICATED, "no_credential"),
        Row("certificate", {"certificate": bank}, "", "welcome", ""),
        Row("token", {}, good, "welcome", ""),
        Row("certificate, name by DNS", {"certificate": root.issue("dns", dns=("named.example",))}, "", "welcome", ""),
        Row("expired", {"certificate": root.issue("expired", uris=(BANK,), begins=-2 * HOUR, ends=-HOUR)}, "", NO_HANDSHAKE, "handshake"),
        Row("not yet valid", {"certificate": root.issue("early", uris=(BANK,), begins=HOUR, ends=2 * HOUR)}, "", NO_HANDSHAKE, "handshake"),
        Row("wrong CA", {"certificate": stranger.issue("foreign", uris=(BANK,))}, "", NO_HANDSHAKE, "handshake"),
        Row("wrong EKU", {"certificate": root.issue("usage", uris=(BANK,), usage=SERVER)}, "", NO_HANDSHAKE, "handshake"),
        Row("two URIs", {"certificate": root.issue("two", uris=(BANK, hub + "/b"))}, "", UNAUTHENTICATED, "ambiguous_name"),
        Row("CN only", {"certificate": root.issue("bank-by-cn")}, "", UNAUTHENTICATED, "ambiguous_name"),
        Row("DNS name that is not in the file", {"certificate": root.issue("o", dns=("other.example",))}, "", UNAUTHENTICATED, "ambiguous_name"),
        Row("URI that is not in the file", {"certificate": root.issue("no", uris=(hub + "/no",))}, "", UNAUTHENTICATED, "unknown_certificate"),
        Row("URI that begins like one", {"certificate": root.issue("b2", uris=(BANK + "s",))}, "", UNAUTHENTICATED, "unknown_certificate"),
        Row(
            "another trust domain", {"certificate": root.issue("a", uris=("spiffe://other.example/hub",))}, "", UNAUTHENTICATED,
            "unknown_certificate"),
        Row("revoked by serial", {"certificate": lost}, "", UNAUTHENTICATED, "revoked"),
        Row("revoked by URI", {"certificate": root.issue("gone", uris=(hub + "/gone",))}, "", UNAUTHENTICATED, "revoked"),
        Row("wrong secret", {}, f"hat_ci_{secrets.token_hex(32)}", UNAUTHENTICATED, "wrong_secret"),
        Row("unknown id", {}, f"hat_nobody_{secrets.token_hex(32)}", UNAUTHENTICATED, "unknown_token"),
        Row("no token's form", {}, "hat_ci", UNAUTHENTICATED, "malformed_token"),
        Row("expired token", {}, old, UNAUTHENTICATED, "expired"),
        Row("over 16 KiB", {}, "x" * (16 * 1024 + 1), UNAUTHENTICATED, "token_too_long"),
        Row("certificate and token differ", {"certificate": bank}, good, UNAUTHENTICATED, "identities_differ"),
        Row("wrong ALPN", {"certificate": bank, "alpn": ("h2",)}, "", UNAUTHENTICATED, "wrong_protocol"),
        Row("no ALPN", {"certificate": bank, "alpn": ()}, "", UNAUTHENTICATED, "wrong_protocol"),
    ]
