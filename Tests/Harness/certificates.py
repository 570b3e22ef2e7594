"""Certificates for tests, as they should be and as they should not be. Made by the package `cryptography`."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


# From Python 3.13 on, contexts that `ssl` makes ask for it.
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
    key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


@dataclass
class Certificate:
    """Paths of PEM files."""

    cert: pathlib.Path
    key: pathlib.Path
    serial: int


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


class Authority:
    """A root that signs."""

    def __init__(self, directory: pathlib.Path, name: str = "root") -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
        begin = now() - datetime.timedelta(days=1)
        certificate = (
            x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name).public_key(self.key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.cert = directory / f"{name}.pem"
        self.cert.write_bytes(self.pem)

    def issue(
        self, name: str, *, uris: tuple[str, ...] = (), dns: tuple[str, ...] = (), addresses: tuple[str, ...] = (), usage=CLIENT,
        begins: datetime.timedelta = datetime.timedelta(hours=-1), ends: datetime.timedelta = datetime.timedelta(days=1),
        common_name: str | None = None,
    ) -> Certificate:
        """Signs a certificate. `begins` and `ends` count from now; without a common name it is `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        builder = (
            x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or name)])).issuer_name(self.name)
            .public_key(key.public_key()).serial_number(serial).not_valid_before(now() + begins).not_valid_after(now() + ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(one) for one in dns]
        names += [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        signed = builder.sign(self.key, hashes.SHA256())
        found = Certificate(self.directory / f"{name}.cert.pem", self.directory / f"{name}.key.pem", serial)
        found.cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        found.key.touch(0o600)
        found.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return found

    def issue_server(self, name: str = "server") -> Certificate:
        return self.issue(name, dns=("localhost",), addresses=("127.0.0.1", "::1"), usage=SERVER)
