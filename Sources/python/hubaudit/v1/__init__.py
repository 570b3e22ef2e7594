"""The messages of Proto/hubaudit/v1, under the names that protoc has for them: `from hubaudit.v1 import event_pb2`.

Who has this package needs no protoc. What protoc makes of Proto/ goes by the same names, so the package's modules take the place of one's own.
"""

import sys

from .._proto import event_pb2 as event_pb2
from .._proto import frames_pb2 as frames_pb2
from .._proto import record_pb2 as record_pb2

for _module in (event_pb2, frames_pb2, record_pb2):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module
