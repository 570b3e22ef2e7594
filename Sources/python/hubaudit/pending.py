"""An append that is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from ._checks import not_negative
from .appended import Appended
from .errors import HubauditError


class PendingAppend:
    """What `Client.submit` returns: events that are queued, and stored once, whether or not anybody waits for them.

    `await pending` returns the answer, and may be cancelled and repeated: it never sends anything again.
    """

    def __init__(
        self, count: int, answer: Callable[[PendingAppend, float | None], Awaitable[Appended]], *, proven: bool
    ) -> None:
        self.count = count
        """Number of events."""
        self.proven = proven
        """Whether the answer comes with receipts."""
        self.futures: list[asyncio.Future[Appended]] = []
        """The answers to the parts in which the events are sent, in order."""
        self._answer = answer

    @property
    def done(self) -> bool:
        """Whether the server has answered for all events: `result` and `await` return or raise at once."""
        return all(future.done() for future in self.futures)

    def result(self) -> Appended:
        """The answer, without receipts. Raises what the events were refused with, `asyncio.InvalidStateError` when it is not there yet."""
        return Appended.joined([future.result() for future in self.futures]) if self.futures else Appended(())

    def exception(self) -> HubauditError | None:
        """What the events were refused with; None when they were stored. Raises `asyncio.InvalidStateError` as `result`."""
        try:
            self.result()
        except HubauditError as error:
            return error
        return None

    async def wait(self, deadline: float | None = None) -> Appended:
        """The answer, when it is there. Raises as `Client.append`: `AppendPending` after `deadline` seconds, where it is not None."""
        return await self._answer(self, not_negative("deadline", deadline))

    def __await__(self) -> Generator[Any, None, Appended]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        return f"<PendingAppend of {self.count} events, {'answered' if self.done else 'on its way'}>"
