"""What is promised of the log as a whole: its order, that it keeps what was answered or pushed, and that it fits the real time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from history import History


def ordered(history: History) -> Iterator[str]:
    """The log is numbered from 0 without gaps, its times never decrease, and what a subscriber is sent ascends."""
    for index, record in enumerate(history.log):
        if record.sequence != index:
            yield f"the log has record {record.sequence} at position {index}"
    for one, next in pairwise(history.log):
        if next.received_at < one.received_at:
            yield f"record {next.sequence} was received before record {one.sequence}"
    for name, sequences in history.deliveries():
        for one, next in pairwise(sequences):
            if next < one:
                yield f"{name} was sent record {next} after {one}"


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
