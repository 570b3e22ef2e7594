"""Ending tasks."""

from __future__ import annotations

import asyncio


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
