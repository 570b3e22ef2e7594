"""System calls of a server that fail, by strace: the kernel answers with an error in place of doing what it was asked."""

from __future__ import annotations

import subprocess
from functools import cache

# A server must not outlive a test run that is killed.
WRAP = ("setpriv", "--pdeathsig", "KILL")


@cache
def why_no_strace() -> str | None:
    """Why no call can be made to fail here."""
    try:
        done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    except FileNotFoundError:
        return "no strace; .ci/install installs it"
    return None if done.returncode == 0 else f"strace may not trace here: {done.stderr.strip()}"


def failing(call: str, what: str, *, path: object = None) -> tuple[str, ...]:
    """What to put before a command so that its call fails: `error=EIO:when=3`, counted for each thread by itself.

    The command stays the process that was started; strace runs beside it.
    """
    only = () if path is None else ("-P", str(path))
    return (*WRAP, "strace", "-D", "-f", "-o", "/dev/null", *only, "-e", f"trace={call}", "-e", f"inject={call}:{what}")
