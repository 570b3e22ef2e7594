"""What holds for all tests: none leaves a process behind, whether it passes or fails."""

import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parent / "Harness"))

import processes  # noqa: E402


def pytest_sessionstart() -> None:
    processes.adopt_orphans()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item):
    result = yield
    if left := processes.left_behind():
        pytest.fail("processes were left behind (killed now):\n" + "\n".join(f"{pid}: {command}" for pid, command in left.items()), pytrace=False)
    return result
