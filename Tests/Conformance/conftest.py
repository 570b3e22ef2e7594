"""Fixtures of the conformance tests. They run the real server: HUBAUDIT_BIN, or the release build of this tree.

    pip install -r .ci/requirements.txt -e Sources/python && pytest Tests/Conformance

test_evidence.py also needs Go, golang.org/x/mod and OpenSSL: Debian's golang-go, golang-golang-x-mod-dev and openssl.
"""

import asyncio
import inspect
from pathlib import Path

import pytest
from server import Server, SigningServer

# A test that waits longer than this hangs.
TEST_SECONDS = 300


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs tests that are coroutines."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), TEST_SECONDS))
    return True


@pytest.fixture
def server(tmp_path: Path):
    """A running server with an empty log."""
    running = Server(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture
def signing(tmp_path: Path):
    """A running server with an empty log that it signs, and HTTP."""
    running = SigningServer(tmp_path, http=True)
    try:
        running.start()
        yield running
    finally:
        running.kill()
