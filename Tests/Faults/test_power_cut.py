"""The power fails under the server, on real file systems: what was acknowledged or pushed before is there when it comes back."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
import time

import disks
import pytest
from calls import WRAP
from load import Load
from wire import BINARY, Server

# Of each kind of file system.
CUTS = int(os.environ.get("HUBAUDIT_CUTS", "100"))
# So that images stay small, a new log is begun after this many.
CUTS_OF_ONE_LOG = 250
# Small, so that many cuts meet a new segment.
FLAGS = ("--segment-bytes", "524288")


def require(kind: str) -> None:
    if (why := disks.why_no_image(kind)) is not None:
        pytest.skip(why)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_cuts_in_a_row_lose_nothing(kind: str, mount_point: pathlib.Path, tmp_path: pathlib.Path, chance: random.Random) -> None:
    require(kind)
    cuts = during_start = torn = acknowledged = 0
    begin = time.monotonic()
    while cuts < CUTS:
        image = disks.Image(tmp_path / "image", kind, 1 << 30)
        image.mount(mount_point)
        data = mount_point / "log"
        load = Load(chance)
        for _ in range(min(CUTS - cuts, CUTS_OF_ONE_LOG)):
            if cuts % 8 == 7:
                cut_during_start(image, data, chance)
                during_start += 1
            else:
                torn += cut_under_load(image, data, load, chance)
            cuts += 1
            image.unmount()
            image.mount(mount_point)
        with Server(data, *FLAGS, wrap=WRAP) as server:
            load.finish(server)
            server.stop()
        looked = subprocess.run([BINARY, "inspect", str(data)], capture_output=True, text=True)
        assert looked.returncode == 0, looked.stdout + looked.stderr
        acknowledged += load.ledger.acknowledged
        image.unmount()
        image.path.unlink()
    print(
        f"{kind}: {cuts} cuts, {during_start} of them during a start, {torn} torn ends, {acknowledged} records acknowledged, "
        f"{time.monotonic() - begin:.0f} s"
    )
    assert acknowledged > CUTS * 20


def cut_under_load(image: disks.Image, data: pathlib.Path, load: Load, chance: random.Random, wrap: tuple[str, ...] = WRAP) -> bool:
    """Returns whether the start found a torn end."""
    with Server(data, *FLAGS, wrap=wrap) as server:
        load.begin(server)
        # Some acknowledgements of this server, then some time more that nobody chose.
        load.wait_for_acknowledgements(chance.choice((1, 20, 100)))
        time.sleep(chance.random() * 0.04)
        image.cut_power(server.process, flushes_journal=chance.random() < 0.5)
        load.end(server)
        return any("torn" in entry["message"] for entry in server.log)


def cut_during_start(image: disks.Image, data: pathlib.Path, chance: random.Random) -> None:
    with Server(data, *FLAGS, wrap=WRAP, awaits_ready=False) as server:
        time.sleep(chance.random() * 0.06)
        image.cut_power(server.process, flushes_journal=chance.random() < 0.5)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_server_that_does_not_sync_is_found_out(kind: str, mount_point: pathlib.Path, tmp_path: pathlib.Path, chance: random.Random) -> None:
    """The test above can fail: here fdatasync says that all is well and does nothing."""
    require(kind)
    wrap = (*WRAP, "strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:retval=0")
    image = disks.Image(tmp_path / "image", kind, 1 << 30)
    image.mount(mount_point)
    load = Load(chance)
    with pytest.raises(AssertionError, match="was acknowledged as|was pushed"):
        for _ in range(100):
            cut_under_load(image, mount_point / "log", load, chance, wrap)
            image.unmount()
            image.mount(mount_point)
