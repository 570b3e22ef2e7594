"""Calls AG2's audit subscribers with the records of one hub, from a subscription to the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from . import errors
from ._tasks import cancelled
from .backoff import Backoff
from .client import Client
from .history import History
from .record import Record

logger = logging.getLogger("hubaudit.ag2")

Callback = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Subscriber:
    callback: Callback
    # The sequence of the first record it is concerned with; None while the log's end is not known.
    first: int | None
    removed: bool = False


class Delivery:
    """The subscribers of one log, in the order of registration, and the task that calls them while there are any."""

    def __init__(self, client: Client, hub: str) -> None:
        self._client = client
        self._hub = hub
        self._subscribers: list[_Subscriber] = []
        self._task: asyncio.Task[None] | None = None
        self._delivered = 0
        self._progress: list[asyncio.Future[None]] = []
        self._closing = False

    def add(self, callback: Callback, position: int | None) -> None:
        """Subscribes `callback` from the sequence `position` on."""
        self._subscribers.append(_Subscriber(callback, position))
        if self._task is None:
            self._delivered = position or 0
            self._task = asyncio.get_running_loop().create_task(self._run(position), name="hubaudit audit subscribers")

    def remove(self, callback: Callback) -> None:
        """Removes the first subscription of `callback`, if there is one."""
        for subscriber in self._subscribers:
            if subscriber.callback == callback:
                subscriber.removed = True
                self._subscribers.remove(subscriber)
                break

    async def drain(self, position: int, timeout: float | None) -> None:
        """Returns when everything before the sequence `position` was delivered, or nobody is subscribed."""

        async def delivered() -> None:
            while self._subscribers and self._delivered < position and not self._closing:
                waiter = asyncio.get_running_loop().create_future()
                self._progress.append(waiter)
                await waiter

        try:
            await asyncio.wait_for(delivered(), timeout)
        except asyncio.TimeoutError:
            text = f"subscribers were called up to sequence {self._delivered} of {position} within {timeout:g} s"
            raise errors.Timeout(text) from None

    async def close(self) -> None:
        """Calls nobody any more."""
        self._closing = True
        if self._task is not None:
            await cancelled(self._task)
        self._note_progress()

    async def _run(self, position: int | None) -> None:
        backoff = Backoff()
        # What is known of the log as of the position, once a record has come.
        known: History | None = None
        while not self._closing:
            try:
                if position is None:
                    position = (await self._client.wait_connected()).welcome.next_sequence
                self._delivered = position
                tail = self._client.tail(from_=position if known is None else known, hubs=self._hub)
                async with tail:
                    async for record in tail:
                        await self._deliver(record)
                        position, known = record.sequence + 1, tail.history
                        self._delivered = position
                        self._note_progress()
                        backoff.reset()
                        if not self._subscribers:
                            self._task = None
                            return
            except (errors.Closed, errors.TamperedLogError):
                # The client has said what is wrong.
                return
            except errors.LogChanged:
                logger.exception("hub %s: the server has another log; subscribers go on at its end", self._hub)
                position = known = None
                for subscriber in self._subscribers:
                    subscriber.first = None
            except errors.HubauditError:
                logger.exception("hub %s: subscribers stopped at sequence %s; trying again", self._hub, position)
            await asyncio.sleep(backoff.next())

    async def _deliver(self, record: Record) -> None:
        # A copy: a callback may subscribe and unsubscribe.
        for subscriber in list(self._subscribers):
            if subscriber.removed or (subscriber.first is not None and record.sequence < subscriber.first):
                continue
            # Each gets a dict of its own, so that none can change what another sees.
            value = record.record
            if value is None:
                continue
            try:
                await subscriber.callback(value)
            except asyncio.CancelledError:
                if self._closing:
                    raise
                logger.exception("audit subscriber was cancelled: kind=%s", record.kind)
            except Exception:
                logger.exception("audit subscriber raised: kind=%s", record.kind)

    def _note_progress(self) -> None:
        waiters, self._progress = self._progress, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
