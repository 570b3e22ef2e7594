"""The systems that are compared, each with the ways to put the work of a case on it. A case's result has `rps`, `p50_us`, `p99_us`,
`acked`; pushes `delivered`, `d50_us`, `d99_us`; replays `rps`. What a system cannot do it leaves out."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time

from measured import Bench, Server, free_port

EVENTS = 1_000_000


class System:
    """One way to run one server. `name` is what the table says; `durable`: an acknowledged record is synced."""

    name = ""
    durable = True
    protocol = ""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def start(self, data: pathlib.Path) -> Server:
        raise NotImplementedError

    def lt(self, server: Server, *arguments: object) -> dict:
        return server.load([self.bench.lt, *map(str, arguments[:1]), "--proto", self.protocol, "--port", str(server.port), *map(str, arguments[1:])])

    def append(self, server: Server, clients: int, in_flight: int, seconds: float) -> dict:
        return self.lt(server, "pub", "--conns", clients, "--window", in_flight, "--secs", seconds, "--warm", 0.5)

    def push(self, server: Server, subscribers: int, rate: int, seconds: float) -> dict:
        result = self.lt(server, "push", "--subs", subscribers, "--rate", rate, "--window", 200, "--secs", seconds, "--warm", 0.5)
        result["delivered"] = result["deliv_rps"]
        # Core NATS answers nothing.
        if result["acked"]:
            result["p50_us"], result["p99_us"] = result["a50_us"], result["a99_us"]
        return result

    def fill(self, server: Server) -> None:
        got = 0
        while got < EVENTS:
            got += self.append(server, 1, 1000, 1)["acked"]

    def replay(self, server: Server) -> dict:
        return self.lt(server, "replay", "--count", EVENTS)


class Ideal(System):
    """The ceiling, not a peer: sync and round trip in C, no protobuf, no tree, no recovery."""

    name, protocol = "ideal C server", "hub"

    def start(self, data: pathlib.Path) -> Server:
        port = free_port()
        return Server(self.bench, [str(self.bench.bin / "ideal"), str(port), str(data), "1", "2", "0"], port, data)


class Hubaudit(System):
    name = "hubaudit"
    batch = 1

    def start(self, data: pathlib.Path) -> Server:
        port = free_port()
        command = [str(self.bench.hubaudit), "serve", "--data", str(data / "log"), "--listen", f"127.0.0.1:{port}", "--http-listen", "off"]
        return Server(self.bench, command, port, data)

    def run(self, server: Server, *arguments: object) -> dict:
        result = server.load([str(self.bench.hubaudit), "bench", *map(str, arguments), "--server", f"127.0.0.1:{server.port}", "--json"])
        for part, prefix in (("appended", "p"), ("delivered", "d")):
            for quantile in ("50", "99"):
                result[f"{prefix}{quantile}_us"] = (result.get(part, {}).get("latency_microseconds") or {}).get("p" + quantile)
        result["acked"] = result.get("appended", {}).get("records")
        result["rps"] = (result.get("appended") or result.get("read"))["per_second"]
        result["delivered"] = result.get("delivered", {}).get("per_second")
        return result

    def append(self, server: Server, clients: int, in_flight: int, seconds: float) -> dict:
        batch = min(self.batch, in_flight)
        return self.run(server, "append", "--clients", clients, "--in-flight", in_flight, "--batch", batch, "--duration", seconds)

    def push(self, server: Server, subscribers: int, rate: int, seconds: float) -> dict:
        pace = ["--rate", rate] if rate else ["--in-flight", 200, "--batch", self.batch]
        return self.run(server, "tail", "--subscribers", subscribers, *pace, "--duration", seconds)

    def crowd(self, server: Server, seconds: float) -> dict:
        """Eight clients with 1,000 in flight each, and 100 subscribers."""
        return self.run(server, "tail", "--clients", 8, "--in-flight", 1000, "--subscribers", 100, "--duration", seconds)

    def fill(self, server: Server) -> None:
        self.run(server, "append", "--records", EVENTS, "--in-flight", 10_000, "--batch", 500)

    def replay(self, server: Server) -> dict:
        return self.run(server, "read", "--records", EVENTS)


class HubauditBatches(Hubaudit):
    """Appends of 100 events, as hubs in queued mode send them; the same number of events in flight."""

    name, batch = "hubaudit, appends of 100", 100


class Redis(System):
    protocol = "redis"

    def __init__(self, bench: Bench, sync: str) -> None:
        super().__init__(bench)
        self.sync, self.durable = sync, sync == "always"
        self.name = "Redis streams, " + ("appendfsync always" if self.durable else "everysec (no sync)")

    def start(self, data: pathlib.Path) -> Server:
        port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data), "--appendonly", "yes", "--appendfsync", self.sync]
        return Server(self.bench, [*command, "--save", "", "--auto-aof-rewrite-percentage", "0", "--loglevel", "warning"], port, data)

    def replay(self, server: Server) -> dict:
        return self.lt(server, "replay", "--count", EVENTS, "--chunk", 10_000)


class JetStream(System):
    """Appends of more than one in flight are atomic batches, which are synced once each."""

    def __init__(self, bench: Bench, sync: bool) -> None:
        super().__init__(bench)
        self.durable, self.protocol = sync, "js"
        self.name = "NATS JetStream, " + ("sync always" if sync else "default (no sync)")

    def start(self, data: pathlib.Path) -> Server:
        port = free_port()
        sync = ", sync_interval: always" if self.durable else ""
        (data / "nats.conf").write_text(
            f'listen: "127.0.0.1:{port}"\nserver_name: n1\njetstream {{ store_dir: "{data}/js", max_mem: 1G, max_file: 20G{sync} }}\n'
        )
        server = Server(self.bench, [str(self.bench.nats_server), "-c", str(data / "nats.conf")], port, data)
        extra = '"allow_atomic":true' if self.durable else ""
        subprocess.run([self.bench.lt, "setup", "--proto", "js", "--port", str(port), "--extra", extra], check=True)
        return server

    def append(self, server: Server, clients: int, in_flight: int, seconds: float) -> dict:
        if not self.durable or in_flight == 1:
            return super().append(server, clients, in_flight, seconds)
        command = [self.bench.lt, "pub", "--proto", "jsab", "--port", server.port, "--conns", clients, "--window", in_flight, "--batch", 1000]
        return server.load([*map(str, command), "--secs", str(seconds), "--warm", "0.5"])

    def push(self, server: Server, subscribers: int, rate: int, seconds: float) -> dict:
        self.protocol = "jspushfc"
        try:
            return super().push(server, subscribers, rate, seconds)
        finally:
            self.protocol = "js"

    def replay(self, server: Server) -> dict:
        self.protocol = "jspushfc"
        try:
            return super().replay(server)
        finally:
            self.protocol = "js"


class CoreNATS(JetStream):
    """Nothing is kept: how fast the fan-out alone can be."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, False)
        self.name = "core NATS (nothing kept)"

    def push(self, server: Server, subscribers: int, rate: int, seconds: float) -> dict:
        self.protocol = "core"
        return System.push(self, server, subscribers, rate, seconds)


