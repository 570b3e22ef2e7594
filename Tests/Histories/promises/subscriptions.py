"""What is promised to subscribers."""

from __future__ import annotations

from collections.abc import Iterator

from history import History, LogRecord, Session


def unique(history: History) -> Iterator[str]:
    """A subscriber is sent nothing twice, also when it resumes."""
    for name, sequences in history.deliveries():
        seen = set()
        for sequence in sequences:
            if sequence in seen:
                yield f"{name} was sent record {sequence} twice"
            seen.add(sequence)


def gapless(history: History) -> Iterator[str]:
    """A subscriber without a filter misses nothing between its first record and its last, nor up to a position that it was told."""
    for name, sessions in history.subscribers.items():
        if sessions[0].filter:
            continue
        due: int | None = None
        for session in sessions:
            for frame in session.frames:
                for sequence, _ in frame.records:
                    if due is not None and sequence > due:
                        yield f"{name} was sent record {sequence} where {due} was due"
                    due = max(due or 0, sequence + 1)
                if frame.next is not None:
                    if due is not None and frame.next > due:
                        yield f"{name} was told position {frame.next} where {due} was due"
                    due = max(due or 0, frame.next)


def resumable(history: History) -> Iterator[str]:
    """A subscription begins exactly where it was asked to begin, and is not refused there."""
    for name, sessions in history.subscribers.items():
        for session in sessions:
            begin = named_start(session)
            if session.ended not in (None, "DRAINING", "TIMEOUT"):
                yield f"{name} was refused with {session.ended} when it began at {session.start}"
            if begin is None or not session.frames:
                continue
            told = [frame.next for frame in session.frames if frame.next is not None]
            first = min([*session.sequences[:1], *told[:1]])
            if first < begin:
                yield f"{name} began at {session.start} and was sent or told {first}"
            elif session.sequences and not session.filter and session.sequences[0] != begin:
                yield f"{name} began at {session.start} and was sent {session.sequences[0]} first"


def filtered(history: History) -> Iterator[str]:
    """A subscriber with a filter is sent what matches, all of it up to where it is, and nothing else."""
    for name, sessions in history.subscribers.items():
        for session in sessions:
            if not session.filter or not session.frames:
                continue
            sent = set(session.sequences)
            for sequence in sorted(sent):
                if sequence < len(history.log) and not matches(history.log[sequence], session):
                    yield f"{name} was sent record {sequence}, which its filter {session.filter} does not match"
            begin = named_start(session)
            if begin is None:
                begin = min([*session.sequences[:1], *(frame.next for frame in session.frames[:1] if frame.next is not None)])
            end = max([*(sequence + 1 for sequence in sent), *(frame.next for frame in session.frames if frame.next is not None)])
            for record in history.log[begin:end]:
                if record.sequence not in sent and matches(record, session):
                    yield f"{name} was not sent record {record.sequence}, which its filter {session.filter} matches, and is at {end}"


def named_start(session: Session) -> int | None:
    """The sequence at which a session has to begin; None where it is not known from its request."""
    if "earliest" in session.start:
        return 0
    if "after" in session.start:
        return int(session.start["after"]) + 1
    return int(session.start["sequence"]) if "sequence" in session.start else None


def matches(record: LogRecord, session: Session) -> bool:
    """Whether the filter of the session, as PROTOCOL.md defines it, matches the record."""
    accepted = {"kinds": [record.kind], "hubs": [record.hub], "agents": record.agents}
    return all(set(values) & set(accepted[field]) for field, values in session.filter.items())
