"""Where a server listens."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_PORT = 7411


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP host and port, with TLS or without, or the path of a Unix socket."""

    host: str | None = None
    port: int = DEFAULT_PORT
    path: str | None = None
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads "host", "host:port", "[::1]:port", "hubaudit://host:port", "hubaudits://host:port" (TLS) or "unix:/path"; the port is 7411
        where it is missing."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            path = path.removeprefix("//") if path.startswith("//") else path
            if not path:
                raise ValueError(f"address {text!r} names no socket: write unix:/path/to/socket")
            return cls(path=path)
        tls = text.startswith("hubaudits://")
        rest = text.removeprefix("hubaudits://" if tls else "hubaudit://").removesuffix("/")
        if "://" in rest or "/" in rest:
            raise ValueError(f"address {text!r} is not host:port, hubaudit://host:port, hubaudits://host:port or unix:/path")
        if rest.startswith("["):
            host, bracket, port_text = rest[1:].partition("]")
            if not bracket or (port_text and not port_text.startswith(":")):
                raise ValueError(f"address {text!r} has an IPv6 address without its closing bracket: write [::1]:7411")
            port_text = port_text.removeprefix(":")
        elif rest.count(":") > 1:
            host, port_text = rest, ""
        else:
            host, _, port_text = rest.partition(":")
        if not host:
            raise ValueError(f"address {text!r} names no host: write host:port")
        if not port_text:
            return cls(host=host, tls=tls)
        if not port_text.isascii() or not port_text.isdigit() or not 0 < int(port_text) < 65536:
            raise ValueError(f"address {text!r} has the port {port_text!r}, which is not a number from 1 to 65535")
        return cls(host=host, port=int(port_text), tls=tls)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        scheme = "hubaudits://" if self.tls else ""
        return f"{scheme}[{self.host}]:{self.port}" if self.host and ":" in self.host else f"{scheme}{self.host}:{self.port}"
