"""The server under test, as its own process."""

import json
import os
from pathlib import Path
import subprocess
import threading

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("HUBAUDIT_BIN") or str(ROOT / ".build" / "release" / "hubaudit")


class Server:
    """`hubaudit serve` on a directory. It keeps its port over restarts."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.data = directory / "data"
        self.flags = flags
        self._log = directory / "server.log"
        self._listen = "127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return self._listen

    @property
    def port(self) -> int:
        return int(self._listen.rpartition(":")[2])

    def start(self) -> None:
        """Starts it and returns when it says that it is ready."""
        command = [BINARY, "serve", "--data", str(self.data), "--listen", self._listen, "--log-format", "json", *self.flags]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            address = listening_address(line)
            if address is not None:
                self._listen = address
                break
        else:
            raise AssertionError(f"the server ended with status {self._process.wait()} before it was ready:\n{''.join(lines)}")
        # Somebody has to read on, or a full pipe stops the server.
        threading.Thread(target=self._drain, args=(self._process.stdout, lines), daemon=True).start()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(timeout=30)
        self._process = None
        return status

    def _drain(self, stream, lines: list[str]) -> None:
        with self._log.open("a") as log:
            log.writelines(lines)
            for line in stream:
                log.write(line)


def listening_address(line: str) -> str | None:
    """host:port from the line that says that the server is ready, None for other lines."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    listen = entry.get("listen") if isinstance(entry, dict) else None
    return str(listen).removeprefix("hubaudit://") if listen else None
