"""A server under measurement: starts it, counts the CPU time and memory of its whole process tree, runs a load against it."""

from __future__ import annotations

import json
import mmap
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


class Bench:
    """Where things are."""

    def __init__(self, scratch: pathlib.Path, hubaudit: pathlib.Path) -> None:
        self.scratch, self.hubaudit = scratch, hubaudit
        self.bin = scratch / "bin"
        self.nats_server = scratch / "venv" / "bin" / "nats-server"
        self.lt = str(self.bin / "lt")
        # A short scheduler slice for server and load: otherwise a busy neighbour parks a thread that wakes from a sync for a whole tick.
        self.prefix = [str(self.bin / "lowlat"), "-g", "-15", "-s", "100"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def machine_seconds() -> float:
    """CPU seconds that everything on the machine has used."""
    fields = [int(field) for field in open("/proc/stat").readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICKS


def descendants(pid: int) -> list[int]:
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in open(f"/proc/{pid}/task/{task}/children").read().split():
                found += descendants(int(child))
    except OSError:
        pass
    return found


def touch_memory() -> None:
    """Uses half of the free memory once, 8 GiB at most. On a virtual machine the first use of a page costs many times the later ones, and
    whose file gets the unused ones would be luck."""
    available = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemAvailable"))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
    mmap.mmap(-1, min(available * 1024 // 2, 8 << 30), flags=flags).close()


class Server:
    """A server's process, on loopback, once it takes connections."""

    def __init__(self, bench: Bench, command: list[str], port: int, data: pathlib.Path) -> None:
        self.bench, self.port, self.data = bench, port, data
        self.log = open(data / "server.log", "wb")
        self.process = subprocess.Popen([*bench.prefix, *command], stdout=self.log, stderr=self.log, cwd=data)
        deadline = time.monotonic() + 30
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended: {(data / 'server.log').read_text(errors='replace')[-500:]}")
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise
                time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """Of user and kernel, with children that have ended."""
        ticks = 0
        for pid in descendants(self.process.pid):
            try:
                fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            ticks += int(fields[11]) + int(fields[12])
            if pid == self.process.pid:
                ticks += int(fields[13]) + int(fields[14])
        return ticks / TICKS

    def memory_mb(self) -> float | None:
        """Resident, what is shared counted once; none when the server has ended."""
        kilobytes = 0
        for pid in descendants(self.process.pid):
            try:
                kilobytes += sum(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:"))
            except OSError:
                pass
        return kilobytes / 1024 or None

    def peak_mb(self) -> float | None:
        """The most that the server's first process had resident."""
        try:
            return next(int(line.split()[1]) for line in open(f"/proc/{self.process.pid}/status") if line.startswith("VmHWM")) / 1024
        except (OSError, StopIteration):
            return None

    def load(self, command: list[str]) -> dict:
        """Runs a load that prints one JSON object; adds what it cost the server, and the share of the machine that others used."""
        before_machine, before_server, before = machine_seconds(), self.cpu_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        run = subprocess.run([*self.bench.prefix, *command], capture_output=True, text=True, timeout=180)
        wall = time.monotonic() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = run.stdout.strip().splitlines()
        if run.returncode != 0 or not lines:
            raise RuntimeError(f"{' '.join(command)} exited with {run.returncode}: {run.stderr[-400:]}")
        result = json.loads(lines[-1])
        client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        server = self.cpu_seconds() - before_server
        result["server_cpu_s"], result["client_cpu_s"], result["memory_mb"] = server, client, self.memory_mb()
        result["peak_mb"] = self.peak_mb()
        result["foreign"] = max(0.0, machine_seconds() - before_machine - server - client) / (wall * CORES)
        return result

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
