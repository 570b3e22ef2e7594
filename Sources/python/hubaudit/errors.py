"""What can go wrong. Every error is a `HubauditError` with a sentence, a code and whether trying again may help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._proto import frames_pb2

if TYPE_CHECKING:
    from .checkpoint import Checkpoint
    from .pending import PendingAppend


class HubauditError(Exception):
    """Base of all errors of this package.

    `code` is the contract's name of the error ("OVERLOADED"), or None when it arose on this side. `retry` says whether the same
    request may succeed if it is sent again. `event` is the position (from 0) in the append of the event that the error is about.
    """

    code: str | None = None

    def __init__(self, message: str, *, code: str | None = None, retry: bool = False, event: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry = retry
        self.event = event
        if code is not None:
            self.code = code


class ConnectionLost(HubauditError):
    """The connection could not be made, or ended before the answer came."""


class CredentialsError(ConnectionLost):
    """A certificate, key or token is not accepted, or its file cannot be used.

    A client that was connected before, or is started without waiting, tries on: files are read again, and functions called again, for each
    connection. So `retry` is True.
    """


class TLSError(CredentialsError):
    """The TLS handshake failed: one side does not accept the other's certificate, or the server does not speak TLS or this protocol."""


class Unauthenticated(CredentialsError):
    """UNAUTHENTICATED: the server does not know who this is. Its own log says why."""


class CredentialExpired(CredentialsError):
    """CREDENTIAL_EXPIRED: the connection's credentials have expired, or were revoked."""


class Timeout(HubauditError, TimeoutError):
    """No answer within the deadline."""


class AppendPending(Timeout):
    """An append was not acknowledged within its deadline. It stays queued, and is sent, and stored once, when the server can take it.

    Appending the same again would store it twice: wait on with `await error.pending.wait()`.
    """

    pending: PendingAppend | None = None
    """The append that is still on its way; None where several are."""


class ProtocolError(HubauditError):
    """The other side broke the contract, or refused what this side sent as a breach of it."""


class LogChanged(HubauditError):
    """After a reconnect the server serves another log than before: a position in the old one means nothing there."""


class HistoryDiffers(LogChanged):
    """HISTORY_DIFFERS: the log is not the one that the position belongs to: another, an older copy of it, or one that went on differently."""

    differs_from: int | None = None
    """A sequence whose record is certainly not the one that was known, or missing. Records before it may differ too."""


class EvidenceError(HubauditError):
    """A proof, a signature or a checkpoint does not hold, or is none."""


class TamperedLogError(EvidenceError):
    """The log is not the one that was seen before: records were removed or changed, or another key signs.

    The two checkpoints are the evidence: keep both. The log's operator can explain a lost disk or a changed key; nobody can explain two
    checkpoints of one size with different roots.
    """

    def __init__(self, message: str, *, remembered: Checkpoint | None, shown: Checkpoint | None) -> None:
        super().__init__(message)
        self.remembered = remembered
        """The newest checkpoint that was verified before; None when there is none."""
        self.shown = shown
        """The one that does not fit; None when the server has none to show, or one that cannot be read."""


class QueueFull(HubauditError):
    """The bounded queue of unacknowledged events has no room; the event was not taken.

    Of an append of many events those before `event` were taken, where it is not 0: `pending` is what becomes of them.
    """

    pending: PendingAppend | None = None


class Closed(HubauditError):
    """The client or the log was closed."""


class UsageError(HubauditError, RuntimeError):
    """What was called cannot be done here: it would wait for itself, or there is no event loop."""


class WrongLoop(UsageError):
    """The client was used from another event loop, thread or process (a fork) than the one it was started in."""


class Refused(HubauditError):
    """The server refused the request; the same request will be refused again. The connection goes on."""


class InvalidRequest(Refused):
    """INVALID_REQUEST or UNSUPPORTED_REQUEST."""


class InvalidText(Refused):
    """INVALID_TEXT: a string holds a NUL byte, is not UTF-8, or is too long."""


