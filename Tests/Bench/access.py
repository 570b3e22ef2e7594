#!/usr/bin/env python3
"""What TLS and rights cost: the same loads against a server without either, with rights, with TLS, and with both, one after the other in
every round. Everything is a ratio to the server without either.

    make build && Tests/Bench/access.py                       seven rounds, about six minutes
    Tests/Bench/access.py --rounds 15 --cases latency,one --seconds 2

`flood` is another question: how long a hub waits for its answers while strangers come with wrong tokens over TLS, and somebody who is known asks
for what is not allowed, as fast as a process of each can; a ratio to the same hub without them.

The client shows a token over loopback or TLS. Its right is `read hubs=*`, which is not everything: every record of a read is judged.
`p50` is the median of the answers' (or deliveries') latencies, `CPU` the server's CPU time a record, `rate` records a second."""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import secrets
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
from typing import BinaryIO

from measured import Bench, Server, free_port, touch_memory

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ("without", "rights", "TLS", "both")
CASES = {
    "latency": ("one append at a time", ["append"]),
    "one": ("one client, 1,000 in flight", ["append", "--in-flight", "1000"]),
    "eight": ("eight clients, 1,000 in flight each", ["append", "--clients", "8", "--in-flight", "1000"]),
    "push": ("100 subscribers, 2,000 appends/s", ["tail", "--subscribers", "100", "--rate", "2000"]),
    "replay": ("replay of 2,000,000 records", ["read", "--records", "2000000"]),
}
FLOOD = ("one append at a time, in a flood of refusals", ["append"])


# Numbers of fields in frames.proto: the requests, and the token in a hello.
HELLO, HEALTH, HELLO_TOKEN = 2, 8, 8
# Somebody who is known and may do nothing.
NOBODY = secrets.token_hex(32)


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def prepare(directory: pathlib.Path) -> str:
    """A root, a certificate of the server, and an access file; returns the token."""
    ca, key = directory / "ca.pem", directory / "ca.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run(["openssl", "req", "-x509", *curve, "-keyout", str(key), "-out", str(ca), "-days", "2", "-subj", "/CN=bench"])
    run([
        "openssl", "req", "-x509", *curve, "-keyout", str(directory / "server.key"), "-out", str(directory / "server.pem"), "-days", "2",
        "-subj", "/CN=server", "-CA", str(ca), "-CAkey", str(key), "-addext", "subjectAltName=IP:127.0.0.1",
        "-addext", "basicConstraints=critical,CA:FALSE",
    ])
    (directory / "server.key").chmod(0o600)
    token = f"hat_bench_{secrets.token_hex(32)}"
    digest = hashlib.sha256(token.encode()).hexdigest()
    access = directory / "access"
    access.write_text(f"identity bench token bench sha256:{digest}\ngrant bench publish hubs=* read hubs=* prove operate\n"
        f"identity nobody token nobody sha256:{hashlib.sha256(f'hat_nobody_{NOBODY}'.encode()).hexdigest()}\n")
    access.chmod(0o600)
    (directory / "token").write_text(token)
    (directory / "token").chmod(0o600)
    return token


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def frame(number: int, request: bytes) -> bytes:
    """A ClientFrame (frames.proto) with its length before it."""
    content = field(1, 1) + field(number, request)
    return varint(len(content)) + content


