"""The worked bytes of PROTOCOL.md are what its text says, and what the schema says of a record holds for them."""

import base64
import hashlib
import os
import re
import subprocess

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
import hubaudit
import pytest

from contract import ROOT, descriptor_set, take_varint
from protocol_examples import EXAMPLE, PAGE, encoded, examples
from server import BINARY

TITLES = [match["title"] for match in EXAMPLE.finditer(PAGE.read_text())]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_every_hex_block_of_the_page_is_an_example():
    assert PAGE.read_text().count("```hex") == len(TITLES) == 13


@pytest.mark.parametrize("title", TITLES)
def test_the_bytes_decode_to_the_text(title):
    example = examples()[title]
    assert example.decoded == example.message


@pytest.mark.parametrize("title", TITLES)
def test_the_text_encodes_to_the_bytes(title):
    example = examples()[title]
    assert encoded(example.message).hex(" ") == example.wire.hex(" ")


@pytest.mark.parametrize("title", TITLES)
def test_protoc_reads_the_bytes(title):
    example = examples()[title]
    _, start = take_varint(example.wire)
    result = subprocess.run(
        ["protoc", f"--proto_path={ROOT / 'Proto'}", f"--decode=hubaudit.v1.{example.type}", "hubaudit/v1/frames.proto"],
        input=example.wire[start:], capture_output=True, check=True,
    )
    # An unknown field would be printed by its number.
    assert not re.search(rb"^\s*\d+[:{ ]", result.stdout, re.MULTILINE), result.stdout.decode()


def test_the_pushed_record_carries_its_checksums():
    record = examples()["A push"].decoded.records.batch.records[0]
    assert record.header.body_sha256 == hashlib.sha256(record.body.SerializeToString()).digest()
    assert record.crc32c == crc32c(record.SerializeToString()[:-5])
    assert crc32c(b"123456789") == 0xE3069283


def block(language: str) -> str:
    """The one block of this language on the page."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return found


def test_the_worked_note_and_proof_lead_from_the_pushed_record_to_the_signed_root():
    vkey, note = block("vkey").strip(), block("note")
    proof = examples()["A proof"].decoded.proof
    assert proof.checkpoint.decode() == note
    # The key, as the page says how to read it.
    name, identity, material = vkey.split("+", 2)
    public = base64.b64decode(material)
    assert (public[0], len(public)) == (1, 33)
    assert hashlib.sha256(name.encode() + b"\n" + public).digest()[:4].hex() == identity
    seed = hashlib.sha256(b"demo log key").digest()
    assert Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw() == public[1:]
    # The note.
    text, _, signatures = note.rpartition("\n\n")
    dash, signer, signature = signatures.split()
    assert (dash, signer) == ("\u2014", name) and base64.b64decode(signature)[:4].hex() == identity
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(base64.b64decode(signature)[4:], text.encode() + b"\n")
    origin, size, root = text.split("\n")
    assert (origin, int(size)) == (name, proof.size)
    # The header is found by the two bytes that the page names, and is the leaf.
    push = examples()["A push"]
    header = push.decoded.records.batch.records[0].header
    begin = push.wire.index(bytes.fromhex("0a52")) + 2
    assert push.wire[begin : begin + 0x52] == header.SerializeToString()
    hash = hashlib.sha256(b"\0" + header.SerializeToString()).digest()
    steps = [hash.hex()]
    for other in proof.hashes:
        hash = hashlib.sha256(b"\1" + hash + other).digest()
        steps.append(hash.hex())
    assert base64.b64decode(root) == hash
    assert re.findall(r"^(?:leaf of|with the leaf of) record \d +([0-9a-f]{64})$", PAGE.read_text(), re.MULTILINE) == steps
    assert examples()["Caught up"].decoded.subscription.leaf_hash.hex() == steps[0]
    assert examples()["A subscribe that goes on there, over another connection"].decoded.subscribe.start.history.leaf_hash.hex() == steps[0]
    # The other leaves are what the page says of their records.
    leaves = []
    for sequence in range(3):
        header.sequence = sequence
        leaves.append(hashlib.sha256(b"\0" + header.SerializeToString()).digest())
    assert list(proof.hashes) == leaves[1:]


def test_the_package_takes_the_worked_evidence():
    proof = examples()["A proof"].decoded.proof
    header = examples()["A push"].decoded.records.batch.records[0].header.SerializeToString()
    receipt = hubaudit.Receipt(0, header, tuple(proof.hashes), hubaudit.Checkpoint.parse(proof.checkpoint))
    receipt.verify(block("vkey").strip())
    told = receipt.tlog_proof().decode().split("\n")
    # The order of the lines, as the page has it.
    assert told[0] == "c2sp.org/tlog-proof@v1" and [line.split(" ")[0] for line in told[1:3]] == ["extra", "index"] and told[5] == ""
    assert base64.b64decode(told[1].removeprefix("extra ")) == header


def test_the_lines_that_read_frames_in_c_read_the_page(tmp_path):
    program = """
