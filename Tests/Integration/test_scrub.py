"""The scrub under a running server: damage at rest is found, told, and forgotten when it is mended; appends and reads go on."""

from __future__ import annotations

import time

from peers import metric
from wire import Server


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_damage_at_rest_is_told_and_forgotten(tmp_path):
    with Server(tmp_path / "log", "--segment-bytes", "65536", "--scrub-pause", "50ms") as server:
        connection = server.connect(hub="h")
        for _ in range(40):
            connection.append(*({"kind": "k", "text": "x" * 200} for _ in range(20)))
        segments = sorted((tmp_path / "log/segments").iterdir())
        assert len(segments) > 3
        rounds = metric(server, "hubaudit_scrub_rounds_total")
        wait_for(lambda: metric(server, "hubaudit_scrub_rounds_total") > rounds + 1, "the scrub goes round")
        assert server.get("/healthz")[0] == 200 and metric(server, "hubaudit_damaged_segments") == 0
        assert metric(server, "hubaudit_scrubbed_bytes_total") > 65536

        good = segments[1].read_bytes()
        with segments[1].open("r+b") as file:
            file.seek(len(good) // 2)
            file.write(bytes([good[len(good) // 2] ^ 1]))
        wait_for(lambda: server.get("/healthz")[0] == 503, "the damage is found")
        assert segments[1].name in server.get("/healthz")[1] and metric(server, "hubaudit_damaged_segments") == 1
        health = connection.request()
        health.health.SetInParent()
        assert any(segments[1].name in sentence for sentence in connection.ask(health).health.damage)
        # Logged a moment after health tells it.
        wait_for(lambda: any("scrub found damage" in entry["message"] for entry in server.log), "the damage is logged")
        # What is damaged keeps nothing else from working.
        assert server.get("/readyz")[0] == 200
        assert connection.append({"kind": "k"}).WhichOneof("reply") == "appended"

        segments[1].write_bytes(good)
        wait_for(lambda: server.get("/healthz")[0] == 200, "the damage is mended")
        assert server.stop() == 0
