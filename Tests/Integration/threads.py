"""One thread of another process, stopped while the others run: a thread that hangs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
from collections.abc import Iterator

import pytest

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000


def thread_named(process: int, name: str) -> int:
    """The one thread of this name, of which the kernel keeps 15 bytes."""
    tasks = pathlib.Path(f"/proc/{process}/task")
    (found,) = [int(task.name) for task in tasks.iterdir() if (task / "comm").read_text().strip() == name[:15]]
    return found


@contextlib.contextmanager
def hanging(process: int, name: str) -> Iterator[None]:
    """Stops a thread for the time of the block. It must be a child of this process, or this user must be root."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    thread = thread_named(process, name)

    def ptrace(request: int) -> None:
        if libc.ptrace(request, thread, None, None) != 0:
            pytest.skip(f"no ptrace here: {os.strerror(ctypes.get_errno())}")

    ptrace(PTRACE_SEIZE)
    try:
        ptrace(PTRACE_INTERRUPT)
        os.waitpid(thread, WALL)
        yield
    finally:
        ptrace(PTRACE_DETACH)
