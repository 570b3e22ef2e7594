"""TLS and rights of a run: one root, one certificate of the server for all its addresses, one identity that is never told everything is allowed."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from certificates import SERVER, Authority
from secured import token


class Security:
    """What a run's server and clients need."""

    def __init__(self, directory: pathlib.Path, hosts: Sequence[str]) -> None:
        root = Authority(directory)
        server = root.issue("server", addresses=tuple(hosts), usage=SERVER)
        text, line = token("run")
        self.cacert = str(root.cert)
        self.token_file = str(directory / "token")
        path = directory / "token"
        path.touch(0o600)
        path.write_text(text)
        access = directory / "access"
        access.touch(0o600)
        # The denial makes every record of every read be judged.
        access.write_text(
            f"identity run {line}\ngrant run publish hubs=* read hubs=*,hubaudit prove erase operate\ndeny run read hubs=nobody-*\n")
        self.flags = ("--access", str(access), "--tls-cert", str(server.cert), "--tls-key", str(server.key))
