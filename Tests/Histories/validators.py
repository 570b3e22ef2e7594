"""One validator per promise. Each reads a history and returns what breaks its promise, a sentence each; nothing when it is kept.

They share no code with the server, and with one another only the history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from history import Append, History, LogRecord, Session

Validator = Callable[[History], Iterator[str]]

# After these an append may have been stored all the same.
UNKNOWN = ("LOG_FAILED", "DATA_DAMAGED", "INTERNAL")


def ordered(history: History) -> Iterator[str]:
    """The log is numbered from 0 without gaps, its times never decrease, and what a subscriber is sent ascends."""
    for index, record in enumerate(history.log):
        if record.sequence != index:
            yield f"the log has record {record.sequence} at position {index}"
    for one, next in pairwise(history.log):
        if next.received_at < one.received_at:
            yield f"record {next.sequence} was received before record {one.sequence}"
    for name, sequences in deliveries(history):
        for one, next in pairwise(sequences):
            if next < one:
                yield f"{name} was sent record {next} after {one}"


def unique(history: History) -> Iterator[str]:
    """A subscriber is sent nothing twice, also when it resumes."""
    for name, sequences in deliveries(history):
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


def durable(history: History) -> Iterator[str]:
    """What was acknowledged is in the log at its sequence with its content; what was delivered is in it, byte for byte."""
    for append in history.appends:
        for event, sequence in zip(append.events, append.sequences or [], strict=False):
            if sequence is None:
                continue
            if sequence >= len(history.log):
                yield f"{event.token} was acknowledged as record {sequence}; the log ends before {len(history.log)}"
                continue
            record = history.log[sequence]
            expected = (append.hub, event.token, event.kind, event.text)
            if (record.hub, record.token, record.kind, record.text) != expected:
                yield f"{event.token} was acknowledged as record {sequence}, which is {record.token} with another content or origin"
    for name, sessions in history.subscribers.items():
        for sequence, digest in (record for session in sessions for record in session.records):
            if sequence >= len(history.log):
                yield f"{name} was sent record {sequence}; the log ends before {len(history.log)}"
            elif history.log[sequence].digest != digest:
                yield f"{name} was sent other bytes for record {sequence} than the log has"


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


def exactly_once(history: History) -> Iterator[str]:
    """A producer's events are in the log at most once, in the order of their numbers, none missing below one that is done; an event that
    is sent again is answered with its first sequence; and an event that was refused, or never sent, is not in the log."""
    tokens: dict[str, int] = {}
    for record in history.log:
        if record.token is not None and record.token in tokens:
            yield f"{record.token} is in the log twice, as {tokens[record.token]} and {record.sequence}"
        elif record.token is not None:
            tokens[record.token] = record.sequence
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for record in history.log:
        if record.producer is not None:
            numbers[record.hub, record.producer].append(record.number or 0)
    for (_, producer), logged in numbers.items():
        for one, next in pairwise(logged):
            if next <= one:
                yield f"event {next} of {producer} stands behind its event {one}"
    yield from missing_numbers(history, numbers)
    answers: dict[str, int | None] = {}
    for append in history.appends:
        for event, sequence in zip(append.events, append.sequences or [], strict=False):
            if (sequence is None) != (event.kind is None):
                yield f"{event.token} was answered with {sequence}, and should {'not ' if event.kind is None else ''}have a record"
            if answers.setdefault(event.token, sequence) != sequence:
                yield f"{event.token} was answered with {answers[event.token]} and with {sequence}"
    yield from strangers(history, tokens)


def missing_numbers(history: History, logged: dict[tuple[str, str], list[int]]) -> Iterator[str]:
    """Numbers below an acknowledged one, or below the one that the server said it expects, that should be in the log and are not."""
    done: dict[tuple[str, str], int] = defaultdict(int)
    recorded: dict[tuple[str, str], set[int]] = defaultdict(set)
    for append in history.appends:
        if append.producer is None or append.number is None:
            continue
        key = (append.hub, append.producer)
        recorded[key].update(append.number + index for index, event in enumerate(append.events) if event.kind is not None)
        if append.sequences is not None:
            done[key] = max(done[key], append.number + len(append.events))
    for hello in history.hellos:
        done[hello.hub, hello.producer] = max(done[hello.hub, hello.producer], hello.expected)
        if hello.expected < hello.declared:
            yield f"{hello.producer} was told that event {hello.expected} comes next when all before {hello.declared} were answered"
    for key, end in done.items():
        for number in sorted(recorded[key] - set(logged[key])):
            if number < end:
                yield f"event {number} of {key[1]} is missing; the events before {end} are done"


def strangers(history: History, tokens: dict[str, int]) -> Iterator[str]:
    """Records of events that nobody sent, and of appends that were refused and not sent again."""
    refused: dict[str, bool] = {}
    for append in history.appends:
        is_refused = append.refused is not None and append.refused not in UNKNOWN
        for event in append.events:
            refused[event.token] = is_refused and refused.get(event.token, True)
    for token, sequence in tokens.items():
        if token not in refused:
            yield f"record {sequence} is {token}, which nobody sent"
        elif refused[token]:
            yield f"record {sequence} is {token}, which was refused"


def whole(history: History) -> Iterator[str]:
    """An append is stored whole or not at all, its records side by side in their order."""
    places = {record.token: record.sequence for record in history.log}
    for append in history.appends:
        # One that is sent again in other batches may be stored in those.
        if append.producer is not None:
            continue
        tokens = [event.token for event in append.events if event.kind is not None]
        stored = [places[token] for token in tokens if token in places]
        if stored and (len(stored) < len(tokens) or stored != list(range(stored[0], stored[0] + len(stored)))):
            yield f"the append of {tokens} by {append.client} is stored as records {stored}"


def sent_order(history: History) -> Iterator[str]:
    """Appends of one connection are stored in the order in which they were sent."""
    places = {record.token: record.sequence for record in history.log}
    last: dict[tuple[str, int], tuple[int, str]] = {}
    for append in history.appends:
        if append.producer is not None:
            continue
        for event in append.events:
            sequence = places.get(event.token)
            if sequence is None:
                continue
            before = last.get((append.client, append.connection))
            if before is not None and sequence < before[0]:
                yield f"{event.token} was sent after {before[1]} and stands before it"
            last[append.client, append.connection] = (sequence, event.token)


def real_time(history: History) -> Iterator[str]:
    """What was acknowledged or delivered before an event was first sent has a smaller sequence."""
    places = {record.token: record.sequence for record in history.log}
    known: list[tuple[int, int, str]] = []
    sent: dict[str, int] = {}
    for append in history.appends:
        if append.answered_at is not None and append.sequences is not None:
            known += [(append.answered_at, sequence, "acknowledged") for sequence in append.sequences if sequence is not None]
        for event in append.events:
            sent[event.token] = min(append.sent_at, sent.get(event.token, append.sent_at))
    for sessions in history.subscribers.values():
        for frame in (frame for session in sessions for frame in session.frames):
            known += [(frame.at, sequence, "delivered") for sequence, _ in frame.records[-1:]]
    known.sort()
    highest, position = (-1, ""), 0
    for at, token in sorted((at, token) for token, at in sent.items()):
        while position < len(known) and known[position][0] < at:
            highest = max(highest, known[position][1:])
            position += 1
        if token in places and places[token] < highest[0]:
            yield f"{token} was sent when record {highest[0]} had been {highest[1]}, and is record {places[token]}"


def deliveries(history: History) -> Iterator[tuple[str, list[int]]]:
    """Each subscriber with all that it was sent, over all its sessions."""
    for name, sessions in history.subscribers.items():
        yield name, [sequence for session in sessions for sequence in session.sequences]


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


VALIDATORS: tuple[Validator, ...] = (
    ordered, unique, gapless, durable, resumable, filtered, exactly_once, whole, sent_order, real_time
)


def violations(history: History) -> list[str]:
    """Everything that is wrong, with the name of the promise before it."""
    return [f"{validator.__name__}: {sentence}" for validator in VALIDATORS for sentence in validator(history)]
