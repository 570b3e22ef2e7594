"""What is promised to producers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from history import History

# After these an append may have been stored all the same.
UNKNOWN = ("LOG_FAILED", "DATA_DAMAGED", "INTERNAL")


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
