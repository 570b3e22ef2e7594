"""A tiled log (C2SP tlog-tiles) seen from outside: what its paths are, what must be there, and what answers over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
import http.client
import urllib.parse

import naive_tree

TILE_WIDTH = 256


@dataclass(frozen=True)
class Tile:
    level: str
    """0 to 63, or "entries"."""
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        index, groups = self.index // 1000, f"{self.index % 1000:03}"
        while index:
            index, groups = index // 1000, f"x{index % 1000:03}/{groups}"
        return f"tile/{self.level}/{groups}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")


def tiles(size: int) -> Iterator[Tile]:
    """The tiles of a log of `size` entries, the lowest level first, and its bundles."""
    level, count = 0, size
    while count:
        for name in (str(level), *(["entries"] if level == 0 else [])):
            yield from (Tile(name, index) for index in range(count // TILE_WIDTH))
            if count % TILE_WIDTH:
                yield Tile(name, count // TILE_WIDTH, count % TILE_WIDTH)
        level, count = level + 1, count // TILE_WIDTH


class Levels:
    """What the tiles of a log have to hold, made from its entries by the definition of the tree alone."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]

    def add(self, entry: bytes) -> None:
        self.entries.append(entry)
        self._put(0, naive_tree.leaf(entry))

    def _put(self, level: int, hash: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
        hashes = self._levels[level]
        hashes.append(hash)
        if len(hashes) % TILE_WIDTH == 0:
            self._put(level + 1, naive_tree.root(hashes[-TILE_WIDTH:]))

    def content(self, tile: Tile) -> bytes:
        span = slice(tile.index * TILE_WIDTH, tile.index * TILE_WIDTH + tile.width)
        if tile.level == "entries":
            return b"".join(len(entry).to_bytes(2, "big") + entry for entry in self.entries[span])
        return b"".join(self._levels[int(tile.level)][span])

    def root(self, size: int) -> bytes:
        return naive_tree.root([naive_tree.leaf(entry) for entry in self.entries[:size]])


class TiledLog:
    """A log behind a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)

    def get(self, path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request(method, f"/{path}")
        reply = self._connection.getresponse()
        return reply, reply.read()

    def close(self) -> None:
        self._connection.close()
