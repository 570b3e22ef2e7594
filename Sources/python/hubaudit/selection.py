"""Where a read or a tail begins, and what it selects."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Literal, Union

from ._proto import frames_pb2
from .history import History

Position = Union[Literal["earliest", "latest"], int, datetime, History]
"""The first record; the next one to be appended; a sequence; the first record received at a time or later; or where `Tail.history` was."""

Names = Union[str, Iterable[str], None]
Time = Union[int, datetime, None]


def unix_nanoseconds(time: int | datetime) -> int:
    """Unix time in ns. Raises ValueError for a datetime without a time zone, which names no point in time."""
    if not isinstance(time, datetime):
        return time
    if time.tzinfo is None:
        raise ValueError(f"time {time.isoformat()} has no time zone: give one, for instance datetime.now(timezone.utc)")
    elapsed = time - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000


def make_start(position: Position) -> frames_pb2.Start:
    """The contract's `Start` for a position. Raises ValueError for anything else."""
    if isinstance(position, History):
        return position.to_start()
    if isinstance(position, bool):
        raise ValueError(f"position {position!r} is not 'earliest', 'latest', a sequence or a datetime")
    if isinstance(position, int):
        if not 0 <= position < 2**64:
            raise ValueError(f"sequence {position} is not from 0 to 2^64 - 1")
        return frames_pb2.Start(sequence=position)
    if isinstance(position, datetime):
        return frames_pb2.Start(time=unix_nanoseconds(position))
    if position == "earliest":
        return frames_pb2.Start(earliest=True)
    if position == "latest":
        return frames_pb2.Start(latest=True)
    raise ValueError(f"position {position!r} is not 'earliest', 'latest', a sequence or a datetime")


def _names(value: Names) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def make_filter(
    *,
    kinds: Names = None,
    hubs: Names = None,
    agents: Names = None,
    channels: Names = None,
    tasks: Names = None,
    since: Time = None,
    until: Time = None,
) -> frames_pb2.Filter | None:
    """The contract's `Filter`: fields are ANDed, the values of one field ORed; None when everything matches.

    `agents` matches an agent in any of its parts: agent, owner, creator, participant, violator. `since` <= received_at < `until`.
    """
    result = frames_pb2.Filter(
        kinds=_names(kinds), hubs=_names(hubs), agents=_names(agents), channels=_names(channels), tasks=_names(tasks)
    )
    if since is not None:
        result.since = unix_nanoseconds(since)
    if until is not None:
        result.until = unix_nanoseconds(until)
    return result if result.ByteSize() else None
