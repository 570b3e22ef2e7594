"""What the options of this package must be. A value that makes no sense is a ValueError where it is given, not an odd wait later."""

from __future__ import annotations


def positive(name: str, seconds: float) -> float:
    """A time in seconds above 0."""
    if not seconds > 0:
        raise ValueError(f"{name}={seconds!r} is not a time in seconds above 0")
    return seconds


def not_negative(name: str, seconds: float | None) -> float | None:
    """A time in seconds of at least 0, or None."""
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"{name}={seconds!r} is not a time in seconds of at least 0")
    return seconds


def at_least_one(name: str, value: int) -> int:
    """A number of at least 1."""
    if value < 1:
        raise ValueError(f"{name}={value!r} is below 1")
    return value
