"""Signed checkpoints (C2SP signed-note and tlog-checkpoint) and the keys that verify them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Union

from .errors import EvidenceError
from .evidence import EMPTY_ROOT, HASH_BYTES

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
_ED25519 = b"\x01"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public Ed25519 key of a log: `hubaudit keygen` prints it."""

    name: str
    """The log's origin."""
    id: bytes
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Reads "name+id+key". Raises ValueError when it is not one, or of a kind that signs no logs here."""
        name, _, rest = text.strip().partition("+")
        # The last part may contain plus signs.
        id_text, _, key_text = rest.partition("+")
        wrong = f"verifier key {text!r}"
        if not _is_key_name(name) or len(id_text) != 8 or id_text.lower() != id_text:
            raise ValueError(f"{wrong} is not <name>+<8 hex digits>+<base64>, as hubaudit keygen prints it")
        try:
            id, key = bytes.fromhex(id_text), _decode(key_text)
        except ValueError:
            raise ValueError(f"{wrong} is not <name>+<8 hex digits>+<base64>, as hubaudit keygen prints it") from None
        if key[:1] != _ED25519 or len(key) != 33:
            raise ValueError(f"{wrong} is no Ed25519 key of a log (type 1 and 32 bytes)")
        if sha256(name.encode() + b"\n" + key).digest()[:4] != id:
            raise ValueError(f"{wrong} was changed: its id does not fit its name and key")
        return cls(name, id, key[1:])

    def has_signed(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `text`. Raises ImportError when the cryptography package is missing."""
        require_cryptography()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public_key).decode()}"


Keys = Union[str, VerifierKey, Iterable[Union[str, VerifierKey]]]
"""One verifier key, or several while a log changes its key: one that has signed is enough."""


def parse_keys(keys: Keys) -> tuple[VerifierKey, ...]:
    """Raises ValueError for what is no key, and for none."""
    several = (keys,) if isinstance(keys, (str, VerifierKey)) else tuple(keys)
    if not several:
        raise ValueError("no verifier key is given")
    return tuple(key if isinstance(key, VerifierKey) else VerifierKey.parse(key) for key in several)


def require_cryptography() -> None:
    """Raises ImportError, with what to do, when signatures cannot be verified here."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError as error:
        raise ImportError("verifying signatures needs the cryptography package, the extra hubaudit[verify]: pip install cryptography") from error


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log has signed: its name, how many records it has, and the root of the tree over them."""

    origin: str
    size: int
    root: bytes
    note: bytes = field(repr=False)
    """The signed note as it came."""

    @classmethod
    def parse(cls, note: bytes) -> Checkpoint:
        """Reads a signed note; verifies no signature. Raises `EvidenceError` when it is none, or no checkpoint."""
        text, _ = _split(note)
        # Separated by newlines alone: a name may hold other characters that splitlines takes for line ends.
        lines = text.decode().split("\n")[:-1]
        if len(lines) < 3 or not all(lines):
            raise EvidenceError("a checkpoint has at least three lines, and no empty ones")
        origin, size, root_text = lines[:3]
        if not size.isascii() or not size.isdigit() or str(int(size[:20])) != size or int(size) >= 1 << 63:
            raise EvidenceError(f"checkpoint: the size {size[:40]!r} is not a decimal number without leading zeros")
        try:
            root = _decode(root_text)
        except ValueError:
            root = b""
        if len(root) != HASH_BYTES:
            raise EvidenceError(f"checkpoint: the root {root_text[:80]!r} is not {HASH_BYTES} bytes in base64")
        if size == "0" and root != EMPTY_ROOT:
            raise EvidenceError(f"checkpoint: the root of no records is {EMPTY_ROOT.hex()}, not {root.hex()}")
        return cls(origin, int(size), root, bytes(note))

    def verify(self, keys: Keys) -> None:
        """Verifies the log's signature: by at least one of `keys`, and good by each of them that has signed.

        Raises `EvidenceError`; ValueError for what is no key; ImportError when the cryptography package is missing.
        """
        known = parse_keys(keys)
        text, signatures = _split(self.note)
        good: list[VerifierKey] = []
        for name, id, signature in signatures:
            for key in known:
                if (key.name, key.id) != (name, id):
                    continue
                if not key.has_signed(text, signature):
                    raise EvidenceError(f"the signature of {name}+{id.hex()} on the checkpoint of {self.size} records is not good")
                good.append(key)
        if not good:
            signed = ", ".join(f"{name}+{id.hex()}" for name, id, _ in signatures)
            wanted = ", ".join(f"{key.name}+{key.id.hex()}" for key in known)
            raise EvidenceError(f"the checkpoint of {self.size} records is signed by {signed}, not by {wanted}")
        if all(key.name != self.origin for key in good):
            raise EvidenceError(f"the checkpoint is of the log {self.origin!r}, and the key is that of {good[0].name!r}")

    def __str__(self) -> str:
        return f"{self.origin}: {self.size} records, root {self.root.hex()}"


def _split(note: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    """The signed text of a note, and of each signature the key's name and id and the bytes."""
    if len(note) > MAX_NOTE_BYTES:
        raise EvidenceError(f"a signed note of {len(note)} bytes is larger than {MAX_NOTE_BYTES}")
    if any(byte < 0x20 and byte != 0x0A for byte in note):
        raise EvidenceError("a signed note has no control characters, this one has")
    text, empty_line, lines = note.rpartition(b"\n\n")
    try:
        signature_lines = lines.decode().split("\n")
        text.decode()
    except UnicodeDecodeError:
        raise EvidenceError("a signed note is UTF-8, this one is not") from None
    if not empty_line or len(signature_lines) < 2 or signature_lines.pop():
        raise EvidenceError("a signed note has an empty line and signatures behind its text, and ends with its line, this one does not")
    if len(signature_lines) > MAX_SIGNATURES:
        raise EvidenceError(f"a signed note with {len(signature_lines)} signatures has more than {MAX_SIGNATURES}")
    return text + b"\n", [_signature(line) for line in signature_lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    try:
        if len(parts) == 3 and parts[0] == "\u2014" and _is_key_name(parts[1]):
            data = _decode(parts[2])
            if len(data) > 4:
                return parts[1], data[:4], data[4:]
    except ValueError:
        pass
    raise EvidenceError(f"signed note: the line {line[:80]!r} is no signature")


def _is_key_name(name: str) -> bool:
    return bool(name) and not any(character.isspace() or character == "+" or character < " " for character in name)


def _decode(text: str) -> bytes:
    """Standard base64 in its one canonical form. Raises ValueError."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data
