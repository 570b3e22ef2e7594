#!/usr/bin/env python3
"""All records of one agent, spread thin over a large log: found by reading every record, and by the search index. The same command against
the same log, first by a server that makes no indexes, then by one that has made them; what comes back has to be the same bytes.

    make build && Tests/Bench/search.py                     ten million records, one in 10,000 of the agent: about two minutes, 3 GB of disk
    Tests/Bench/search.py --records 1000000 --rounds 9

`answer` is the time from a request on an open connection to the last byte of its answer, `command` that of `hubaudit read` with its start;
medians, on files that are in memory (the log is read once before). `records/s a core` is the log's records by the CPU seconds that the
server took for one search."""

from __future__ import annotations

import argparse
import hashlib
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from measured import Bench, Server, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
AGENT = "rare-agent"
BATCH = 500


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


class Connection:
    """Sends requests and takes frames, without decoding more of them than their kind: PROTOCOL.md."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 600)
        self.stream = self.socket.makefile("rb", 1 << 20)
        # hello: version 1, hub "search".
        self.send(field(2, b"\x08\x01" + field(2, b"search")))
        self.receive()

    def send(self, request: bytes) -> None:
        frame = b"\x08\x01" + request
        self.socket.sendall(varint(len(frame)) + frame)

    def receive(self) -> tuple[int, bytes]:
        """The number of the reply's field, and the frame."""
        length = shift = 0
        while True:
            byte = self.stream.read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        frame = self.stream.read(length)
        # After the request's id, which is 1.
        return frame[2] >> 3, frame

    def search(self, agent: str) -> bytes:
        """The frames that answer a read of an agent's records from the first one on."""
        self.send(field(4, field(1, b"\x08\x01") + field(2, field(3, agent.encode()))))
        frames = []
        while True:
            kind, frame = self.receive()
            if kind == 5:
                return b"".join(frames)
            if kind != 4:
                sys.exit(f"search: the server answered {frame!r}")
            frames.append(frame)

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class Log:
    """A data directory, and the server on it."""

    def __init__(self, bench: Bench, directory: pathlib.Path) -> None:
        self.bench, self.directory, self.data = bench, directory, directory / "log"
        self.server: Server | None = None

    def serve(self, search_bytes: int) -> None:
        self.stop()
        port = free_port()
        command = [str(self.bench.hubaudit), "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{port}", "--http-listen", "off",
                   "--scrub-bytes", "0", "--search-bytes", str(search_bytes)]
        self.server = Server(self.bench, command, port, self.directory)

    def stop(self) -> None:
        if self.server:
            self.server.stop()
            self.server = None

    def run(self, *arguments: object) -> bytes:
        assert self.server
        command = [str(self.bench.hubaudit), *map(str, arguments), "-s", f"127.0.0.1:{self.server.port}"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def fill(self, records: int, every: int) -> None:
        self.run("bench", "append", "--batch", BATCH, "--in-flight", 8 * BATCH, "--records", records, "--rare-every", every, "--json")

    def indexes(self) -> list[pathlib.Path]:
        return list((self.data / "index").glob("*.bloom"))

    def await_indexes(self) -> float:
        """Until every segment but the newest has one; how many seconds that took."""
        began = time.monotonic()
        wanted = len(list((self.data / "segments").glob("*.seg"))) - 1
        while len(self.indexes()) < wanted:
            if time.monotonic() > began + 600:
                sys.exit("search: the indexes are not made")
            time.sleep(0.05)
        return time.monotonic() - began

    def search(self, rounds: int) -> dict:
        """Median times of a search, what the server took for one, and what came back."""
        assert self.server
        command = ("read", "--from", "first", "--agent", AGENT, "-o", "raw")
        result = self.run(*command)
        connection = Connection(self.server.port)
        connection.search(AGENT)
        before, answers = self.server.cpu_seconds(), []
        for _ in range(rounds):
            began = time.monotonic()
            connection.search(AGENT)
            answers.append(time.monotonic() - began)
        cpu = (self.server.cpu_seconds() - before) / rounds
        connection.close()
        commands = []
        for _ in range(rounds):
            began = time.monotonic()
            again = self.run(*command)
            commands.append(time.monotonic() - began)
            if again != result:
                sys.exit("search: the same search gave something else")
        return {
            "answer": statistics.median(answers), "answers": answers, "command": statistics.median(commands), "commands": commands, "cpu": cpu,
            "sha256": hashlib.sha256(result).hexdigest(), "bytes": len(result),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--every", type=int, default=10_000, help=f"one record in so many is of the agent; a multiple of {BATCH}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--hubaudit", type=pathlib.Path, default=ROOT / ".build/release/hubaudit")
    parser.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()), help="for the log: on a disk with room")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.every % BATCH or options.records < options.every:
        parser.error(f"--every has to be a multiple of {BATCH}, and at most --records")

    bench = Bench(options.scratch, options.hubaudit.resolve())
    bench.prefix = []
    with tempfile.TemporaryDirectory(prefix="hubaudit-search.", dir=options.scratch) as directory:
        log = Log(bench, pathlib.Path(directory))
        try:
            log.serve(search_bytes=0)
            log.fill(options.records, options.every)
            if log.indexes():
                sys.exit("search: there are indexes, which were to be made later")
            scan = log.search(options.rounds)
            log.serve(search_bytes=1 << 30)
            making = log.await_indexes()
            index = log.search(options.rounds)
            sizes = [sum(path.stat().st_size for path in paths) for paths in ((log.data / "segments").glob("*"), log.indexes())]
        finally:
            log.stop()
    if scan["sha256"] != index["sha256"]:
        sys.exit("search: the index gave other records than the scan")

    ratios = {key: scan[key] / max(index[key], 1e-3) for key in ("answer", "command", "cpu")}
    if options.json:
        print(json.dumps({"records": options.records, "every": options.every, "scan": scan, "index": index, "ratios": ratios}))
        return
    print(f"{options.records:,} records, {sizes[0] / 1e6:,.0f} MB; one in {options.every:,} is of the agent, {index['bytes']:,} bytes in all")
    print(f"indexes: {sizes[1] / 1e6:,.1f} MB, {sizes[1] / sizes[0]:.2%} of the log, made in {making:.1f} s\n")
    print("| | answer s | records/s | command s | server CPU s | records/s a core |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, found in (("scan", scan), ("search index", index)):
        times = [f"{found[key]:.3f} [{min(found[key + 's']):.3f}-{max(found[key + 's']):.3f}]" for key in ("answer", "command")]
        rate, core = options.records / found["answer"], options.records / max(found["cpu"], 1e-3)
        print(f"| {name} | {times[0]} | {rate:,.0f} | {times[1]} | {found['cpu']:.3f} | {core:,.0f} |")
    print(f"| times | {ratios['answer']:.1f} | | {ratios['command']:.1f} | {ratios['cpu']:.1f} | |")


if __name__ == "__main__":
    main()
