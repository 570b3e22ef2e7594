from __future__ import annotations

import os
import pathlib
import random
import sys

import pytest

# The wire and the load on it are those of the integration tests.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Integration"))

import calls  # noqa: E402
import disks  # noqa: E402


@pytest.fixture
def chance() -> random.Random:
    """Random numbers of this test; HUBAUDIT_SEED repeats a run."""
    seed = int(os.environ.get("HUBAUDIT_SEED", random.randrange(1 << 32)))
    print(f"seed {seed} (HUBAUDIT_SEED)")
    return random.Random(seed)


@pytest.fixture
def strace() -> None:
    """For tests whose servers run under strace."""
    if (why := calls.why_no_strace()) is not None:
        pytest.skip(why)


@pytest.fixture(scope="session")
def private_mounts() -> None:
    """Mounts from here on are this process's own, and gone with it and its children, however it ends."""
    if (why := disks.enter_private_mounts()) is not None:
        pytest.skip(why)


@pytest.fixture
def mount_point(tmp_path: pathlib.Path, private_mounts: None):
    """A directory to mount on; whatever is mounted there is unmounted at the end."""
    point = tmp_path / "mounted"
    point.mkdir()
    yield point
    disks.unmount_all(point)
