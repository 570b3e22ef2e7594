"""Receipts: proof, to be kept and checked anywhere, that a record is in the log."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from .checkpoint import Checkpoint, Keys
from .errors import EvidenceError
from .evidence import HASH_BYTES, leaf_hash, verify_inclusion

_FIRST_LINE = "c2sp.org/tlog-proof@v1"
_MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That a leaf is in the tree of a checkpoint."""

    sequence: int
    hashes: tuple[bytes, ...]
    checkpoint: Checkpoint

    @classmethod
    def from_wire(cls, sequence: int, hashes: Sequence[bytes] | bytes, checkpoint: Checkpoint) -> Inclusion:
        """From hashes one by one, or one behind the other. Raises `EvidenceError` when they are none."""
        if isinstance(hashes, bytes):
            hashes = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
        if len(hashes) > _MAX_HASHES or any(len(hash) != HASH_BYTES for hash in hashes):
            raise EvidenceError(f"the proof of record {sequence} is not at most {_MAX_HASHES} hashes of {HASH_BYTES} bytes")
        return cls(sequence, tuple(hashes), checkpoint)


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a record stands in the log at its position, signed by the log. Outlives the server: `verify` needs nothing but the key.

    The header names the SHA-256 of the record's body, so the receipt covers both.
    """

    sequence: int
    """Position of the record in the log, from 0."""
    header: bytes
    """The record's header as it is on disk: the leaf of the tree (`Record.header_bytes`)."""
    hashes: tuple[bytes, ...]
    """The inclusion proof (RFC 9162), from the leaf's sibling to the root's child."""
    checkpoint: Checkpoint

    def verify(self, keys: Keys) -> None:
        """Verifies the log's signature and the proof.

        Raises `EvidenceError`; ValueError for what is no key; ImportError when the cryptography package is missing.
        """
        self.checkpoint.verify(keys)
        self.verify_inclusion()

    def verify_inclusion(self) -> None:
        """Verifies the proof, not the signature. Raises `EvidenceError`."""
        # Field 1 of a header, always first: tag, and the sequence in 8 bytes.
        if self.header[:9] != b"\x09" + self.sequence.to_bytes(8, "little"):
            raise EvidenceError(f"the header of the receipt is not that of record {self.sequence}")
        verify_inclusion(leaf_hash(self.header), self.sequence, self.checkpoint.size, self.checkpoint.root, self.hashes)

    def tlog_proof(self, *, with_header: bool = True) -> bytes:
        """The content of a C2SP `.tlog-proof` file; with the header as its extra data, so that the file says what it proves."""
        lines = [_FIRST_LINE]
        if with_header:
            lines.append(f"extra {base64.b64encode(self.header).decode()}")
        lines.append(f"index {self.sequence}")
        lines += [base64.b64encode(hash).decode() for hash in self.hashes]
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint.note

    @classmethod
    def parse(cls, data: bytes, *, header: bytes | None = None) -> Receipt:
        """Reads a `.tlog-proof` file; verifies nothing. `header` is needed where the file does not hold it.

        Raises `EvidenceError` when it is no such file.
        """
        top, empty_line, note = data.partition(b"\n\n")
        try:
            lines = top.decode("ascii").split("\n")
            extra = lines.pop(1).removeprefix("extra ") if len(lines) > 1 and lines[1].startswith("extra ") else None
            if not empty_line or len(lines) < 2 or lines[0] != _FIRST_LINE or not lines[1].startswith("index "):
                raise ValueError
            index = lines[1].removeprefix("index ")
            if not index.isdigit() or len(index) > 19 or str(int(index)) != index:
                raise ValueError
            hashes = [base64.b64decode(line, validate=True) for line in lines[2:]]
            if header is None and extra is not None:
                header = base64.b64decode(extra, validate=True)
        except ValueError:
            raise EvidenceError(f"this is no proof as C2SP tlog-proof has it: {top[:80]!r}") from None
        if header is None:
            raise EvidenceError("the proof does not hold the record's header: pass the one that is to be proven")
        inclusion = Inclusion.from_wire(int(index), hashes, Checkpoint.parse(note))
        return cls(inclusion.sequence, header, inclusion.hashes, inclusion.checkpoint)
