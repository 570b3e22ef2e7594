"""The clients that were started and not closed: where their event loop or the process ends first, what they still hold is named."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client

_live: set[Client] = set()


def add(client: Client) -> None:
    """Watches `client`. Those whose loop ended without a word are named now."""
    for other in list(_live):
        if other.home.ended:
            other.abandon("its event loop has ended")
    _live.add(client)


def discard(client: Client) -> None:
    _live.discard(client)


@atexit.register
def _name_all() -> None:
    for client in list(_live):
        client.abandon("the process ends")


# What they hold is the parent's to store.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_live.clear)