def strangers(port: int, roots: str, nobody: str, *, asks: bool) -> None:
    """A flood of refused connections, or of requests, until its input ends; then prints how many there were of each."""
    # As if on a machine of its own: this flood gets what the server and the hub leave of the processors.
    os.nice(19)
    hello = lambda token: frame(HELLO, field(1, 1) + field(HELLO_TOKEN, token.encode()))  # noqa: E731
    context = ssl.create_default_context(cafile=roots)
    context.set_alpn_protocols(["hubaudit/1"])
    refused = [0, 0]
    ended = threading.Event()

    def connect() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname="127.0.0.1")

    def take(answers: BinaryIO) -> None:
        """Reads one frame."""
        length = shift = 0
        while (byte := answers.read(1)[0]) >= 0x80:
            length, shift = length | (byte & 0x7F) << shift, shift + 7
        answers.read(length | byte << shift)

    def ask() -> None:
        known = connect()
        answers = known.makefile("rb")
        known.sendall(hello(nobody))
        take(answers)
        while not ended.is_set():
            known.sendall(frame(HEALTH, b"") * 100)
            for _ in range(100):
                take(answers)
            refused[1] += 100

    print("begun", flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    if asks:
        ask()
    while not ended.is_set():
        with connect() as stranger:
            stranger.sendall(hello(f"hat_x_{secrets.token_hex(32)}"))
            stranger.recv(65536)
            refused[0] += 1
    print(*refused)


def flood(bench: Bench, hubaudit: str, directory: pathlib.Path, rounds: int, seconds: float) -> None:
    port = free_port()
    flags = ["--tls-cert", str(directory / "server.pem"), "--tls-key", str(directory / "server.key"), "--access", str(directory / "access")]
    client = ["--server", f"hubaudits://127.0.0.1:{port}", "--cacert", str(directory / "ca.pem"), "--token-file", str(directory / "token")]
    load = [hubaudit, "bench", *FLOOD[1], "--duration", f"{seconds}s", *client, "--json"]
    pairs: list[tuple[dict, dict]] = []
    connections = requests = 0
    with tempfile.TemporaryDirectory(dir=directory) as data:
        server = Server(
            bench, [hubaudit, "serve", "--data", f"{data}/log", "--listen", f"127.0.0.1:{port}", "--http-listen", "off", *flags], port,
            pathlib.Path(data))
        try:
            for _ in range(rounds):
                alone = server.load(load)["appended"]["latency_microseconds"]
                crowd = [
                    subprocess.Popen(
                        [sys.executable, __file__, "--strangers", str(port), str(directory / "ca.pem"), f"hat_nobody_{NOBODY}", what],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                    for what in ("connections", "requests")
                ]
                for one in crowd:
                    assert one.stdout and one.stdout.readline() == "begun\n"
                pairs.append((alone, server.load(load)["appended"]["latency_microseconds"]))
                for one in crowd:
                    counts = one.communicate(input="")[0].split()
                    connections, requests = connections + int(counts[0]), requests + int(counts[1])
        finally:
            server.stop()
    print(f"\n{FLOOD[0]}: {connections} connections and {requests} requests refused (median of {rounds}; times that without)")
    for key in ("p50", "p99"):
        ratios = [loud[key] / alone[key] for alone, loud in pairs]
        base = statistics.median(alone[key] for alone, _ in pairs)
        print(f"  {key:5} {base:12.6g}   {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


def measure(bench: Bench, hubaudit: str, directory: pathlib.Path, kind: str, case: str, seconds: float) -> dict[str, float]:
    port = free_port()
    tls, rights = kind in ("TLS", "both"), kind in ("rights", "both")
    flags = ["--tls-cert", str(directory / "server.pem"), "--tls-key", str(directory / "server.key")] if tls else []
    flags += ["--access", str(directory / "access")] if rights else []
    client = ["--server", f"{'hubaudits' if tls else 'hubaudit'}://127.0.0.1:{port}"]
    client += ["--cacert", str(directory / "ca.pem")] if tls else []
    client += ["--token-file", str(directory / "token")] if rights else []
    with tempfile.TemporaryDirectory(dir=directory) as data:
        server = Server(
            bench, [hubaudit, "serve", "--data", f"{data}/log", "--listen", f"127.0.0.1:{port}", "--http-listen", "off", *flags], port,
            pathlib.Path(data))
        try:
            arguments = CASES[case][1]
            if "--records" in arguments:
                run([hubaudit, "bench", "append", "--records", arguments[-1], "--batch", "100", "--in-flight", "10000", *client])
            duration = [] if "--records" in arguments else ["--duration", f"{seconds}s"]
            result = server.load([hubaudit, "bench", *arguments, *duration, *client, "--json"])
        finally:
            server.stop()
    return figures(result)


def figures(result: dict) -> dict[str, float]:
    part = result.get("read") or result.get("delivered") or result["appended"]
    found = {"rate": part["per_second"], "CPU": result["server_cpu_s"] / max(1, result["server"]["records"])}
    if "latency_microseconds" in part:
        found["p50"] = part["latency_microseconds"]["p50"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--cases", default=",".join([*CASES, "flood"]))
    parser.add_argument("--strangers", nargs=4, metavar=("PORT", "ROOTS", "TOKEN", "WHAT"), help=argparse.SUPPRESS)
    parser.add_argument("--hubaudit", type=pathlib.Path, default=ROOT / ".build/release/hubaudit")
    options = parser.parse_args()
    if options.strangers:
        strangers(int(options.strangers[0]), *options.strangers[1:3], asks=options.strangers[3] == "requests")
        return 0
    hubaudit = str(options.hubaudit.resolve())
    touch_memory()
    with tempfile.TemporaryDirectory(prefix="hubaudit-access-") as scratch:
        directory = pathlib.Path(scratch)
        bench = Bench(directory, options.hubaudit)
        bench.prefix = []
        prepare(directory)
        for case in options.cases.split(","):
            if case == "flood":
                flood(bench, hubaudit, directory, options.rounds, options.seconds)
                continue
            found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
            for number in range(options.rounds):
                # Each begins a round in turn.
                for kind in KINDS[number % 4 :] + KINDS[: number % 4]:
                    found[kind].append(measure(bench, hubaudit, directory, kind, case, options.seconds))
            print(f"\n{CASES[case][0]} (median of {options.rounds}; times that without)")
            for key in found["without"][0]:
                base = statistics.median(one[key] for one in found["without"])
                cells = []
                for kind in KINDS[1:]:
                    pairs = [one[key] / other[key] for one, other in zip(found[kind], found["without"], strict=True)]
                    cells.append(f"{kind} {statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})")
                print(f"  {key:5} {base:12.6g}   " + "   ".join(cells), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
