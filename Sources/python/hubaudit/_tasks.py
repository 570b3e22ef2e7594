"""Ending tasks, settling futures."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancels `task` and returns when it has ended.

    Before Python 3.12 `asyncio.wait_for` loses a cancellation that comes in the turn of the loop in which what it waits for ends, so one
    may not be enough.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)
    if not task.cancelled():
        task.exception()


def settle(future: asyncio.Future[T], result: T) -> None:
    """Sets the result of a future that nobody has settled. Whose event loop has ended waits for nothing any more."""
    if not future.done():
        try:
            future.set_result(result)
        except RuntimeError:
            pass


def settle_with(future: asyncio.Future[T], error: BaseException) -> None:
    """As `settle`, with an exception."""
    if not future.done():
        try:
            future.set_exception(error)
        except RuntimeError:
            pass
