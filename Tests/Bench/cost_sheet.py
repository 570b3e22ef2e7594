#!/usr/bin/env python3
"""What a record costs the server, row by row: a server under `hubaudit bench append`, sampled by perf with whole call stacks. A row is the
CPU seconds of a million records, and its share. Needs Debian's linux-perf; perf's clock will do, where the machine's counters are hidden.

    make build && Tests/Bench/cost_sheet.py [--batch 100] [--clients 8] [--seconds 4] [--functions]
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from measured import Bench, Server, free_port, touch_memory

ROOT = pathlib.Path(__file__).resolve().parents[2]
RATE = 997

# A sample belongs to the first row one of whose patterns is in its stack, however deep.
ROWS = [
    ("checkpoints: sign and store", r"CheckpointPublisher\.(make|run|publish)|caudit_ed25519|CheckpointFiles"),
    ("sync", r"fdatasync|fsync|PosixFile\.sync"),
    ("write", r"PosixFile\.write|\bpwrite|\bwrite_iter|ActiveSegment\.append"),
    ("CRC", r"caudit_crc32c"),
    ("leaf hash and tree", r"TreeHash|CompactRange|TreeFiles"),
    ("body hash", r"EncodedRecords\.hash|caudit_sha256|hash_pair"),
    ("check before the write", r"SegmentStore\.check|SegmentStore\.publish|RecordFraming|SparseIndex"),
    ("copy into the commit", r"CommitBytes"),
    ("sequence", r"Sequencer\.(place|seal|finish)|EncodedRecords\.seal|ProducerTable"),
    ("salt", r"EventTranslator\.salt|caudit_random"),
    ("encode", r"EncodedRecords\.append"),
    ("translate", r"EventTranslator"),
    ("check of the frame", r"caudit_check|\bwalk\b"),
    ("decode", r"protobuf_c_message_unpack|ClientFrame|caudit_arena"),
    ("acknowledge", r"EventLoopShard\.commitsArrived|Session\.completed|ServerFrameEncoder|Session\.flushFrames|EventLoopShard\.flush"),
    ("append's bookkeeping", r"Session\.append|EventLoopShard\.openBatch|EventLoopShard\.submit|AppendBatch"),
    ("receive and frame", r"readFromSocket|readable0|SessionHandler|Session\.receive"),
    ("queue and wake-ups", r"WriterQueue|Sequencer\.publish|EventLoopShard\.committed|futex|epoll|eventfd|Selector|Sequencer\.run|CommitThread"),
]


def row_of(stack: list[str]) -> str:
    text = "\n".join(stack)
    return next((name for name, pattern in ROWS if re.search(pattern, text)), "other")


def stacks(perf: pathlib.Path) -> list[list[str]]:
    script = subprocess.run(["perf", "script", "-i", perf, "-F", "ip,sym"], capture_output=True, check=True).stdout
    text = subprocess.run(["swift", "demangle", "--simplified"], input=script, capture_output=True, check=True).stdout.decode(errors="replace")
    found = []
    for sample in text.split("\n\n"):
        frames = [re.sub(r"^\s*[0-9a-f]+ ", "", line) + " " for line in sample.strip().splitlines()]
        if frames:
            found.append(frames)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--functions", action="store_true", help="also the functions that took most, and for whom")
    parser.add_argument("--hubaudit", type=pathlib.Path, default=ROOT / ".build/release/hubaudit")
    parser.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "hubaudit-bench")
    options = parser.parse_args()
    if shutil.which("perf") is None:
        sys.exit("cost_sheet: there is no perf; install linux-perf")
    subprocess.run([ROOT / "Tests/Bench/install", options.scratch], check=True)
    bench = Bench(options.scratch, options.hubaudit.resolve())
    touch_memory()

    with tempfile.TemporaryDirectory(prefix="data.", dir=options.scratch) as directory:
        data, port = pathlib.Path(directory), free_port()
        # The log is signed, as an operator's is.
        key = str(data / "key")
        subprocess.run([str(bench.hubaudit), "keygen", "bench.example/log", "--out", key], check=True, capture_output=True)
        command = [str(bench.hubaudit), "serve", "--signing-key", key, "--data", str(data / "log"), "--listen", f"127.0.0.1:{port}", "--http-listen", "off"]
        server = Server(bench, command, port, data)
        perf = data / "perf.data"
        try:
            # The load begins before the samples and ends after them; CPU time and records are those of the whole load.
            record = subprocess.Popen(
                ["sh", "-c", 'sleep 1; exec perf record -q -e cpu-clock -F "$1" --call-graph dwarf,8192 -p "$2" -o "$3" -- sleep "$4"', "sh",
                 str(RATE), str(server.process.pid), str(perf), str(options.seconds)])
            result = server.load(
                [str(bench.hubaudit), "bench", "append", "--server", f"127.0.0.1:{port}", "--json", "--clients", str(options.clients),
                 "--in-flight", str(options.in_flight), "--batch", str(options.batch), "--duration", str(options.seconds + 2)])
            if record.wait(60) != 0:
                sys.exit("cost_sheet: perf failed; may this user look at other processes (kernel.perf_event_paranoid)?")
            samples = stacks(perf)
        finally:
            server.stop()

    records = result["appended"]["records"]
    total = 1e6 * result["server_cpu_s"] / records
    counts = collections.Counter(row_of(stack) for stack in samples)
    print(f"{records:,} records from {options.clients} clients, {options.in_flight:,} in flight each, appends of {options.batch}: ")
    print(f"{total:.2f} s of server CPU a million, {result['appended']['per_second']:,.0f} records/s, {len(samples)} samples\n")
    print("| | CPU s a million records | share |\n| --- | ---: | ---: |")
    for name in [*(name for name, _ in ROWS), "other"]:
        share = counts[name] / len(samples)
        print(f"| {name} | {total * share:.3f} | {share:.1%} |")
    if options.functions:
        for name, count in counts.most_common():
            print(f"\n{name}")
            leaves = collections.Counter(" < ".join(frame.strip()[:60] for frame in stack[:4]) for stack in samples if row_of(stack) == name)
            for leaf, times in leaves.most_common(12):
                print(f"  {times / len(samples):.1%} {leaf}")


if __name__ == "__main__":
    main()
