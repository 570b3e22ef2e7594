"""A record of the log."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import datetime, timezone
from typing import Any

from ._decode import decode_body
from ._proto import event_pb2, record_pb2
from ._unknown import UnknownField, unknown_fields
from .errors import DataDamaged, ProtocolError, RecordUnreadable

# RecordHeader begins with two fixed64 fields: tag 0x09, sequence, tag 0x11, received_at.
_PREFIX = struct.Struct("<BQBQ")


class Record:
    """One record, kept as the bytes that are on the server's disk; what is asked for is decoded then.

    Compares and hashes by those bytes.
    """

    __slots__ = ("_body", "_header", "_parsed_header", "raw", "received_at", "sequence")

    sequence: int
    """Position in the log, from 0."""
    received_at: int
    """When the server took the record: Unix time in nanoseconds. Ascends along the log, but where a record of kind `clock_stepped`
    says that the server's clock was set back."""
    raw: bytes
    """The serialized `hubaudit.v1.Record`, as it is on disk."""

    def __init__(self, raw: bytes) -> None:
        """Raises `ProtocolError` when `raw` is no record."""
        parts = record_pb2.RawRecord()
        try:
            parts.ParseFromString(raw)
            header: bytes = parts.header
            tag, self.sequence, next_tag, self.received_at = _PREFIX.unpack_from(header)
        except Exception as error:
            raise ProtocolError(f"the server sent {len(raw)} bytes that are not a record: {error}") from error
        if tag != 0x09 or next_tag != 0x11:
            raise ProtocolError(f"the server sent a record of {len(raw)} bytes whose header does not begin with its sequence and time")
        self.raw = raw
        self._header = header
        self._body: bytes | None = parts.body if parts.HasField("body") else None
        self._parsed_header: Any = None

    @property
    def header(self) -> Any:
        """The `hubaudit.v1.RecordHeader`."""
        if self._parsed_header is None:
            self._parsed_header = record_pb2.RecordHeader.FromString(self._header)
        return self._parsed_header

    @property
    def header_bytes(self) -> bytes:
        """The header as it is on disk: the leaf of the Merkle tree."""
        return self._header

    @property
    def body_bytes(self) -> bytes | None:
        """The body as it is on disk; None when it was erased."""
        return self._body

    @property
    def received_time(self) -> datetime:
        """`received_at` in UTC, to the microsecond."""
        seconds, nanoseconds = divmod(self.received_at, 1_000_000_000)
        return datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=nanoseconds // 1000)

    @property
    def hub(self) -> str:
        """The hub that the appending connection named."""
        return str(self.header.hub)

    @property
    def producer(self) -> str | None:
        """The producer that numbered the event; None for events without a number."""
        return self._text("producer")

    @property
    def producer_sequence(self) -> int | None:
        """The producer's number of the event, from 1."""
        return self._number("producer_sequence")

    @property
    def kind(self) -> str | None:
        """The record's kind, None for a custom record without one. Still there when the body was erased.

        The header, and so a filter, has no kind that is no text of the contract (a NUL or a lone surrogate in it): that is the record's own.
        """
        kind = self._text("kind")
        if kind is None and (body := self.body) is not None and body.WhichOneof("detail") == "custom":
            try:
                own = decode_body(body, None).get("kind")
            except RecordUnreadable:
                return None
            return own if isinstance(own, str) else None
        return kind

    @property
    def schema_version(self) -> int | None:
        return self._number("schema_version")

    @property
    def body_sha256(self) -> bytes:
        """SHA-256 that the body had when it was appended."""
        return bytes(self.header.body_sha256)

    @property
    def principal(self) -> str | None:
        """The authenticated identity of the appending connection; None for anonymous."""
        return self._text("principal")

    @property
    def erased(self) -> bool:
        """Whether the body was erased: the header stays and is still proved by the log."""
        return self._body is None

    @property
    def body(self) -> Any:
        """The `hubaudit.v1.RecordBody`; None when it was erased."""
        return None if self._body is None else record_pb2.RecordBody.FromString(self._body)

    @property
    def at(self) -> str | None:
        """The time that the hub gave, as it was sent. None when there is none, or the body was erased."""
        body = self.body
        return body.at if body is not None and body.HasField("at") else None

    @property
    def record(self) -> dict[str, Any] | None:
        """The record exactly as AG2 would have it, a new dict at each call; None when the body was erased.

        An integer of more digits than Python converts comes as its text. Raises `RecordUnreadable` when Python cannot take the record.
        """
        body = self.body
        return None if body is None else decode_body(body, self._text("kind"))

    @property
    def json(self) -> str:
        """`record` as one line of JSON, the text that AG2's AuditLog writes (without the line end); "null" when it was erased."""
        return json.dumps(self.record, sort_keys=True)

    @property
    def unknown_fields(self) -> tuple[UnknownField, ...]:
        """What the record holds that this version's schema does not know: in header and body, and in the event that the server kept."""
        found = unknown_fields(self._header, record_pb2.RecordHeader.DESCRIPTOR)
        body = self.body
        if self._body is not None and body is not None:
            found += unknown_fields(self._body, record_pb2.RecordBody.DESCRIPTOR)
            found += unknown_fields(body.event, event_pb2.Event.DESCRIPTOR)
        return tuple(found)

    def verify(self) -> None:
        """Raises `DataDamaged` unless the body has the SHA-256 that the header names. An erased body cannot be checked and passes."""
        if self._body is not None and hashlib.sha256(self._body).digest() != self.header.body_sha256:
            raise DataDamaged(f"record {self.sequence}: the body's SHA-256 is not the one in its header", code="DATA_DAMAGED")

    def _text(self, field: str) -> str | None:
        header = self.header
        return str(getattr(header, field)) if header.HasField(field) else None

    def _number(self, field: str) -> int | None:
        header = self.header
        return int(getattr(header, field)) if header.HasField(field) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"<Record {self.sequence} {self.kind!r} hub={self.hub!r} received_at={self.received_time.isoformat()}>"
