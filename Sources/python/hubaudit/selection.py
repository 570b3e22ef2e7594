"""Where a read or a tail begins, and what it selects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Literal, Union

from ._proto import frames_pb2
from .history import History

Position = Union[Literal["earliest", "latest"], int, str, datetime, History]
"""The first record; the next one to be appended; a sequence; the first record received at a time (a datetime, or ISO text) or later; or
where `Tail.history` was."""

Names = Union[str, Iterable[str], None]
Time = Union[int, str, datetime, None]
"""A datetime with a time zone, ISO text with one ("2026-01-31T08:00:00Z"), or Unix time in ns."""

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def unix_nanoseconds(time: int | str | datetime) -> int:
    """Unix time in ns. Raises ValueError for what names no point in time: without a time zone, before 1970, or after 2554."""
    if isinstance(time, str):
        result = _from_iso(time)
    elif isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError(f"time {time.isoformat()} has no time zone: give one, for instance datetime.now(timezone.utc)")
        result = _nanoseconds(time)
    elif isinstance(time, bool) or not isinstance(time, int):
        raise ValueError(f"time {time!r} is not a datetime, ISO text or Unix time in ns")
    else:
        result = time
    if not 0 <= result < 2**64:
        raise ValueError(f"time {time!r} is not from 1970 to 2554, as 64 bits of nanoseconds hold it")
    return result


def _from_iso(text: str) -> int:
    wrong = f"time {text!r} is not like 2026-01-31T08:00:00Z, with a time zone"
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(wrong)
    date, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in "Zz" else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    try:
        whole = datetime.fromisoformat(f"{date}T{clock}{zone}")
    except ValueError as error:
        raise ValueError(f"{wrong}: {error}") from None
    return _nanoseconds(whole) + int((fraction or "").ljust(9, "0"))


def _nanoseconds(time: datetime) -> int:
    elapsed = time - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000


def make_start(position: Position) -> frames_pb2.Start:
    """The contract's `Start` for a position. Raises ValueError for anything else."""
    if isinstance(position, History):
        return position.to_start()
    if position == "earliest":
        return frames_pb2.Start(earliest=True)
    if position == "latest":
        return frames_pb2.Start(latest=True)
    if isinstance(position, int) and not isinstance(position, bool):
        if not 0 <= position < 2**64:
            raise ValueError(f"sequence {position} is not from 0 to 2^64 - 1")
        return frames_pb2.Start(sequence=position)
    if isinstance(position, (str, datetime)):
        try:
            return frames_pb2.Start(time=unix_nanoseconds(position))
        except ValueError as error:
            raise ValueError(f"position: {error}; or say 'earliest' or 'latest'") from None
    raise ValueError(f"position {position!r} is not 'earliest', 'latest', a sequence, a time or a History")


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
