"""A TCP proxy that cuts connections and holds bytes back when it is told to."""

import asyncio
import contextlib


class Proxy:
    """Forwards to a server on this machine.

    `cut` ends every connection, with what was under way. `hold` keeps back what travels in a direction, and the news of a closed side
    with it, as a network does that loses every packet; `release` lets it go on.
    """

    def __init__(self, target_port: int) -> None:
        self.cuts = 0
        self._target_port = target_port
        self._to_server = asyncio.Event()
        self._to_client = asyncio.Event()
        self.release()
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.WriteTransport] = set()
        self._closed = False

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        assert self._server is not None
        self._server.close()
        self.cut()
        self.release()

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Resets every connection."""
        self.cuts += bool(self._transports)
        for transport in list(self._transports):
            transport.abort()
        self._transports.clear()

    def hold(self, *, to_server: bool = False, to_client: bool = False) -> None:
        """Keeps back what travels in these directions, on new connections too."""
        if to_server:
            self._to_server.clear()
        if to_client:
            self._to_client.clear()

    def release(self) -> None:
        """Lets everything through, first what was kept back."""
        self._to_server.set()
        self._to_client.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        transports = {writer.transport, upstream[1].transport}
        self._transports |= transports
        pumps = [
            asyncio.create_task(self._pump(reader, upstream[1], self._to_server)),
            asyncio.create_task(self._pump(upstream[0], writer, self._to_client)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for transport in transports:
            transport.abort()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        self._transports -= transports

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_open: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = await source.read(65536)
                await is_open.wait()
                if not data:
                    return
                sink.write(data)
                await sink.drain()
