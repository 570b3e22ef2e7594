"""kill -9 of the server under load: what was acknowledged is there, in order, without a gap, and nothing is there twice."""

from __future__ import annotations

import pathlib
import random
import time

from load import Load
from wire import Server

KILLS = 50


def test_fifty_kills_in_a_row_lose_nothing_and_double_nothing(tmp_path: pathlib.Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    load = Load(chance)
    flags = ("--segment-bytes", "262144")
    for _ in range(KILLS):
        with Server(tmp_path / "log", *flags) as server:
            load.begin(server)
            # Some acknowledgements of this server, then some time more that nobody chose.
            load.wait_for_acknowledgements(50)
            time.sleep(chance.random() * 0.05)
            load.end(server)
    with Server(tmp_path / "log", *flags) as server:
        load.finish(server)
    assert load.ledger.acknowledged > KILLS * 50
