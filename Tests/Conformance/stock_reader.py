"""A reader that has nothing but what protoc makes of Proto/ and the stock protobuf library: prints a JSON line for each record.

    stock_reader.py DIRECTORY HOST:PORT

DIRECTORY is protoc's --python_out. Hashes are of the bytes as they came: RawServerFrame.
"""

import hashlib
import json
import socket
import sys
import types

from google.protobuf import proto

generated, address = sys.argv[1:]
# Where the package is installed too, it would be found under the same name.
sys.modules["hubaudit"] = types.ModuleType("hubaudit")
sys.modules["hubaudit"].__path__ = [f"{generated}/hubaudit"]
from hubaudit.v1 import frames_pb2, record_pb2  # noqa: E402


def main() -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 30) as connection:
        stream = connection.makefile("rwb")
        for request in (
            frames_pb2.ClientFrame(id=1, hello={"version": 1}),
            frames_pb2.ClientFrame(id=2, read={"start": {"earliest": True}}),
        ):
            proto.serialize_length_prefixed(request, stream)
        stream.flush()
        connection.shutdown(socket.SHUT_WR)
        while (raw := proto.parse_length_prefixed(frames_pb2.RawServerFrame, stream)) is not None:
            for record in raw.records.batch.records:
                header = record_pb2.RecordHeader.FromString(record.header)
                print(json.dumps({
                    "sequence": header.sequence,
                    "kind": header.kind,
                    "leaf": hashlib.sha256(b"\0" + record.header).hexdigest(),
                    "body_fits": hashlib.sha256(record.body).digest() == header.body_sha256,
                    "erased": record.HasField("erased"),
                    "detail": record_pb2.RecordBody.FromString(record.body).WhichOneof("detail"),
                }))


main()
