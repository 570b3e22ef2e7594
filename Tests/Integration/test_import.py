"""`hubaudit import` takes every line of a file, whatever is in it, and `hubaudit export` gives it back."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess

import pytest
from wire import BINARY, Server

RECORD_BYTES = 20_000


@pytest.fixture
def small(tmp_path: pathlib.Path):
    """A server whose records are small, so that lines need not be large."""
    with Server(tmp_path / "log", "--record-bytes", str(RECORD_BYTES)) as server:
        yield server


def run(server: Server, *arguments: str, status: int = 0) -> tuple[bytes, str]:
    result = subprocess.run(
        [BINARY, *arguments], capture_output=True, env={**os.environ, "HUBAUDIT_SERVER": server.address}, timeout=60)
    assert result.returncode == status, (result.stdout[-500:], result.stderr[-500:])
    return result.stdout, result.stderr.decode()


def good(number: int) -> bytes:
    return json.dumps({"kind": "k", "n": number}).encode() + b"\n"


TOO_LARGE = {
    "an object": json.dumps({"kind": "large", "text": "x" * 3 * RECORD_BYTES}).encode() + b"\n",
    "no object": b"\xff\x00y" * RECORD_BYTES + b"\n",
    "far too large": json.dumps({"text": "z" * (3 << 20)}).encode() + b"\n",
}


@pytest.mark.parametrize("large", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_line_that_is_too_large_is_kept_in_parts_and_comes_back_whole(small, tmp_path, large):
    source = tmp_path / "audit.jsonl"
    source.write_bytes(good(0) + large + good(1))
    output, error = run(small, "import", str(source))
    assert b"3 lines, 3 appended, 0 stored before, 1 of the appended unreadable" in output
    assert error.count("line 2 (byte ") == 1
    assert run(small, "export")[0] == source.read_bytes()
    # Repeated, also with more, it knows the parts.
    source.write_bytes(source.read_bytes() + large + good(2))
    assert b"5 lines, 2 appended, 3 stored before" in run(small, "import", str(source))[0]
    assert run(small, "export")[0] == source.read_bytes()


@pytest.mark.parametrize("large", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_line_that_is_passed_over_leaves_its_hash(small, tmp_path, large):
    source = tmp_path / "audit.jsonl"
    source.write_bytes(good(0) + large + good(1))
    output, error = run(small, "import", "--skip-too-large", str(source))
    assert b"3 lines, 3 appended" in output and b"1 passed over" in output
    assert error.count("line 2 (byte ") == 1 and "SHA-256" in error
    lines = [json.loads(line) for line in run(small, "export")[0].splitlines()]
    assert [one["kind"] for one in lines] == ["k", "skipped_line", "k"]
    assert lines[1]["bytes"] == len(large) - 1 and lines[1]["sha256"] == hashlib.sha256(large[:-1]).hexdigest()
    # Repeated, the line is compared by its hash.
    assert b"3 lines, 0 appended, 3 stored before" in run(small, "import", "--skip-too-large", str(source))[0]
    changed = large.replace(large[-9:-5], b"####")
    source.write_bytes(good(0) + changed + good(1) + good(2))
    assert "line 2 is not what was imported before" in run(small, "import", "--skip-too-large", str(source), status=1)[1]


def test_a_byte_order_mark_hides_no_record(server, tmp_path):
    source = tmp_path / "audit.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + good(0) + good(1))
    assert b"2 lines, 2 appended, 0 stored before, 0 of the appended unreadable" in run(server, "import", str(source))[0]
    kinds = [json.loads(line)["record"] for line in run(server, "read", "-o", "json", "--kind", "k")[0].splitlines()]
    assert [one["n"] for one in kinds] == [0, 1]
    assert run(server, "export")[0] == source.read_bytes()
    source.write_bytes(source.read_bytes() + good(2))
    assert b"3 lines, 1 appended, 2 stored before" in run(server, "import", str(source))[0]
    assert run(server, "export")[0] == source.read_bytes()


def test_a_line_without_an_end_waits_until_it_has_one(server, tmp_path):
    source = tmp_path / "audit.jsonl"
    source.write_bytes(good(0) + good(1)[:9])
    output, error = run(server, "import", str(source))
    assert b"2 lines, 1 appended" in output and b"1 waits" in output and "line 2 (byte " in error
    assert run(server, "export")[0] == good(0)
    source.write_bytes(good(0) + good(1) + good(2))
    assert b"3 lines, 2 appended, 1 stored before, 0 of the appended unreadable" in run(server, "import", str(source))[0]
    assert run(server, "export")[0] == source.read_bytes()


def test_a_file_whose_unfinished_line_was_kept_can_be_gone_on_with(server, tmp_path):
    source = tmp_path / "audit.jsonl"
    source.write_bytes(good(0) + good(1)[:9])
    assert b"2 lines, 2 appended" in run(server, "import", "--keep-unfinished", str(source))[0]
    assert run(server, "export")[0] == source.read_bytes()
    assert b"2 lines, 0 appended, 2 stored before" in run(server, "import", "--keep-unfinished", str(source))[0]
    source.write_bytes(good(0) + good(1) + good(2))
    assert b"3 lines, 2 appended, 1 stored before" in run(server, "import", str(source))[0]
    assert run(server, "export")[0] == source.read_bytes()
