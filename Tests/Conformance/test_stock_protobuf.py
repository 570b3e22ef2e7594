"""What protoc makes of Proto/ for Python: it suffices to read and check a log, and it gets along with the package."""

import json
from pathlib import Path
import shutil
import subprocess
import sys

import hubaudit
from hubaudit.evidence import leaf_hash
import pytest
from contract import FILES, ROOT
from server import BINARY, SigningServer

HERE = Path(__file__).resolve().parent


def generate(out: Path, proto: Path = ROOT / "Proto") -> Path:
    out.mkdir()
    subprocess.run(["protoc", f"--proto_path={proto}", f"--python_out={out}", *FILES], check=True)
    return out


def python(program: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program that finds the package and, before it, what is in `paths`."""
    first = [str(path) for path in paths]
    begin = f"import sys\nsys.path[:0] = {first + [str(ROOT / 'Sources' / 'python')]}\n"
    return subprocess.run([sys.executable, "-c", begin + program], capture_output=True, text=True)


async def test_a_reader_with_the_stock_library_checks_every_record_by_its_raw_bytes(signing: SigningServer, tmp_path: Path) -> None:
    async with await hubaudit.connect(signing.address, hub="lab") as client:
        await client.append([hubaudit.events.agent("a", "registered"), {"kind": "agent_registered"}, {"n": 1}])
        erase = [BINARY, "erase", "-s", signing.address, "2", "--reason", "a test", "--signing-key", str(signing.key_file)]
        subprocess.run(erase, check=True, capture_output=True)
        records = [record async for record in client.read()]
    command = [sys.executable, str(HERE / "stock_reader.py"), str(generate(tmp_path / "out")), signing.address]
    lines = [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]
    assert [line["leaf"] for line in lines] == [leaf_hash(record.header_bytes).hex() for record in records]
    assert [line["erased"] for line in lines] == [record.erased for record in records] == [False, False, True, False]
    assert [line["body_fits"] for line in lines] == [True, True, False, True]
    # A custom record may carry the name of another kind: the detail says what it is.
    assert [(line["kind"], line["detail"]) for line in lines[:2]] == [("agent_registered", "agent_registered"), ("agent_registered", "custom")]
    # And the bytes of the erased one are not those that a library writes of it.
    erased = records[2].raw
    assert type(records[2].header).FromString(records[2].header_bytes).SerializeToString() == records[2].header_bytes
    from hubaudit.v1 import record_pb2

    assert record_pb2.Record.FromString(erased).SerializeToString() != erased


def test_what_protoc_makes_and_the_package_go_by_the_same_names(tmp_path: Path) -> None:
    out = generate(tmp_path / "out")
    program = """
from hubaudit.v1 import event_pb2
import hubaudit.v1.frames_pb2
import hubaudit
assert event_pb2.Event is hubaudit.events.Event, "the package takes another Event"
assert hubaudit.v1.frames_pb2.ClientFrame(append={"events": [event_pb2.Event(custom=b"{}")]}).IsInitialized()
"""
    for paths in ((), (out,)):
        result = python(program, *paths)
        assert result.returncode == 0, result.stderr


def test_another_version_of_the_contract_lives_beside_the_package(tmp_path: Path) -> None:
    proto = tmp_path / "Proto"
    shutil.copytree(ROOT / "Proto", proto)
    event = proto / "hubaudit" / "v1" / "event.proto"
    event.write_text(event.read_text() + "\nmessage Later { optional string field = 1; }\n")
    out = generate(tmp_path / "out", proto)
    # A project that has it under a name of its own.
    own = tmp_path / "own"
    (own / "theirs").mkdir(parents=True)
    for file in (out / "hubaudit" / "v1").glob("*.py"):
        (own / "theirs" / file.name).write_text(file.read_text().replace("from hubaudit.v1 import", "from theirs import"))
    for first, second in (("hubaudit", "theirs.frames_pb2"), ("theirs.frames_pb2", "hubaudit")):
        result = python(f"import {first}, {second}\nfrom theirs import event_pb2\nassert event_pb2.Later(field='x').field == 'x'\n", own)
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("old", "new"), [("STATE_ENDED = 3", "ENDED = 3"), ("CODE_UNSPECIFIED = 0", "CODE_NOTHING = 0"), ("optional uint32 recorded", "optional uint32 Recorded")]
)
def test_buf_lint_finds_nothing_in_the_contract_and_something_in_a_worse_one(tmp_path: Path, old: str, new: str) -> None:
    buf = Path(sys.executable).parent / "buf"
    clean = subprocess.run([buf, "lint", ROOT / "Proto"], capture_output=True, text=True)
    assert (clean.returncode, clean.stdout) == (0, ""), clean
    copy = tmp_path / "Proto"
    shutil.copytree(ROOT / "Proto", copy)
    frames = copy / "hubaudit" / "v1" / "frames.proto"
    assert old in frames.read_text()
    frames.write_text(frames.read_text().replace(old, new))
    worse = subprocess.run([buf, "lint", copy], capture_output=True, text=True)
    assert worse.returncode != 0 and "frames.proto" in worse.stdout, worse
