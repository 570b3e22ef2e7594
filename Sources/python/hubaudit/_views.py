"""Messages of the contract that keep some of their parts as undecoded bytes.

On the wire an embedded message and a bytes field are the same. These views are made from the contract's own descriptors, by turning
the named fields into bytes, so that a record's bytes can be kept as they came and decoded only where somebody asks.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, message_factory

from ._proto import POOL, frames_pb2, record_pb2
from .errors import ProtocolError

_PACKAGE = "hubaudit.views"
_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES

# Message, and its fields that stay bytes.
_OPAQUE: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (record_pb2.RecordBatch, ("records", "commits")),
    (frames_pb2.Records, ("batch",)),
    (frames_pb2.ServerFrame, ("records",)),
    (frames_pb2.Append, ("events",)),
    (frames_pb2.ClientFrame, ("append",)),
)


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="hubaudit/views.proto", package=_PACKAGE, syntax="proto2")
    file.dependency.extend([frames_pb2.DESCRIPTOR.name, record_pb2.DESCRIPTOR.name])
    for message, fields in _OPAQUE:
        view = file.message_type.add()
        message.DESCRIPTOR.CopyToProto(view)
        for field in view.field:
            if field.name in fields:
                field.type = _BYTES
                field.ClearField("type_name")
    pool = POOL
    pool.AddSerializedFile(file.SerializeToString())
    names = (message.DESCRIPTOR.name for message, _ in _OPAQUE)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in names}


_views = _build()
RecordBatchView: Any = _views["RecordBatch"]
RecordsView: Any = _views["Records"]
ServerFrameView: Any = _views["ServerFrame"]
AppendView: Any = _views["Append"]
ClientFrameView: Any = _views["ClientFrame"]


def parse(view: Any, data: bytes) -> Any:
    """`data` as a message of class `view`. Raises `ProtocolError` when it is none."""
    message = view()
    try:
        message.ParseFromString(data)
    except Exception as error:
        raise ProtocolError(f"the server sent {len(data)} bytes that are not a {view.DESCRIPTOR.name}: {error}") from error
    return message
