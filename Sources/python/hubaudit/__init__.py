"""hubaudit: the append-only audit log of agent hubs.

    async with await hubaudit.connect("127.0.0.1:7411", hub="lab") as client:
        await client.append(hubaudit.events.agent("a1", "registered", name="Ada"))
        async for record in client.tail(after=last_sequence):
            print(record.sequence, record.kind, record.record)

Over TLS, with a token: `connect("hubaudits://audit.example:7411", tls=hubaudit.TLS(cacert="ca.pem"), token=Path("token"))`.

With `verifier_key=` the client verifies that the log only grows; `client.prove(sequence)` gives a `Receipt` that proves a record anywhere.

`hubaudit.ag2.HubAuditLog` is the drop-in AuditLog for AG2.
"""

from . import errors, events, evidence
from .appended import Appended
from .checkpoint import Checkpoint, VerifierKey
from .client import Client, connect
from .credentials import TLS
from .errors import HubauditError
from .history import History
from .receipt import Receipt
from ._unknown import UnknownField
from .record import Record
from .tail import Tail

__version__ = "0.1.0"
__all__ = [
    "Appended",
    "Checkpoint",
    "Client",
    "History",
    "HubauditError",
    "Receipt",
    "Record",
    "TLS",
    "Tail",
    "VerifierKey",
    "connect",
    "errors",
    "events",
    "evidence",
]
