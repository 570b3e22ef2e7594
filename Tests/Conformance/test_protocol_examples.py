"""The worked bytes of PROTOCOL.md are what its text says, and what the schema says of a record holds for them."""

import hashlib
import re
import subprocess

import pytest

from contract import ROOT, descriptor_set, take_varint
from protocol_examples import EXAMPLE, PAGE, encoded, examples

TITLES = [match["title"] for match in EXAMPLE.finditer(PAGE.read_text())]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_every_hex_block_of_the_page_is_an_example():
    assert PAGE.read_text().count("```hex") == len(TITLES) == 8


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


def codes() -> dict[str, int]:
    frames = next(file for file in descriptor_set().file if file.name.endswith("frames.proto"))
    error = next(message for message in frames.message_type if message.name == "Error")
    return {value.name.removeprefix("CODE_"): value.number for value in error.enum_type[0].value if value.number}


def test_the_table_of_errors_is_the_one_of_the_schema():
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \| (ends|goes on) \| (yes|no) \|", PAGE.read_text(), re.MULTILINE)
    assert {name: int(number) for name, number, _, _ in rows} == codes()
    assert all((int(number) < 16) == (connection == "ends") for _, number, connection, _ in rows)
    # The server's own list of what may be sent again.
    source = (ROOT / "Sources" / "AuditSchema" / "SchemaError.swift").read_text()
    retryable = re.search(r"var isRetryable.*?case ([^:]*): true", source, re.DOTALL)[1]
    wanted = {re.sub(r"(?<!^)(?=[A-Z])", "_", name.strip(" .")).upper() for name in retryable.split(",")}
    assert {name for name, _, _, retry in rows if retry == "yes"} == wanted


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
    source = (ROOT / "Sources" / "hubaudit" / "Setting.swift").read_text()
    defaults = dict(re.findall(r'Setting\(name: "([a-z-]+)", defaultValue: "([^"]*)"', source))
    limits = examples()["Welcome"].message.welcome.limits
    for field, value in limits.ListFields():
        assert defaults[field.name.replace("_", "-")] == str(value), field.name
    # The deadlines of the page, in its order.
    told = re.findall(r"^\| [^|]+ \| (\d+ s) \| ", PAGE.read_text(), re.MULTILINE)
    names = ("hello-timeout", "frame-timeout", "write-timeout", "credit-timeout")
    assert [time.replace(" ", "") for time in told] == [defaults[name] for name in names]
