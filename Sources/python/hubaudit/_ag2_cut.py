"""Texts of AG2's own records that anybody can make as long as he likes: cut, and marked, where the server would not take the record."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

_TEXTS = {
    "channel_closed": "reason",
    "channel_expired": "reason",
    "task_terminated": "reason",
    "turn_failed": "exc_message",
}
# What a character needs at most as JSON, with room for the rest of the record.
_BYTES_A_CHARACTER = 16


def cut_to(record: dict[str, Any], limit: int) -> dict[str, Any] | None:
    """A copy of `record` whose long text is cut so that it fits into `limit` bytes; None where there is none to cut."""
    kind = record.get("kind")
    name = _TEXTS.get(kind) if isinstance(kind, str) else None
    text = record.get(name) if name is not None else None
    if name is None or not isinstance(text, str) or len(text) <= limit // _BYTES_A_CHARACTER:
        return None
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    mark = f" … [cut by hubaudit: {len(text)} characters, SHA-256 {digest}]"
    return record | {name: text[: limit // _BYTES_A_CHARACTER - len(mark)] + mark}
