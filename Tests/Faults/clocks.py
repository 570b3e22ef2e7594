"""The machine's clock, set for one process as a test wants it."""

from __future__ import annotations

import pathlib
import struct
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parent / "clock.c"


class Clock:
    """The clock of the processes that are started with `wrap`. It may be set while they run."""

    def __init__(self, directory: pathlib.Path) -> None:
        library, self._file = directory / "clock.so", directory / "clock.offset"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE)], check=True)
        self._file.write_bytes(bytes(8))
        self.wrap = ("env", f"LD_PRELOAD={library}", f"CLOCK_OFFSET_FILE={self._file}")

    def set_off(self, seconds: int) -> None:
        """Has the clock differ from this machine's by so many seconds from now on."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("<q", seconds))

    def set_to(self, unix_seconds: int) -> None:
        self.set_off(unix_seconds - int(time.time()))
