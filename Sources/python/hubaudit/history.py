"""A position in a log, and what was known of the log there."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ._proto import frames_pb2
from .evidence import HASH_BYTES


@dataclass(frozen=True, slots=True)
class History:
    """Where to go on in a log: the server refuses it (`errors.HistoryDiffers`) when its log is another, is shorter, or went on differently.

    `Tail.history` gives it; `client.tail(from_=history)` and `client.read(history)` go on there, also in another process.
    """

    log_id: bytes
    """16 bytes that name the log."""
    size: int
    """The position: the number of records before it."""
    leaf_hash: bytes | None
    """The leaf hash of record `size - 1`. None when `size` is 0, or it is not known: then only the log's name and length are compared."""

    def __post_init__(self) -> None:
        if len(self.log_id) != 16 or not 0 <= self.size <= 1 << 63:
            raise ValueError(f"a history has a log id of 16 bytes and a size from 0 to 2^63, not {len(self.log_id)} bytes and {self.size}")
        if self.leaf_hash is not None and (len(self.leaf_hash) != HASH_BYTES or self.size == 0):
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes, and is that of record size - 1")

    def to_json(self) -> str:
        """One line, as the command's cursor files have it."""
        fields: dict[str, object] = {"log_id": self.log_id.hex(), "next_sequence": self.size}
        if self.leaf_hash is not None:
            fields["leaf_hash"] = self.leaf_hash.hex()
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> History:
        """What `to_json` or a cursor file says. Raises ValueError for anything else."""
        try:
            fields = json.loads(text)
            leaf_hash = fields.get("leaf_hash")
            size = fields["next_sequence"]
            if not isinstance(size, int) or isinstance(size, bool):
                raise TypeError(f"next_sequence is {size!r}")
            return cls(bytes.fromhex(fields["log_id"]), size, None if leaf_hash is None else bytes.fromhex(leaf_hash))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no position in a log: {text[:200]!r} ({error})") from None

    def to_wire(self) -> frames_pb2.History:
        wire = frames_pb2.History(log_id=self.log_id, size=self.size)
        if self.leaf_hash is not None:
            wire.leaf_hash = self.leaf_hash
        return wire

    def to_start(self) -> frames_pb2.Start:
        """The contract's `Start` at this position, with what the server is to compare."""
        return frames_pb2.Start(sequence=self.size, history=self.to_wire())
