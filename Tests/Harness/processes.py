"""The processes that a test has started, whoever their parent is by now."""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import time

PR_SET_CHILD_SUBREAPER = 36
# A process that was told to end has so long for it.
PATIENCE = 10

# Python's own, which end with this process.
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent ends, so that none gets out of sight."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants() -> dict[int, str]:
    """The living processes that this one has started, directly or not: number and command line."""
    parents: dict[int, int] = {}
    for directory in pathlib.Path("/proc").iterdir():
        if directory.name.isdecimal():
            try:
                state, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:  # It has ended meanwhile.
                continue
            if state not in "ZX":
                parents[int(directory.name)] = int(parent)
    found: dict[int, str] = {}
    waiting = [os.getpid()]
    while waiting:
        parent = waiting.pop()
        for child in [child for child, its in parents.items() if its == parent]:
            waiting.append(child)
            try:
                command = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if command and not any(helper in command for helper in HELPERS):
                found[child] = command
    return found


def left_behind() -> dict[int, str]:
    """What has not ended a while after the test; killed now."""
    deadline = time.monotonic() + PATIENCE
    while (left := descendants()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in left:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return left