#include <stdint.h>
#include <stdio.h>
%s
int main(void) {
  static uint8_t frame[1 << 20];
  long size;
  while ((size = read_frame(stdin, frame, sizeof frame)) > 0) printf("%%ld %%02x\\n", size, frame[size - 1]);
  return size == 0 ? 0 : 1;
}
"""
    (tmp_path / "read.c").write_text(program % block("c"))
    subprocess.run(["cc", "-Wall", "-Werror", "-o", tmp_path / "read", tmp_path / "read.c"], check=True)
    frames = [example.wire for example in examples().values()]
    good = subprocess.run(tmp_path / "read", input=b"".join(frames), capture_output=True)
    assert good.returncode == 0
    assert good.stdout.decode().split() == [word for wire in frames for word in (str(len(wire) - take_varint(wire)[1]), f"{wire[-1]:02x}")]
    for bad in (frames[0][:-1], b"\xff" * 6, b"\x80", b"\x81\x80\x40" + bytes(100)):
        assert subprocess.run(tmp_path / "read", input=bad, capture_output=True).returncode == 1, bad


def codes() -> dict[str, int]:
    frames = next(file for file in descriptor_set().file if file.name.endswith("frames.proto"))
    error = next(message for message in frames.message_type if message.name == "Error")
    return {value.name.removeprefix("CODE_"): value.number for value in error.enum_type[0].value if value.number}


def test_the_table_of_errors_is_the_one_of_the_schema():
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \| (ends|goes on) \| (yes|no) \|", PAGE.read_text(), re.MULTILINE)
    assert {name: int(number) for name, number, _, _ in rows} == codes()
    assert all((int(number) < 16) == (connection == "ends") for _, number, connection, _ in rows)


def test_every_frame_of_the_schema_is_on_the_page():
    page = PAGE.read_text()
    frames = next(file for file in descriptor_set().file if file.name.endswith("frames.proto"))
    for message in frames.message_type:
        if message.name in ("ClientFrame", "ServerFrame"):
            for field in message.field:
                name = field.type_name.removeprefix(".hubaudit.v1.")
                assert field.name == "id" or re.search(rf"\b{name}\b", page), f"{message.name}.{field.name}"
        if message.name == "Limits":
            for field in message.field:
                assert f"`{field.name}`" in page, field.name


def test_the_limits_of_the_welcome_are_the_defaults_of_the_server():
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")}
    shown = subprocess.run([BINARY, "config", "show"], env=environment, capture_output=True, text=True, check=True).stdout
    defaults = dict(re.findall(r"^([a-z-]+) = (\S+)", shown, re.MULTILINE))
    limits = examples()["Welcome"].message.welcome.limits
    for field, value in limits.ListFields():
        assert defaults[field.name.replace("_", "-")] == str(value), field.name
    # The deadlines of the page, in its order.
    told = re.findall(r"^\| [^|]+ \| (\d+ s) \| ", PAGE.read_text(), re.MULTILINE)
    names = ("hello-timeout", "frame-timeout", "write-timeout", "credit-timeout")
    assert [time.replace(" ", "") for time in told] == [defaults[name] for name in names]
