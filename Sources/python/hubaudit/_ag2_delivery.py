"""Calls AG2's audit subscribers with the records of one hub, from a subscription to the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from . import errors
from ._checks import not_negative
from ._tasks import cancelled, settle
from .backoff import Backoff
from .client import Client
from .history import History
from .record import Record

logger: logging.Logger = logging.getLogger("hubaudit.ag2")

Callback = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Subscriber:
    callback: Callback
    # The sequence of the first record it is concerned with; None while the log's end is not known.
    first: int | None
    removed: bool = False


@dataclass(slots=True, eq=False)
class _Call:
    """A call of a subscriber, while it runs."""

    owner: Delivery
    running: bool = True


# The call within which code runs; tasks that a subscriber starts inherit it.
_call: ContextVar[_Call | None] = ContextVar("hubaudit subscriber call", default=None)


class Delivery:
    """The subscribers of one log, in the order of registration, and the task that calls them while there are any."""

    def __init__(self, client: Client, hub: str) -> None:
        self._client = client
        self._hub = hub
        self._subscribers: list[_Subscriber] = []
        self._task: asyncio.Task[None] | None = None
        self._delivered = 0
        # What is known of the log at the position `_delivered`, once a record has come.
        self._known: History | None = None
        self._calling = False
        self._progress: list[asyncio.Future[None]] = []
        self._closing = False

    @property
    def within(self) -> bool:
        """Whether this code runs within a call of one of the subscribers, which goes on only when it returns."""
        call = _call.get()
        return call is not None and call.running and call.owner is self

    def add(self, callback: Callback, position: int | None) -> None:
        """Subscribes `callback` from the sequence `position` on. Raises `Closed`, and `WrongLoop` where no event loop can call it."""
        if self._closing:
            raise errors.Closed(f"the log of hub {self._hub} was closed: nobody would be called")
        loop = self._client.home.check_outside()
        self._subscribers.append(_Subscriber(callback, position))
        if self._task is None or self._task.done():
            self._delivered, self._known = position or 0, None
            self._start(loop, position)

    def remove(self, callback: Callback) -> None:
        """Removes the first subscription of `callback`, if there is one."""
        for subscriber in self._subscribers:
            if subscriber.callback == callback:
                subscriber.removed = True
                self._subscribers.remove(subscriber)
                break

    async def drain(self, position: int, timeout: float | None) -> None:
        """Returns when everything before the sequence `position` was delivered, or nobody is subscribed.

        Raises `Timeout`, `Closed`, and `UsageError` within a call of a subscriber, which would wait for itself.
        """
        not_negative("timeout", timeout)
        self._client.home.check()
        if self.within:
            raise errors.UsageError("drain waits until the subscribers have returned: a subscriber cannot wait for it")

        async def delivered() -> None:
            while self._behind(position):
                await self._next_progress()

        try:
            await asyncio.wait_for(delivered(), timeout)
        except asyncio.TimeoutError:
            text = f"subscribers were called up to sequence {self._delivered} of {position} within {timeout:g} s"
            raise errors.Timeout(text) from None
        if self._closing and self._subscribers and self._delivered < position:
            raise errors.Closed(f"the log was closed; subscribers were called up to sequence {self._delivered} of {position}")

    async def reached(self, position: int, patience: float) -> bool:
        """As `drain`, but gives up, and returns False, when nothing comes from the server for `patience` seconds.

        A subscriber that is being called may take its time. Within a call of a subscriber it returns at once.
        """
        if self.within:
            return True
        while self._behind(position):
            try:
                await asyncio.wait_for(self._next_progress(), patience)
            except asyncio.TimeoutError:
                if not self._calling:
                    return False
        return True

    async def close(self) -> None:
        """Calls nobody any more; within a call of a subscriber, when that has returned."""
        self._closing = True
        if self._task is not None and not self.within:
            await cancelled(self._task)
        self._note_progress()

    def _behind(self, position: int) -> bool:
        return bool(self._subscribers) and self._delivered < position and not self._closing

    async def _next_progress(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._progress.append(waiter)
        await waiter

    def _start(self, loop: asyncio.AbstractEventLoop, position: int | None) -> None:
        self._task = loop.create_task(self._run(position), name="hubaudit audit subscribers")
        self._task.add_done_callback(self._on_end)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """Whatever ended the calls, a subscriber that raised it or cancelled its task: they go on."""
        if task is not self._task or self._closing or self._client.ending or not (task.cancelled() or task.exception()):
            return
        reason = "they were cancelled" if task.cancelled() else repr(task.exception())
        logger.error("hub %s: subscribers were stopped at sequence %d (%s) and go on", self._hub, self._delivered, reason)
        self._start(task.get_loop(), self._delivered)

    async def _run(self, position: int | None) -> None:
        backoff = Backoff()
        while not self._closing:
            try:
                if position is None:
                    position = (await self._client.wait_connected()).welcome.next_sequence
                self._delivered = position
                tail = self._client.tail(from_=self._known or position, hubs=self._hub)
                async with tail:
                    async for record in tail:
                        # Before it is called: what ends the calls is not called with the same record again.
                        position = record.sequence + 1
                        try:
                            await self._deliver(record)
                        finally:
                            self._delivered, self._known = position, tail.history
                            self._note_progress()
                        backoff.reset()
                        if self._closing:
                            return
                        if not self._subscribers:
                            self._task = None
                            return
            except (errors.Closed, errors.TamperedLogError):
                # The client has said what is wrong.
                return
            except errors.LogChanged:
                logger.exception("hub %s: the server has another log; subscribers go on at its end", self._hub)
                position = self._known = None
                for subscriber in self._subscribers:
                    subscriber.first = None
            except Exception:
                logger.exception("hub %s: subscribers stopped at sequence %s; trying again", self._hub, position)
            await asyncio.sleep(backoff.next())

    async def _deliver(self, record: Record) -> None:
        # A copy: a callback may subscribe and unsubscribe.
        for subscriber in list(self._subscribers):
            if subscriber.removed or self._closing or (subscriber.first is not None and record.sequence < subscriber.first):
                continue
            try:
                # Each gets a dict of its own, so that none can change what another sees.
                value = record.record
            except errors.HubauditError as error:
                logger.error("hub %s: subscribers are not called with record %d: %s", self._hub, record.sequence, error)
                return
            if value is not None:
                await self._call(subscriber, value, record)

    async def _call(self, subscriber: _Subscriber, value: dict[str, Any], record: Record) -> None:
        call = _Call(self)
        before = _call.set(call)
        self._calling = True
        try:
            await subscriber.callback(value)
        except asyncio.CancelledError:
            if await self._was_cancelled():
                raise
            logger.exception("audit subscriber was cancelled: kind=%s", record.kind)
        except KeyboardInterrupt:
            raise
        except BaseException:
            logger.exception("audit subscriber raised: kind=%s", record.kind)
        finally:
            self._calling = call.running = False
            _call.reset(before)

    async def _was_cancelled(self) -> bool:
        """Whether this task was cancelled, rather than what a subscriber waited for."""
        if self._closing:
            return True
        task = asyncio.current_task()
        # From Python 3.11 on.
        cancelling = getattr(task, "cancelling", None)
        if cancelling is not None:
            return bool(cancelling())
        # The client's own task, cancelled in the same turn of a loop that ends, gets its turn.
        await asyncio.sleep(0)
        return self._client.ending

    def _note_progress(self) -> None:
        waiters, self._progress = self._progress, []
        for waiter in waiters:
            settle(waiter, None)
