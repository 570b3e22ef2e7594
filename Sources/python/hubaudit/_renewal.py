"""Shows a new token on a connection before the old one expires, again and again."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from . import errors
from ._proto import frames_pb2
from .credentials import Credentials

if TYPE_CHECKING:
    from .connection import Connection

logger: logging.Logger = logging.getLogger("hubaudit")

# Seconds between two attempts, at least. Also bounds them when this machine's clock is ahead of the server's.
_MIN_DELAY = 1.0


def delay(expires_at: int, now: float) -> float:
    """80 % of the seconds that are left; `expires_at` is Unix time in ns, `now` in seconds."""
    return max(0.0, (expires_at / 1e9 - now) * 0.8)


async def renew(connection: Connection, credentials: Credentials) -> None:
    """Returns when the connection has ended, or its credentials expire no more."""
    expires_at = connection.welcome.expires_at
    wait = delay(expires_at, time.time())
    failed = False
    while expires_at:
        await asyncio.wait({connection.ended}, timeout=wait)
        if connection.error is not None:
            return
        try:
            expires_at = await _authenticate(connection, credentials)
            failed = False
        except errors.HubauditError as error:
            if connection.error is not None:
                return
            if not failed:
                logger.error("the token for %s could not be renewed; trying again until it expires: %s", connection.address, error)
            failed = True
        wait = max(delay(expires_at, time.time()), _MIN_DELAY)


async def _authenticate(connection: Connection, credentials: Credentials) -> int:
    token = await credentials.token()
    frame = await connection.request(authenticate=frames_pb2.Authenticate(token=token))
    if not frame.HasField("authenticated"):
        raise errors.ProtocolError("the server answered a new token with something else")
    if frame.authenticated.identity != connection.welcome.identity:
        text = f"{connection.address} took a token of another identity on a connection of {connection.welcome.identity!a}"
        error = errors.ProtocolError(text)
        connection.close(error)
        raise error
    expires_at: int = frame.authenticated.expires_at
    return expires_at
