#!/usr/bin/env python3
"""hubaudit and the systems it is compared with, on the same work, on this machine, in one run: append of 200-byte records, push to
subscribers, replay. Every round goes through all of them, each on a new, empty server; the table has the medians of the rounds, their
range, and how much hubaudit has of each other's figure. Everything stays on loopback and in one temporary directory.

    make build && Tests/Bench/peers.py                      all of it: about four minutes a round, three rounds
    Tests/Bench/peers.py --cases latency,one --systems hubaudit,ideal --rounds 5

`foreign` is the largest share of the machine that other processes had during a run: over a few per cent, repeat it. `ideal C server` is not
a peer but the ceiling. What is sent is the same number of bytes, but not the same bytes: hubaudit's are typed events that it checks,
translates, hashes and puts into a tree."""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

from measured import Bench, touch_memory
from systems import EVENTS, System, all_systems, remove

ROOT = pathlib.Path(__file__).resolve().parents[2]

DURABLE = ("hubaudit", "batches", "ideal", "redis", "postgres", "jetstream")
PER_MILLION = "server CPU s a million"

# What is run, by which systems, and the columns: name in the table, name in the result, whether more is better.
RATE, P50, P99, CPU = ("records/s", "rps", True), ("p50 µs", "p50_us", False), ("p99 µs", "p99_us", False), (PER_MILLION, "cpu", False)
CLIENT = ("load CPU s a million", "client_cpu", False)
MEMORY = ("memory MB", "memory_mb", False)
CASES = {
    "latency": ("one append at a time", ("hubaudit", "ideal", "redis", "postgres", "jetstream"), (P50, P99, RATE)),
    "one": ("1 client, 1,000 in flight", (*DURABLE, "redis-nosync", "jetstream-nosync"), (RATE, P99, CPU, CLIENT)),
    "eight": ("8 clients, 1,000 in flight each", (*DURABLE, "redis-nosync", "jetstream-nosync"), (RATE, P99, CPU, CLIENT, MEMORY)),
    "push": (
        "100 subscribers, 5,000 appends/s: append to delivery", ("hubaudit", "ideal", "redis-nosync", "jetstream-nosync", "nats"),
        (("p50 µs", "d50_us", False), ("p99 µs", "d99_us", False), ("deliveries/s", "delivered", True), MEMORY),
    ),
    "crowd": (
        "1,000 subscribers, 1,000 appends/s: append to answer, append to delivery", ("hubaudit", "redis-nosync", "nats"),
        (("answer p50 µs", "p50_us", False), ("answer p99 µs", "p99_us", False), ("delivery p50 µs", "d50_us", False), ("delivery p99 µs", "d99_us", False), ("deliveries/s", "delivered", True), MEMORY),
    ),
    "deliveries": (
        "100 subscribers, as fast as it goes", ("hubaudit", "ideal", "redis-nosync", "jetstream-nosync", "nats"),
        (("deliveries/s", "delivered", True), MEMORY),
    ),
    "memory": (
        "8 clients, 1,000 in flight each, and 100 subscribers", ("hubaudit",),
        (MEMORY, ("peak MB", "peak_mb", False), ("deliveries/s", "delivered", True)),
    ),
    "replay": (f"replay of {EVENTS:,} records to one reader", ("hubaudit", "ideal", "redis-nosync", "jetstream-nosync"), (RATE, MEMORY)),
}


def measure(case: str, system: System, bench: Bench, seconds: float) -> dict:
    data = pathlib.Path(tempfile.mkdtemp(prefix="data.", dir=bench.scratch))
    try:
        server = system.start(data)
        try:
            if case == "replay":
                system.fill(server)
                return system.replay(server)
            if case == "memory":
                return system.crowd(server, seconds)
            if case in ("push", "crowd", "deliveries"):
                subscribers, rate = {"push": (100, 5000), "crowd": (1000, 1000), "deliveries": (100, 0)}[case]
                return system.push(server, subscribers, rate, seconds)
            clients, in_flight = {"latency": (1, 1), "one": (1, 1000), "eight": (8, 1000)}[case]
            result = system.append(server, clients, in_flight, seconds)
            result["cpu"], result["client_cpu"] = (1e6 * result[key] / result["acked"] for key in ("server_cpu_s", "client_cpu_s"))
            return result
        finally:
            server.stop()
    finally:
        remove(data)


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(case: str, results: dict[str, list[dict]], systems: dict[str, System]) -> str:
    title, _, columns = CASES[case]
    head = " | ".join(f"{column[0]} | hubaudit has" for column in columns)
    lines = [f"### {title}", "", f"| system | {head} | foreign |", "| --- |" + " ---: |" * (2 * len(columns) + 1)]
    medians = {
        name: {key: statistics.median(values) for _, key, _ in columns if (values := [run[key] for run in runs if run.get(key) is not None])}
        for name, runs in results.items()
    }
    for name, runs in results.items():
        cells = []
        for _, key, _ in columns:
            if key not in medians[name]:
                cells += ["-", "-"]
                continue
            values = [run[key] for run in runs if run.get(key) is not None]
            own = medians.get("hubaudit", {}).get(key)
            cells.append(f"{figure(medians[name][key])} [{figure(min(values))}-{figure(max(values))}]")
            cells.append(f"{own / medians[name][key]:.2f} ×" if own is not None and name != "hubaudit" and medians[name][key] else "-")
        durable = "" if systems[name].durable else " *"
        lines.append(f"| {systems[name].name}{durable} | {' | '.join(cells)} | {max(run['foreign'] for run in runs):.0%} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="length of one measurement (default 3)")
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--systems", default="", help="only these")
    parser.add_argument("--hubaudit", type=pathlib.Path, default=ROOT / ".build/release/hubaudit", help="the command to measure")
    parser.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "hubaudit-bench", help="for programs and data: on the disk to be measured")
    parser.add_argument("--raw", type=pathlib.Path, help="also write every single result here, one JSON object a line")
    options = parser.parse_args()
    subprocess.run([ROOT / "Tests/Bench/install", options.scratch], check=True)
    bench = Bench(options.scratch, options.hubaudit.resolve())
    systems = all_systems(bench)
    chosen = [name for name in options.systems.split(",") if name] or list(systems)
    cases = options.cases.split(",")
    unknown = [name for name in cases if name not in CASES] + [name for name in chosen if name not in systems]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; cases: {', '.join(CASES)}; systems: {', '.join(systems)}")

    # A thousand subscribers, on both sides.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    touch_memory()
    results: dict[str, dict[str, list[dict]]] = {case: {} for case in cases}
    for number in range(options.rounds):
        for case in cases:
            for name in CASES[case][1]:
                if name not in chosen:
                    continue
                print(f"round {number + 1}: {CASES[case][0]}: {systems[name].name}", file=sys.stderr, flush=True)
                try:
                    result = measure(case, systems[name], bench, options.seconds)
                except (RuntimeError, subprocess.SubprocessError, OSError) as error:
                    print(f"  failed: {error}", file=sys.stderr, flush=True)
                    continue
                results[case].setdefault(name, []).append(result)
                if options.raw:
                    with options.raw.open("a") as file:
                        print(json.dumps({"case": case, "system": name, **result}), file=file)
    for case in cases:
        print(table(case, results[case], systems))
    print("`*` answers before a record is on disk. `hubaudit has`: hubaudit's figure, times the system's.")


if __name__ == "__main__":
    main()