class PostgreSQL(System):
    """Each append its own transaction; with more in flight COPY of 1,000 rows a transaction, on one connection."""

    name = "PostgreSQL"

    def start(self, data: pathlib.Path) -> Server:
        programs = max(pathlib.Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)) / "bin"
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        os.chmod(data, 0o777)
        port = free_port()
        database = str(data / "data")
        subprocess.run([*user, str(programs / "initdb"), "-D", database, "-U", "postgres", "-A", "trust", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd=data)
        server = Server(self.bench, [*user, str(programs / "postgres"), "-D", database, "-p", str(port), "-k", str(data), "-c", "listen_addresses=127.0.0.1"], port, data)
        self.address = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
        create = "CREATE TABLE audit(id bigserial primary key, at timestamptz not null default now(), data text not null)"
        deadline = time.monotonic() + 20
        while subprocess.run(["psql", self.address, "-qc", create], stderr=subprocess.DEVNULL).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL does not answer")
            time.sleep(0.1)
        return server

    def append(self, server: Server, clients: int, in_flight: int, seconds: float) -> dict:
        mode = "pipe" if in_flight == 1 else "copy"
        return server.load([str(self.bench.bin / "pgpub"), self.address, mode, "1", str(in_flight), str(seconds)])


def all_systems(bench: Bench) -> dict[str, System]:
    return {
        "hubaudit": Hubaudit(bench), "batches": HubauditBatches(bench), "ideal": Ideal(bench), "redis": Redis(bench, "always"),
        "redis-nosync": Redis(bench, "everysec"), "postgres": PostgreSQL(bench), "jetstream": JetStream(bench, True),
        "jetstream-nosync": JetStream(bench, False), "nats": CoreNATS(bench),
    }


def remove(data: pathlib.Path) -> None:
    shutil.rmtree(data, ignore_errors=True)


