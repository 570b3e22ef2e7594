"""One validator per promise. Each reads a history and yields what breaks its promise, a sentence each; nothing when it is kept.

They share no code with the server, and with one another only the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from history import History

from .appends import exactly_once, sent_order, whole
from .log import durable, ordered, real_time
from .subscriptions import filtered, gapless, resumable, unique

VALIDATORS: tuple[Callable[[History], Iterator[str]], ...] = (
    ordered,
    unique,
    gapless,
    durable,
    resumable,
    filtered,
    exactly_once,
    whole,
    sent_order,
    real_time,
)


def violations(history: History) -> list[str]:
    """Everything that is wrong, with the name of the promise before it."""
    return [f"{validator.__name__}: {sentence}" for validator in VALIDATORS for sentence in validator(history)]
