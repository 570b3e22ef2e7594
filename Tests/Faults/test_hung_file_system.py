"""A file system that does not say how much room it has, as a network's may: health and metrics are answered without that."""

from __future__ import annotations

import os
import pathlib
import re
import signal

import calls
import pytest
from wire import Server

pytestmark = pytest.mark.usefixtures("strace")
FREE = "hubaudit_data_free_bytes"


def tracer(process: int) -> int:
    """The strace that a process runs under; 0: none."""
    found = re.search(r"^TracerPid:\s*(\d+)$", pathlib.Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_metrics_and_health_are_answered_while_the_room_is_not_told(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "log"
    Server(data).stop()
    # The first call returns when strace is gone.
    with Server(data, wrap=calls.failing("statfs", "delay_enter=3600s", path=data)) as server:
        disk = tracer(server.process.pid)
        try:
            for _ in range(3):
                status, text = server.get("/metrics")
                assert status == 200 and "hubaudit_ready 1" in text and FREE not in text
                assert server.get("/livez") == (200, "ok\n") and server.get("/readyz")[0] == 200
        finally:
            # Until then it cannot even be killed.
            os.kill(disk, signal.SIGKILL)
        while FREE not in server.get("/metrics")[1]:
            assert server.process.poll() is None
        assert server.stop() == 0
