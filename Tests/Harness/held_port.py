"""Ports for servers that are started again where they were."""

import os
import socket


class HeldPort:
    """A port of loopback that nobody else gets while this object lives, also while no server listens on it.

    The socket is bound and never listens: who connects is refused, the system gives the port to nobody who asks for any, and a server
    that binds it with SO_REUSEADDR may listen.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((host, 0))
            self.number: int = holder.getsockname()[1]
            self._descriptor = holder.detach()

    def __del__(self, close=os.close) -> None:
        if hasattr(self, "_descriptor"):
            close(self._descriptor)
