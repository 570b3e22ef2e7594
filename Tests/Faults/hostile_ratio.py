"""How much hostile peers slow connected hubs down: the p99 of append latencies before and during, and their ratio, as one line of JSON.

    python Tests/Faults/hostile_ratio.py [--hubs N] [--seconds S]

Run it after `make build`. HUBAUDIT_BIN names another server. Nothing here judges the figures: they depend on the machine and its disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import multiprocessing.synchronize
import pathlib
import socket
import sys
import tempfile
import threading
import time
import types

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TREE / "Tests/Integration"), str(TREE / "Sources/python")]

import hostile  # noqa: E402
from peers import allow_files  # noqa: E402
from wire import Server  # noqa: E402

HALF_OPEN = 8000
ASKING = 50
SLOW = 50


def attack(port: int, is_on: multiprocessing.synchronize.Event) -> None:
    """Half-open connections, peers that ask for everything and read nothing, byte-wise senders and resets, each made anew when it was ended."""
    server = types.SimpleNamespace(port=port)
    allow_files(HALF_OPEN + 1000)
    with hostile.hostile() as connect:
        half_open = [connect(server) for _ in range(HALF_OPEN)]
        asking: list = []
        slow: list = []
        frame = hostile.hello_bytes(hub="slow", client="x" * 250)
        is_on.set()
        turn = 0
        while True:
            turn += 1
            for peers, count, data in ((asking, ASKING, hostile.subscribe_bytes() + hostile.read_bytes(3)), (slow, SLOW, b"")):
                while len(peers) < count:
                    peer = hostile.greeted(connect, server, client="hostile") if data else connect(server)
                    peer.sendall(data)
                    peers.append(peer)
            for peer in slow:
                peer.settimeout(0)
                with contextlib.suppress(OSError):
                    peer.sendall(frame[turn % 200 : turn % 200 + 1])
            # The server ended it, as it should.
            for peers in (half_open, slow, asking):
                for peer in [peer for peer in peers if not is_open(peer)]:
                    peer.close()
                    peers.remove(peer)
            for beginning in hostile.beginnings():
                hostile.reset(server, beginning)
            for _ in range(min(200, HALF_OPEN - len(half_open))):
                half_open.append(connect(server))


def is_open(peer) -> bool:
    return peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1  # ESTABLISHED


def latencies(server: Server, hubs: int, seconds: float) -> list[float]:
    """Of appends of one event each, one after the other on each connection."""
    found: list[float] = []
    end = time.monotonic() + seconds

    def append(number: int) -> None:
        with server.connect(hub=f"hub-{number}") as hub:
            while time.monotonic() < end:
                begin = time.perf_counter()
                assert hub.append({"kind": "measured"}).appended.recorded == 1
                found.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(hubs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hubs", type=int, default=4, help="connections that append (default 4)")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (default 10)")
    arguments = parser.parse_args()
    allow_files(HALF_OPEN + 1000)
    with tempfile.TemporaryDirectory() as directory, Server(pathlib.Path(directory) / "log") as server:
        hostile.fill(server, 20)
        before = latencies(server, arguments.hubs, arguments.seconds)
        is_on = multiprocessing.Event()
        attacker = multiprocessing.Process(target=attack, args=(server.port, is_on), daemon=True)
        attacker.start()
        assert is_on.wait(60), "the hostile peers did not get ready"
        during = latencies(server, arguments.hubs, arguments.seconds)
        assert attacker.is_alive(), "the hostile peers ended early"
        attacker.kill()
        attacker.join()
    figures = {name: measured[int(len(measured) * 0.99)] for name, measured in (("before", before), ("during", during))}
    print(json.dumps({
        "append_p99_before_seconds": round(figures["before"], 6), "append_p99_during_seconds": round(figures["during"], 6),
        "ratio": round(figures["during"] / figures["before"], 2), "appends_before": len(before), "appends_during": len(during),
    }))


if __name__ == "__main__":
    main()