class InvalidJSON(Refused):
    """INVALID_JSON: a custom record, params or detail is no JSON object."""


class RecordTooLarge(Refused):
    """RECORD_TOO_LARGE: the event is larger than the server, or its frame, takes."""


class LimitExceeded(Refused):
    """LIMIT_EXCEEDED: a limit that the welcome told was crossed."""


class NotPermitted(Refused):
    """NOT_PERMITTED: the identity of this connection has no right to do this."""


class ProducerGap(Refused):
    """PRODUCER_GAP: the server expects another producer number, `expected`."""

    expected: int | None = None


class ProducerConflict(Refused):
    """Another client numbers events under the same hub and producer name, or the server has forgotten the producer: this event may not have
    been stored. With the code PRODUCER_NUMBER_UNKNOWN nobody can tell, and it is not sent again."""


class Unavailable(HubauditError):
    """The server cannot store now. Nothing was stored; the same request may succeed later."""


class Overloaded(Unavailable):
    """OVERLOADED: the server's queue is full."""


class StorageFull(Unavailable):
    """STORAGE_FULL: the server's disk is full."""


class Draining(Unavailable):
    """DRAINING: the server is going down in good order."""


class LogFailed(HubauditError):
    """LOG_FAILED: appending has ended for good on this server; reads go on."""


class DataDamaged(HubauditError):
    """DATA_DAMAGED: what was asked for is damaged on disk."""


class RecordUnreadable(HubauditError):
    """A record holds what Python cannot take. Its bytes are in `Record.body_bytes`; other records are not concerned."""


class InternalError(HubauditError):
    """INTERNAL: a fault of the server, or a code that this version does not know."""


_CLASSES: dict[str, type[HubauditError]] = {
    "MALFORMED_FRAME": ProtocolError,
    "FRAME_TOO_LARGE": ProtocolError,
    "HELLO_EXPECTED": ProtocolError,
    "UNSUPPORTED_VERSION": ProtocolError,
    "TIMEOUT": Timeout,
    "TOO_MANY_CONNECTIONS": Unavailable,
    "UNAUTHENTICATED": Unauthenticated,
    "CREDENTIAL_EXPIRED": CredentialExpired,
    "INVALID_REQUEST": InvalidRequest,
    "UNSUPPORTED_REQUEST": InvalidRequest,
    "INVALID_TEXT": InvalidText,
    "INVALID_JSON": InvalidJSON,
    "RECORD_TOO_LARGE": RecordTooLarge,
    "LIMIT_EXCEEDED": LimitExceeded,
    "PRODUCER_GAP": ProducerGap,
    "NOT_PERMITTED": NotPermitted,
    "PRODUCER_SUPERSEDED": ProducerConflict,
    "PRODUCER_NUMBER_UNKNOWN": ProducerConflict,
    "HISTORY_DIFFERS": HistoryDiffers,
    "OVERLOADED": Overloaded,
    "STORAGE_FULL": StorageFull,
    "DRAINING": Draining,
    "LOG_FAILED": LogFailed,
    "DATA_DAMAGED": DataDamaged,
    "INTERNAL": InternalError,
}


def from_wire(error: frames_pb2.Error) -> HubauditError:
    """The exception for an Error frame."""
    try:
        code = frames_pb2.Error.Code.Name(error.code).removeprefix("CODE_") if error.code else "INTERNAL"
    except ValueError:
        code = str(error.code)
    event = error.event if error.HasField("event") else None
    kind = _CLASSES.get(code, InternalError)
    retry = error.retry or issubclass(kind, CredentialsError)
    result = kind(f"{code}: {error.message}", code=code, retry=retry, event=event)
    if isinstance(result, ProducerGap) and error.HasField("expected_producer_sequence"):
        result.expected = error.expected_producer_sequence
    if isinstance(result, HistoryDiffers) and error.HasField("differs_from"):
        result.differs_from = error.differs_from
    return result
