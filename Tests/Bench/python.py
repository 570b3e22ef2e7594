#!/usr/bin/env python3
"""The Python package under load, beside AG2's own AuditLog on its disk store and the bare C server, on this machine, in one run. Every
round goes through all of it, each on a new, empty server; the table has the medians of the rounds and their range. Everything stays on
loopback and in one temporary directory.

    make build && Tests/Bench/python.py                three rounds of about a minute
    Tests/Bench/python.py --cases append,queued --rounds 9 --seconds 1

- `HubAuditLog.append`, awaited one at a time: the record is on disk. Less the interpreter's cost: what another client's rate, with the C
  server or with hubaudit, allows when the interpreter's CPU time, less that of the client, is added to each append.
- Queued: until the last record is on disk. AG2's own writes each record to its file and never syncs.
- `read_all` of the same records: AG2's file is the server's export. Memory is the most that the process had resident.
- The async iteration: `HubAuditLog.records`, dicts as AG2's, and `Client.read`, records with position and header.

`foreign` is the largest share of the machine that other processes had during a run: over a few per cent, repeat it."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from measured import Bench, Server, touch_memory
from systems import Hubaudit, Ideal, remove

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKER = pathlib.Path(__file__).with_name("python_worker.py")
EARLY = 100_000

Figures = dict[str, list[float]]


class Round:
    """One measurement of everything."""

    def __init__(self, bench: Bench, seconds: float, count: int) -> None:
        self.bench, self.seconds, self.count = bench, seconds, count
        self.python = str(bench.scratch / "python" / "bin" / "python")
        self.hubaudit, self.ideal = Hubaudit(bench), Ideal(bench)

    def measure(self, cases: list[str]) -> dict[str, dict]:
        results = {}
        if "append" in cases:
            for name, system in (("ideal", self.ideal), ("bench", self.hubaudit)):
                results[name] = self.on(system, lambda server, system=system: system.append(server, 1, 1, self.seconds))
                results[name]["cpu_us"] = 1e6 * results[name]["client_cpu_s"] / results[name]["acked"]
            results["append"] = self.on(self.hubaudit, lambda server: self.worker(server, "append", self.seconds))
        if "queued" in cases:
            results["ag2-append"] = self.on(self.hubaudit, lambda server: self.ag2(server, "append", self.seconds))
            results["append-queued"] = self.on(self.hubaudit, lambda server: self.worker(server, "append-queued", self.seconds))
        if "reads" in cases:
            results |= self.on(self.hubaudit, self.reads)
        return results

    def on(self, system: Hubaudit | Ideal, measure: Callable[[Server], dict]) -> dict:
        data = pathlib.Path(tempfile.mkdtemp(prefix="data.", dir=self.bench.scratch))
        try:
            server = system.start(data)
            try:
                return measure(server)
            finally:
                server.stop()
        finally:
            remove(data)

    def reads(self, server: Server) -> dict[str, dict]:
        self.worker(server, "fill", self.count)
        file = server.data / "ag2" / "audit" / "audit.jsonl"
        file.parent.mkdir(parents=True)
        with file.open("wb") as lines:
            subprocess.run([self.bench.hubaudit, "export", "--server", f"127.0.0.1:{server.port}"], check=True, stdout=lines)
        results = {"ag2-read-all": self.ag2(server, "read-all")}
        for case in ("read-all", "iterate", "iterate-records"):
            results[case] = self.worker(server, case)
        samples = {results[case]["sample"] for case in ("read-all", "ag2-read-all")}
        if len(samples) > 1 or any(result["read"] != self.count for result in results.values()):
            raise RuntimeError("not all have read the same")
        return results

    def worker(self, server: Server, case: str, amount: float = 0) -> dict:
        return server.load([self.python, str(WORKER), case, f"127.0.0.1:{server.port}", str(amount)])

    def ag2(self, server: Server, case: str, amount: float = 0) -> dict:
        (server.data / "ag2").mkdir(exist_ok=True)
        return server.load([self.python, str(WORKER), "ag2-" + case, str(server.data / "ag2"), str(amount)])


def figures(one: dict[str, dict]) -> dict[str, float]:
    """What the table shows of a round: ratios are those of the same round."""
    found = {}
    if append := one.get("append"):
        found |= {"append": append["rps"], "waiting": append["waiting_us"], "cpu": append["cpu_us"]}
        for name in ("ideal", "bench"):
            found[name] = one[name]["rps"]
            found[f"{name} asks"] = 1e6 / (1e6 / one[name]["rps"] + append["cpu_us"] - one[name]["cpu_us"])
            found[f"append / {name}"] = append["rps"] / found[f"{name} asks"]
    if queued := one.get("append-queued"):
        ag2 = one["ag2-append"]
        found |= {"queued": queued["rps"], "queued cpu": queued["cpu_us"], "ag2": ag2["rps"], "ag2 cpu": ag2["cpu_us"]}
        found["queued / ag2"] = queued["rps"] / ag2["rps"]
    if ag2 := one.get("ag2-read-all"):
        for case in ("read-all", "ag2-read-all", "iterate", "iterate-records"):
            found |= {f"{case} {key}": one[case][key] for key in ("rps", "most_mb", "early_mb") if key in one[case]}
            found[f"{case} memory / ag2"] = one[case]["most_mb"] / ag2["most_mb"]
            found[f"{case} / ag2"] = one[case]["rps"] / ag2["rps"]
        for case in ("iterate", "iterate-records"):
            found[f"{case} growth"] = one[case]["most_mb"] / one[case]["early_mb"]
    return found


def table(found: Figures, count: int, foreign: float) -> str:
    def cell(key: str, unit: str = "") -> str:
        values = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in (statistics.median(found[key]), min(found[key]), max(found[key]))]
        return f"{values[0]}{unit} [{values[1]}-{values[2]}]"

    rows = []
    if "append" in found:
        rows += [
            ("append awaited one at a time, records/s", cell("append"), ""),
            ("- of each: waiting for the server / interpreter, µs", f"{cell('waiting')} / {cell('cpu')}", ""),
            ("- C server one at a time", cell("ideal"), ""),
            ("- the same less the interpreter's cost", cell("ideal asks"), cell("append / ideal", " ×")),
            ("- hubaudit bench one at a time", cell("bench"), ""),
            ("- the same less the interpreter's cost", cell("bench asks"), cell("append / bench", " ×")),
        ]
    if "queued" in found:
        rows += [
            ("queued, records/s", cell("queued"), ""),
            ("- AG2's AuditLog on its disk store", cell("ag2"), cell("queued / ag2", " ×")),
            ("- interpreter, hubaudit / AG2, µs", f"{cell('queued cpu')} / {cell('ag2 cpu')}", ""),
        ]
    if "read-all rps" in found:
        rows += [
            (f"read_all of {count:,}: records/s", cell("read-all rps"), ""),
            ("- AG2's read_all", cell("ag2-read-all rps"), cell("read-all / ag2", " ×")),
            (f"read_all of {count:,}: peak MB", cell("read-all most_mb"), ""),
            ("- AG2's read_all", cell("ag2-read-all most_mb"), cell("read-all memory / ag2", " ×")),
        ]
        for case, name in (("iterate", "HubAuditLog.records"), ("iterate-records", "Client.read")):
            rows += [
                (f"async for over {name}: records/s; × AG2's read_all", cell(f"{case} rps"), cell(f"{case} / ag2", " ×")),
                (f"- peak MB after {EARLY:,}", cell(f"{case} early_mb"), ""),
                (f"- peak MB after {count:,}", cell(f"{case} most_mb"), cell(f"{case} growth", " ×")),
            ]
    head = [f"| foreign {foreign:.0%} | median [range] | hubaudit has |", "| --- | ---: | ---: |"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", default="append,queued,reads", help="of append, queued, reads")
    parser.add_argument("--seconds", type=float, default=3, help="length of one measurement of appends (default 3)")
    parser.add_argument("--records", type=int, default=1_000_000, help=f"that are read, {EARLY:,} or more")
    parser.add_argument("--hubaudit", type=pathlib.Path, default=ROOT / ".build/release/hubaudit", help="the command to measure")
    parser.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "hubaudit-bench", help="for programs and data: on the disk to be measured")
    parser.add_argument("--raw", type=pathlib.Path, help="also write every single result here, one JSON object a line")
    options = parser.parse_args()
    if options.records < EARLY:
        parser.error(f"--records must be at least {EARLY:,}")
    subprocess.run([ROOT / "Tests/Bench/install", options.scratch, "python"], check=True)
    bench = Bench(options.scratch, options.hubaudit.resolve())
    os.environ["PYTHONPATH"] = str(ROOT / "Sources/python")
    touch_memory()

    found: Figures = {}
    foreign = 0.0
    for number in range(options.rounds):
        print(f"round {number + 1}", file=sys.stderr, flush=True)
        one = Round(bench, options.seconds, options.records).measure(options.cases.split(","))
        for key, value in figures(one).items():
            found.setdefault(key, []).append(value)
        foreign = max([foreign, *(result["foreign"] for result in one.values())])
        if options.raw:
            with options.raw.open("a") as file:
                print(json.dumps(one), file=file)
    print(table(found, options.records, foreign))


if __name__ == "__main__":
    main()
