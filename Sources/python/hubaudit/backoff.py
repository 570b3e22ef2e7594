"""How long to wait before trying again."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from `first` to `longest` seconds, each drawn from its upper half so that clients do not come back in step."""

    def __init__(self, first: float = 0.05, longest: float = 5.0) -> None:
        self._first = first
        self._longest = longest
        self._bound = first

    def next(self) -> float:
        """The next delay in seconds."""
        delay = self._bound * random.uniform(0.5, 1.0)
        self._bound = min(self._bound * 2, self._longest)
        return delay

    def reset(self) -> None:
        """What was tried succeeded."""
        self._bound = self._first
