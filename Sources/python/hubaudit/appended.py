"""The answer to an append."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .checkpoint import Checkpoint
from .errors import ProtocolError
from .receipt import Inclusion, Receipt


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of the events of one append. Every record of it is on disk."""

    sequences: tuple[int | None, ...]
    """For each event, in order: the sequence of its record, or None when it was ignored."""
    duplicates: int = 0
    """How many of the recorded events an earlier request had stored: this client sent them again after a lost connection."""
    receipts: tuple[Receipt | None, ...] = ()
    """Of a proven append: for each event, in order, its receipt, or None when it was ignored."""
    inclusions: tuple[Inclusion, ...] = field(default=(), repr=False, compare=False)
    """Of a proven append: what `receipts` were made of."""

    @property
    def recorded(self) -> int:
        return len(self.sequences) - self.ignored

    @property
    def ignored(self) -> int:
        return self.sequences.count(None)

    @property
    def first_sequence(self) -> int | None:
        """Sequence of the first record; None when every event was ignored."""
        return next((sequence for sequence in self.sequences if sequence is not None), None)

    @property
    def last_sequence(self) -> int | None:
        """Sequence of the last record; None when every event was ignored."""
        return next((sequence for sequence in reversed(self.sequences) if sequence is not None), None)

    @classmethod
    def from_wire(cls, reply: Any, count: int) -> Appended:
        """Reads the frame that answers an append of `count` events. Raises `ProtocolError` when the two do not fit."""
        if reply.recorded == count and not (reply.ignored or reply.ignored_events or reply.sequences or reply.proofs or reply.duplicates):
            if count and not reply.HasField("first_sequence"):
                raise ProtocolError(f"the server answered an append of {count} events with {count} recorded and no sequence")
            return cls(tuple(range(reply.first_sequence, reply.first_sequence + count)))
        ignored = set(reply.ignored_events)
        if reply.recorded + reply.ignored != count or len(ignored) != reply.ignored or any(event >= count for event in ignored):
            raise ProtocolError(
                f"the server answered an append of {count} events with {reply.recorded} recorded and {reply.ignored} ignored"
            )
        if reply.duplicates > reply.recorded or len(reply.sequences) not in (0, reply.recorded):
            raise ProtocolError(
                f"the server answered an append of {count} events with {reply.recorded} recorded, {reply.duplicates} of them before, "
                f"and {len(reply.sequences)} sequences"
            )
        if reply.recorded and not reply.sequences and not reply.HasField("first_sequence"):
            raise ProtocolError(f"the server answered an append of {count} events with {reply.recorded} recorded and no sequence")
        recorded = iter(reply.sequences or range(reply.first_sequence, reply.first_sequence + reply.recorded))
        sequences = tuple(None if event in ignored else next(recorded) for event in range(count))
        recorded_sequences = [sequence for sequence in sequences if sequence is not None]
        inclusions: tuple[Inclusion, ...] = ()
        if reply.proofs:
            if len(reply.proofs) != len(recorded_sequences):
                raise ProtocolError(f"the server answered an append of {len(recorded_sequences)} records with {len(reply.proofs)} proofs")
            checkpoint = Checkpoint.parse(reply.checkpoint)
            inclusions = tuple(
                Inclusion.from_wire(sequence, hashes, checkpoint)
                for sequence, hashes in zip(recorded_sequences, reply.proofs, strict=True)
            )
        return cls(sequences, reply.duplicates, inclusions=inclusions)

    def part(self, first: int, count: int) -> Appended:
        """The answer for `count` events from the position `first` on."""
        if count == len(self.sequences):
            return self
        sequences = self.sequences[first : first + count]
        # Those that had been stored before come first.
        before = first - self.sequences[:first].count(None)
        recorded = count - sequences.count(None)
        duplicates = max(0, min(self.duplicates - before, recorded))
        return Appended(sequences, duplicates, inclusions=self.inclusions[before : before + recorded])

    @classmethod
    def joined(cls, parts: list[Appended]) -> Appended:
        """One answer for an append that was sent in several parts."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            tuple(sequence for part in parts for sequence in part.sequences),
            sum(part.duplicates for part in parts),
            inclusions=tuple(inclusion for part in parts for inclusion in part.inclusions),
        )
