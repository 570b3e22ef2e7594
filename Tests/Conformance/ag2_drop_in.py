"""A pytest plugin: every hub that AG2's tests open gets the drop-in in place of AG2's own log. `ag2_suite.py` runs them with it.

HUBAUDIT_SERVER says where the server is, AG2_LOG how the drop-in is to work: durable, queued or inline.
"""

from __future__ import annotations

import itertools
import os
import secrets
import weakref
from typing import Any

from ag2.network.hub.core import Hub
from hubaudit.ag2 import HubAuditLog

OPTIONS: dict[str, dict[str, Any]] = {"durable": {"mode": "durable"}, "queued": {"mode": "queued"}, "inline": {"mode": "durable", "deliver": "inline"}}

_options = OPTIONS[os.environ["AG2_LOG"]]
_run = secrets.token_hex(4)
_numbers = itertools.count(1)
# A hub that is opened again on its store finds what it wrote there: the store is the name of the hub.
_names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_paths: dict[str, str] = {}
_open = Hub.open.__func__
_close = Hub.close


def _name(store: Any) -> str:
    # Two stores over one file are one.
    path = getattr(store, "_db_path", None) or getattr(store, "_root", None)
    names, key = (_paths, str(path)) if path is not None else (_names, store)
    if key not in names:
        names[key] = f"{_run}-{next(_numbers)}"
    return names[key]


async def _open_with_ours(cls: type[Hub], store: Any, **options: Any) -> Hub:
    hub = await _open(cls, store, **options)
    if type(hub.audit_log) is not HubAuditLog:
        hub.replace_audit_log(await HubAuditLog.connect(hub=_name(store), clock=hub._clock, **_options))
    return hub


async def _close_both(hub: Hub) -> None:
    await _close(hub)
    if isinstance(hub.audit_log, HubAuditLog):
        await hub.audit_log.close()


Hub.open = classmethod(_open_with_ours)
Hub.close = _close_both
