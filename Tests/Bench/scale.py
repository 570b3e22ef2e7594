#!/usr/bin/env python3
"""What a long log costs: appends, start after a kill, the first record of a read from the middle, and memory, beside an empty log in the
same run. Makes a log of --records events (as `hubaudit bench` sends them, 0.32 GB a million with its tree), then measures both servers in
turn, --rounds times. Everything stays on loopback and in one temporary directory.

    make build && Tests/Bench/scale.py                      20 million records: some minutes
    Tests/Bench/scale.py --records 100000000 --scratch DIR  where the disk has 35 GB
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from measured import Bench, Server, free_port, touch_memory
from systems import remove

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Log:
    """A log and its server, which can be killed and started again."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench = bench
        self.data = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=bench.scratch))
        self.server = self.start()

    def start(self) -> Server:
        port = free_port()
        command = [str(self.bench.hubaudit), "serve", "--data", str(self.data / "log"), "--listen", f"127.0.0.1:{port}", "--http-listen", "off"]
        return Server(self.bench, command, port, self.data)

    def ask(self, *arguments: object) -> str:
        command = [str(self.bench.hubaudit), *map(str, arguments), "-s", f"127.0.0.1:{self.server.port}"]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=3600).stdout

    def load(self, *arguments: object) -> dict:
        return json.loads(self.ask("bench", *arguments, "--json"))

    def restart_seconds(self) -> float:
        """From the start of a server to its first answer, after the one before was killed under load."""
        load = subprocess.Popen(
            [*self.bench.prefix, str(self.bench.hubaudit), "bench", "append", "-s", f"127.0.0.1:{self.server.port}", "--clients", "4",
             "--in-flight", "1000", "--duration", "60s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        size = self.size()
        while self.size() < size + 10_000:
            pass
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait()
        load.wait(60)
        begin = time.monotonic()
        self.server = self.start()
        self.ask("health")
        return time.monotonic() - begin

    def size(self) -> int:
        return json.loads(self.ask("health", "-o", "json"))["next_sequence"]

    def first_record_ms(self, *position: object) -> float:
        """A whole process that reads one record."""
        begin = time.monotonic()
        record = json.loads(self.ask("read", *position, "-n", 1, "-o", "json"))
        elapsed = 1000 * (time.monotonic() - begin)
        assert "sequence" in record
        return elapsed

    def remove(self) -> None:
        self.server.stop()
        remove(self.data)


def measure(log: Log, size: int, seconds: float) -> dict[str, float]:
    middle = json.loads(log.ask("read", "--from", size // 2, "-n", 1, "-o", "json"))
    found = {"records/s": log.load("append", "--clients", 8, "--in-flight", 1000, "--duration", f"{seconds}s")["appended"]["per_second"]}
    found["memory MB"] = log.server.memory_mb() or 0
    found["start after a kill, s"] = log.restart_seconds()
    found["first record from the start, ms"] = statistics.median(log.first_record_ms("--from", "first") for _ in range(5))
    found["from the middle by sequence, ms"] = statistics.median(log.first_record_ms("--from", size // 2) for _ in range(5))
    found["from the middle by time, ms"] = statistics.median(log.first_record_ms("--since", middle["received_at"]) for _ in range(5))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="length of one measurement of appends (default 3)")
    parser.add_argument("--hubaudit", type=pathlib.Path, default=ROOT / ".build/release/hubaudit", help="the command to measure")
    parser.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "hubaudit-bench", help="on the disk to be measured")
    options = parser.parse_args()
    subprocess.run([ROOT / "Tests/Bench/install", options.scratch], check=True)
    free = shutil.disk_usage(options.scratch).free
    if free < 400 * options.records + (4 << 30):
        sys.exit(f"scale: {options.records:,} records take about {400 * options.records / 1e9:.0f} GB, and {free / 1e9:.0f} are free; set --records or --scratch")
    bench = Bench(options.scratch, options.hubaudit.resolve())
    touch_memory()

    logs = {"a new log": Log(bench, "new"), f"{options.records:,} records before": Log(bench, "long")}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in logs}
    try:
        new, long = logs.values()
        new.load("append", "--records", 1000)
        begin = time.monotonic()
        long.load("append", "--records", options.records, "--clients", 4, "--in-flight", 20_000, "--batch", 1000)
        print(f"made {options.records:,} records in {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        for number in range(options.rounds):
            for name, log in logs.items():
                print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
                results[name].append(measure(log, log.size() if log is new else options.records, options.seconds))
    finally:
        for log in logs.values():
            log.remove()

    new_runs, long_runs = results.values()
    print(f"| | {' | '.join(logs)} | ratio |\n| --- | ---: | ---: | ---: |")
    for key in new_runs[0]:
        one, other = (statistics.median(run[key] for run in runs) for runs in (new_runs, long_runs))
        print(f"| {key} | {one:,.3g} | {other:,.3g} | {other / one:.2f} |" if one < 1000 else f"| {key} | {one:,.0f} | {other:,.0f} | {other / one:.2f} |")


if __name__ == "__main__":
    main()
