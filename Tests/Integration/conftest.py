from __future__ import annotations

import pathlib

import pytest
from wire import Server


@pytest.fixture
def server(tmp_path: pathlib.Path):
    with Server(tmp_path / "log") as server:
        yield server
