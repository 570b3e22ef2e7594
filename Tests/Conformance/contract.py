"""Proto/ as protoc sees it: message classes made at run time, independent of every generated file of the tree."""

import functools
import pathlib
import subprocess
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ["hubaudit/v1/record.proto", "hubaudit/v1/event.proto", "hubaudit/v1/frames.proto"]


@functools.cache
def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    with tempfile.TemporaryDirectory() as work:
        out = pathlib.Path(work) / "set"
        subprocess.run(
            ["protoc", f"--proto_path={ROOT / 'Proto'}", "--include_imports", f"--descriptor_set_out={out}", *FILES], check=True
        )
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


@functools.cache
def messages() -> dict[str, type]:
    """Message classes by their short names: "ClientFrame", "Record"."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_set().file:
        pool.Add(file)
    classes = message_factory.GetMessageClassesForFiles(FILES, pool)
    return {name.removeprefix("hubaudit.v1."): cls for name, cls in classes.items()}


def take_varint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """The number at `offset` and the offset after it."""
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset += 1
        if byte < 0x80:
            return value, offset
        shift += 7


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
