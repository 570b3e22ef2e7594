"""JWTs of an issuer whose keys are in a JWKS file: what is believed, and every way in which a token is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pathlib
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from secured import Secured, reload
from test_access import UNAUTHENTICATED, answer, causes, greeted
from wire import Server

ISSUER, AUDIENCE, SUBJECT = "https://issuer.example", "hubaudit", "system:serviceaccount:hubs:bank"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Keys:
    """One key of each kind, and what a forger has."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.other = ec.generate_private_key(ec.SECP256R1())

    def jwks(self, *, with_alg: bool = True) -> str:
        public = self.ec.public_key().public_numbers()
        keys = [
            {"kty": "RSA", "kid": "r", "n": number(self.rsa.public_key().public_numbers().n), "e": "AQAB", "alg": "RS256"},
            {"kty": "EC", "kid": "e", "crv": "P-256", "x": b64(public.x.to_bytes(32, "big")), "y": b64(public.y.to_bytes(32, "big")), "alg": "ES256"},
            {"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": b64(self.ed.public_key().public_bytes_raw()), "alg": "EdDSA"},
            # For another use: passed over.
            {"kty": "oct", "kid": "o", "k": b64(b"secret"), "alg": "HS256"},
            {"kty": "unheard-of", "kid": "u"},
        ]
        if not with_alg:
            for key in keys:
                key.pop("alg", None)
        return json.dumps({"keys": keys})

    def sign(self, algorithm: str, message: bytes) -> bytes:
        match algorithm:
            case "RS256":
                return self.rsa.sign(message, padding.PKCS1v15(), hashes.SHA256())
            case "RS512":
                return self.rsa.sign(message, padding.PKCS1v15(), hashes.SHA512())
            case "ES256":
                return raw(self.ec.sign(message, ec.ECDSA(hashes.SHA256())))
            case "other":
                return raw(self.other.sign(message, ec.ECDSA(hashes.SHA256())))
            case "EdDSA":
                return self.ed.sign(message)
            case "HS256":
                # The secret of a forger: the public key, which everybody has.
                return hmac.digest(number(self.rsa.public_key().public_numbers().n).encode(), message, hashlib.sha256)
        return b""

    def token(self, algorithm: str, kid: str | None, *, named: str | None = None, **claims: object) -> str:
        header = {"alg": named or algorithm, "typ": "JWT", **({"kid": kid} if kid else {})}
        body = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "exp": int(time.time()) + 600, **claims}
        message = f"{b64(json.dumps(header).encode())}.{b64(json.dumps({key: value for key, value in body.items() if value is not None}).encode())}"
        return f"{message}.{b64(self.sign(algorithm, message.encode()))}"


def raw(signature: bytes) -> bytes:
    one, two = decode_dss_signature(signature)
    return one.to_bytes(32, "big") + two.to_bytes(32, "big")


@pytest.fixture
def secured(tmp_path: pathlib.Path) -> Secured:
    return Secured(tmp_path)


def write(secured: Secured, more: str = "") -> None:
    secured.write(f"issuer k8s jwks=jwks.json iss={ISSUER} aud={AUDIENCE}\nidentity bank jwt k8s {SUBJECT}\ngrant bank publish hubs=h\n{more}")


