"""The server under test, as its own process."""

import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import threading

from held_port import HeldPort

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("HUBAUDIT_BIN") or str(ROOT / ".build" / "release" / "hubaudit")


class Server:
    """`hubaudit serve` on a directory. It keeps its port over restarts, and while it does not run."""

    def __init__(self, directory: Path, *flags: str, http: bool = False) -> None:
        self.data = directory / "data"
        self.flags = flags
        self.url: str | None = None
        """Where it answers HTTP; None without `http`."""
        self.lines: list[str] = []
        """What it has logged since its last start."""
        self._http = http
        self._log = directory / "server.log"
        self._port = HeldPort()
        self._listen = f"127.0.0.1:{self._port.number}"
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
        http = "127.0.0.1:0" if self._http else "off"
        command = [BINARY, "serve", "--data", str(self.data), "--listen", self._listen, "--http-listen", http, "--log-format", "json"]
        command += self.flags
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        # Of its own, since the thread of an earlier process may still be reading.
        self.lines = lines = []
        for line in self._process.stdout:
            lines.append(line)
            ready = ready_message(line)
            if ready is not None:
                self._listen = ready["listen"].removeprefix("hubaudit://")
                self.url = f"http://{ready['http_listen']}" if self._http else None
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

    def pause(self) -> None:
        """SIGSTOP: it answers nothing, and its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def hang_up(self) -> None:
        """SIGHUP: it reads files again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

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
                lines.append(line)


def ready_message(line: str) -> dict | None:
    """The entry that says that the server is ready, None for other lines."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.get("listen") else None


def keygen(origin: str, file: Path) -> str:
    """Makes a signing key in `file`; returns the verifier key."""
    return subprocess.run([BINARY, "keygen", origin, "--out", str(file)], check=True, capture_output=True, text=True).stdout.strip()


class SigningServer(Server):
    """A server whose log is signed; its data directory can be copied and put back."""

    def __init__(self, directory: Path, *, origin: str = "log.example/hubs", key_file: Path | None = None, http: bool = False) -> None:
        """With a key file of its own, or that of another server."""
        self.key_file = key_file or directory / "key"
        if key_file is None:
            self.vkey = keygen(origin, self.key_file)
        super().__init__(directory, "--signing-key", str(self.key_file), http=http)

    def copy_data(self, copy: Path) -> None:
        """Stops the server and copies its data directory."""
        assert self.stop() == 0
        shutil.copytree(self.data, copy)

    def put_back(self, copy: Path) -> None:
        """Kills the server and puts the copy in the data directory's place."""
        self.kill()
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)
