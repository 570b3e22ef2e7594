"""What waits in a producer's queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import errors
from ._tasks import settle, settle_with
from .appended import Appended

if TYPE_CHECKING:
    from .producer import Producer

# What an event needs in a frame beside its own bytes.
_EVENT_OVERHEAD = 8


class Entry:
    """Encoded events that are stored or refused together. A subclass says what is done with the answer, which comes once."""

    __slots__ = ("alone", "bytes", "count", "events", "number", "proven", "sent", "unsure")

    def __init__(self, events: Sequence[bytes], *, proven: bool = False) -> None:
        self.events: Sequence[bytes] = events
        self.count: int = len(events)
        self.bytes: int = (len(events[0]) if self.count == 1 else sum(map(len, events))) + _EVENT_OVERHEAD * self.count
        self.proven: bool = proven
        self.number: int = 0
        """The producer's number of the first event; 0 before it has one."""
        self.sent: bool = False
        """Whether it has been on its way before, so that the server may have it."""
        self.unsure: bool = False
        """Whether it was on its way when a connection ended: until it is answered nobody knows whether the server has it."""
        self.alone: bool = False
        """Whether it must not share a request with others."""

    def stored(self, appended: Appended, first: int) -> None:
        """The events are on disk; they are those of `appended` from the position `first` on."""
        raise NotImplementedError

    def failed(self, error: errors.HubauditError) -> None:
        """Nothing of it was stored, or that is not known."""
        raise NotImplementedError


class AwaitedEntry(Entry):
    """An entry with a future that is done when the server has answered; of a proven one, when a signed checkpoint covers the records."""

    __slots__ = ("future",)

    def __init__(self, events: Sequence[bytes], *, proven: bool = False) -> None:
        super().__init__(events, proven=proven)
        self.future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        # The caller may have stopped waiting; then nobody asks for the exception.
        self.future.add_done_callback(lambda future: future.cancelled() or future.exception())

    def stored(self, appended: Appended, first: int) -> None:
        if not self.future.done():
            settle(self.future, appended.part(first, self.count))

    def failed(self, error: errors.HubauditError) -> None:
        settle_with(self.future, error)


class Request:
    """Consecutive entries that travel in one append. Takes the reply to it."""

    __slots__ = ("again", "answered", "bytes", "entries", "owner", "round")

    def __init__(self, owner: Producer, entries: list[Entry], size: int, again: bool, round: int) -> None:
        self.owner: Producer = owner
        self.entries: list[Entry] = entries
        self.bytes: int = size
        self.again: bool = again
        """Whether the entries have been on their way before."""
        self.round: int = round
        self.answered: bool = False

    @property
    def events(self) -> list[bytes]:
        return [event for entry in self.entries for event in entry.events]

    def on_reply(self, frame: Any) -> bool:
        self.owner.on_reply(self, frame)
        return True

    def on_lost(self, error: errors.HubauditError) -> None:
        # The producer is told of the loss once, by `detach`.
        return

    def blamed(self, error: errors.HubauditError) -> tuple[Entry, errors.HubauditError] | None:
        """The entry that the refusal is about, with its position in there; None when it may be any of several."""
        if len(self.entries) == 1:
            return self.entries[0], error
        if error.event is None:
            return None
        position = error.event
        for entry in self.entries:
            if position < entry.count:
                error.event = position
                return entry, error
            position -= entry.count
        return None