def test_every_token(secured: Secured) -> None:
    keys = Keys()
    now = int(time.time())
    rows = [
        ("RS256", keys.token("RS256", "r"), ""),
        ("ES256", keys.token("ES256", "e"), ""),
        ("EdDSA", keys.token("EdDSA", "d"), ""),
        ("several audiences", keys.token("ES256", "e", aud=["a", AUDIENCE]), ""),
        ("expired, within the skew", keys.token("ES256", "e", exp=now - 30), ""),
        ("not yet, within the skew", keys.token("ES256", "e", nbf=now + 30), ""),
        ("none", keys.token("none", "r"), "wrong_algorithm"),
        ("none, without kid", keys.token("none", None), "unknown_key"),
        ("HS256 with the public key", keys.token("HS256", "r"), "wrong_algorithm"),
        ("HS256 that says RS256", keys.token("HS256", "r", named="RS256"), "bad_signature"),
        ("HS256 of the file's own secret", keys.token("HS256", "o"), "unknown_key"),
        ("RS512", keys.token("RS512", "r"), "wrong_algorithm"),
        ("another algorithm than the key's", keys.token("ES256", "r"), "wrong_algorithm"),
        ("unknown kid", keys.token("ES256", "x"), "unknown_key"),
        ("no kid", keys.token("ES256", None), "unknown_key"),
        ("another key", keys.token("other", "e", named="ES256"), "bad_signature"),
        ("wrong audience", keys.token("ES256", "e", aud="other"), "wrong_audience"),
        ("no audience", keys.token("ES256", "e", aud=None), "wrong_audience"),
        ("wrong issuer", keys.token("ES256", "e", iss="https://other.example"), "wrong_issuer"),
        ("no issuer", keys.token("ES256", "e", iss=None), "malformed_token"),
        ("unknown subject", keys.token("ES256", "e", sub="system:serviceaccount:hubs:shop"), "unknown_subject"),
        ("no subject", keys.token("ES256", "e", sub=None), "malformed_token"),
        ("expired", keys.token("ES256", "e", exp=now - 90), "expired"),
        ("no exp", keys.token("ES256", "e", exp=None), "malformed_token"),
        ("exp that is no number", keys.token("ES256", "e", exp="soon"), "malformed_token"),
        ("not yet", keys.token("ES256", "e", nbf=now + 90), "not_yet_valid"),
        ("cut", keys.token("ES256", "e")[:-8], "bad_signature"),
        ("two dots", "a.b.c", "malformed_token"),
    ]
    for with_alg in (True, False):
        (secured.directory / "jwks.json").write_text(keys.jwks(with_alg=with_alg))
        (secured.directory / "jwks.json").chmod(0o644)
        write(secured)
        with Server(secured.directory / f"log-{with_alg}", "--access", str(secured.access)) as server:
            for name, text, cause in rows:
                known = len(server.log)
                got = greeted(server.connect, token=text, hub="h")
                print(f"{name:34} {got:16} {cause}")
                assert got == ("welcome" if not cause else UNAUTHENTICATED), (name, server.log[known:])
                if cause:
                    assert cause in causes(server, known), (name, server.log[known:])
                    assert not any(text in json.dumps(entry) for entry in server.log), "the log names no token"
            # A token that fails teaches the server nothing: the good ones go on working.
            connection = server.connect(token=keys.token("RS256", "r"), hub="h")
            assert answer(connection.append({"kind": "k"})) == "appended"


def test_a_key_that_is_gone_ends_its_connections(secured: Secured) -> None:
    keys, others = Keys(), Keys()
    file = secured.directory / "jwks.json"
    file.write_text(keys.jwks())
    write(secured)
    with Server(secured.directory / "log", "--access", str(secured.access)) as server:
        connection = server.connect(token=keys.token("ES256", "e"), hub="h")
        welcome = server.connect()
        told = welcome.hello(token=keys.token("ES256", "e", exp=int(time.time()) + 100)).expires_at
        assert 100 <= told / 1e9 - time.time() < 165
        # A renewed token goes on; the same kid with another key does not.
        frame = connection.request()
        frame.authenticate.token = keys.token("ES256", "e", exp=int(time.time()) + 1000)
        assert connection.ask(frame).authenticated.identity == f"jwt:k8s:{SUBJECT}"
        file.write_text(others.jwks())
        reload(server)
        assert answer(connection.receive()) == "CREDENTIAL_EXPIRED"
        assert greeted(server.connect, token=keys.token("ES256", "e")) == UNAUTHENTICATED
        assert greeted(server.connect, token=others.token("ES256", "e")) == "welcome"
        # A file that is no JWK set changes nothing.
        file.write_text("{}")
        reload(server)
        assert any("JWK set" in entry.get("reason", "") for entry in server.log)
        assert greeted(server.connect, token=others.token("ES256", "e")) == "welcome"
