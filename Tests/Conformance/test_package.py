"""The package by itself: addresses, frames, and the generated modules."""

from pathlib import Path
import subprocess

from hubaudit.address import Address
from hubaudit.errors import ProtocolError
from hubaudit.framing import FrameDecoder, encode_frame, encode_varint
import pytest
from server import ROOT


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("h", Address(host="h", port=7411)),
        ("h:1", Address(host="h", port=1)),
        ("hubaudit://h:1/", Address(host="h", port=1)),
        ("hubaudit://h", Address(host="h", port=7411)),
        ("[::1]:1", Address(host="::1", port=1)),
        ("::1", Address(host="::1", port=7411)),
        ("unix:/run/s", Address(path="/run/s")),
        ("unix:///run/s", Address(path="/run/s")),
    ],
)
def test_addresses_are_read(text: str, wanted: Address) -> None:
    assert Address.parse(text) == wanted
    assert Address.parse(str(wanted)) == wanted


@pytest.mark.parametrize("text", ["", ":1", "h:0", "h:65536", "h:x", "http://h", "unix:", "[::1:1", "h:1/path"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Address.parse(text)


def test_frames_are_found_however_they_are_cut() -> None:
    bodies = [b"", b"a", b"x" * 127, b"y" * 128, b"z" * 20_000]
    stream = b"".join(map(encode_frame, bodies))
    for step in (1, 2, 3, 100, len(stream)):
        decoder = FrameDecoder(20_000)
        found = [body for at in range(0, len(stream), step) for body in decoder.feed(stream[at : at + step])]
        assert found == bodies, step


def test_a_frame_above_the_limit_is_refused_from_its_length_alone() -> None:
    with pytest.raises(ProtocolError, match="20001 bytes"):
        FrameDecoder(20_000).feed(encode_varint(20_001))
    with pytest.raises(ProtocolError, match="more than 5 bytes"):
        FrameDecoder(20_000).feed(b"\xff" * 6)


def test_the_generated_modules_are_those_of_the_contract(tmp_path: Path) -> None:
    subprocess.run([ROOT / "Sources" / "python" / "generate.sh", tmp_path], check=True)
    committed = ROOT / "Sources" / "python" / "hubaudit" / "_proto"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in committed.glob("*_pb2.py*") if path.suffix in (".py", ".pyi"))
    for name in names:
        assert (tmp_path / name).read_text() == (committed / name).read_text(), f"{name}: run Sources/python/generate.sh"
