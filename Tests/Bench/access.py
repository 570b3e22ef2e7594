#!/usr/bin/env python3
"""What TLS and rights cost: the same loads against a server without either, with rights, with TLS, and with both, one after the other in
every round. Everything is a ratio to the server without either.

    make build && Tests/Bench/access.py                       seven rounds, about six minutes
    Tests/Bench/access.py --rounds 15 --cases latency,one --seconds 2

The client shows a token over loopback or TLS. Its right is `read hubs=*`, which is not everything: every record of a read is judged.
`p50` is the median of the answers' (or deliveries') latencies, `CPU` the server's CPU time a record, `rate` records a second."""

from __future__ import annotations

import argparse
import hashlib
import pathlib
import secrets
import statistics
import subprocess
import sys
import tempfile

from measured import Bench, Server, free_port, touch_memory

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ("without", "rights", "TLS", "both")
CASES = {
    "latency": ("one append at a time", ["append"]),
    "one": ("one client, 1,000 in flight", ["append", "--in-flight", "1000"]),
    "eight": ("eight clients, 1,000 in flight each", ["append", "--clients", "8", "--in-flight", "1000"]),
    "push": ("100 subscribers, 2,000 appends/s", ["tail", "--subscribers", "100", "--rate", "2000"]),
    "replay": ("replay of 300,000 records", ["read", "--records", "300000"]),
}


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
    access.write_text(f"identity bench token bench sha256:{digest}\ngrant bench publish hubs=* read hubs=* prove operate\n")
    access.chmod(0o600)
    (directory / "token").write_text(token)
    (directory / "token").chmod(0o600)
    return token


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
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--hubaudit", type=pathlib.Path, default=ROOT / ".build/release/hubaudit")
    options = parser.parse_args()
    hubaudit = str(options.hubaudit.resolve())
    touch_memory()
    with tempfile.TemporaryDirectory(prefix="hubaudit-access-") as scratch:
        directory = pathlib.Path(scratch)
        bench = Bench(directory, options.hubaudit)
        bench.prefix = []
        prepare(directory)
        for case in options.cases.split(","):
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
