"""Hashes and proofs of the log's Merkle tree (RFC 6962 and RFC 9162, with SHA-256). Pure: no files, no sockets.

The leaf of a record is its header, as it is on disk (`Record.header_bytes`); its index is the record's sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from .errors import EvidenceError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def verify_inclusion(leaf: bytes, index: int, size: int, root: bytes, hashes: Sequence[bytes]) -> None:
    """Verifies that the leaf with the hash `leaf` is number `index`, from 0, in the tree of `size` leaves with `root` (RFC 9162, 2.1.3.2).

    Raises `EvidenceError` when it is not proved.
    """
    if not 0 <= index < size:
        raise EvidenceError(f"leaf {index} cannot be in a tree of {size} leaves")
    _check(hashes, leaf, root)
    node, last, result = index, size - 1, leaf
    for sibling in hashes:
        if last == 0:
            raise EvidenceError(f"the proof that leaf {index} is in the tree of {size} has too many hashes: {len(hashes)}")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise EvidenceError(f"the proof that leaf {index} is in the tree of {size} has too few hashes: {len(hashes)}")
    if result != root:
        raise EvidenceError(f"the proof leads from leaf {index} to the root {result.hex()}, the tree of {size} has {root.hex()}")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, hashes: Sequence[bytes]) -> None:
    """Verifies that the tree of `size` leaves begins with all leaves of the tree of `old_size` (RFC 9162, 2.1.4.2).

    Raises `EvidenceError` when it is not proved.
    """
    what = f"the tree of {old_size} with root {old_root.hex()} and that of {size} with root {root.hex()}"
    if not 0 <= old_size <= size:
        raise EvidenceError(f"{what}: the first must not be the larger one")
    _check(hashes, old_root, root)
    if (old_size == 0 and old_root != EMPTY_ROOT) or (size == 0 and root != EMPTY_ROOT):
        raise EvidenceError(f"{what}: a tree without leaves has the root {EMPTY_ROOT.hex()}")
    if old_size in (0, size):
        if hashes:
            raise EvidenceError(f"{what}: the proof has {len(hashes)} hashes and needs none")
        if old_size == size and old_root != root:
            raise EvidenceError(f"{what}: trees of one size must have one root")
        return
    path = list(hashes)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise EvidenceError(f"{what}: the proof has no hashes")
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_result = result = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise EvidenceError(f"{what}: the proof has too many hashes: {len(hashes)}")
        if node & 1 or node == last:
            old_result, result = node_hash(sibling, old_result), node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise EvidenceError(f"{what}: the proof has too few hashes: {len(hashes)}")
    if old_result != old_root or result != root:
        raise EvidenceError(f"{what}: the proof leads to the roots {old_result.hex()} and {result.hex()}")


def _check(hashes: Sequence[bytes], *more: bytes) -> None:
    for value in (*hashes, *more):
        if len(value) != HASH_BYTES:
            raise EvidenceError(f"a hash has {HASH_BYTES} bytes, this one {len(value)}")
