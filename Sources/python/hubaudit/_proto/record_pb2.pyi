from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Any as _Any, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentRegistered(_message.Message):
    __slots__: list[str] = ["agent_id", "name"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    name: str
    def __init__(self, agent_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class AgentUnregistered(_message.Message):
    __slots__: list[str] = ["agent_id", "name"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    name: str
    def __init__(self, agent_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ChannelClosed(_message.Message):
    __slots__: list[str] = ["channel_id", "reason"]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    reason: str
    def __init__(self, channel_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ChannelCreated(_message.Message):
    __slots__: list[str] = ["channel_id", "creator_id", "manifest_type", "manifest_version", "participants", "with_metadata", "with_participants"]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    CREATOR_ID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_TYPE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    WITH_METADATA_FIELD_NUMBER: _ClassVar[int]
    WITH_PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    creator_id: str
    manifest_type: str
    manifest_version: int
    participants: _containers.RepeatedScalarFieldContainer[str]
    with_metadata: bool
    with_participants: bool
    def __init__(self, channel_id: _Optional[str] = ..., creator_id: _Optional[str] = ..., participants: _Optional[_Iterable[str]] = ..., manifest_type: _Optional[str] = ..., manifest_version: _Optional[int] = ..., with_metadata: bool = ..., with_participants: bool = ...) -> None: ...

class ChannelExpired(_message.Message):
    __slots__: list[str] = ["channel_id", "reason"]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    reason: str
    def __init__(self, channel_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CheckpointHistory(_message.Message):
    __slots__: list[str] = ["checkpoints"]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[StoredCheckpoint]
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[StoredCheckpoint, _Mapping[str, _Any]]]] = ...) -> None: ...

class Commit(_message.Message):
    __slots__: list[str] = ["bytes", "check", "count", "first_sequence", "received_at"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    check: int
    count: int
    first_sequence: int
    received_at: int
    def __init__(self, first_sequence: _Optional[int] = ..., received_at: _Optional[int] = ..., count: _Optional[int] = ..., bytes: _Optional[int] = ..., check: _Optional[int] = ...) -> None: ...

class Custom(_message.Message):
    __slots__: list[str] = ["agent_id", "channel_id", "creator_id", "json", "owner_id", "participants", "task_id", "violators"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    CREATOR_ID_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    VIOLATORS_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    channel_id: str
    creator_id: str
    json: bytes
    owner_id: str
    participants: _containers.RepeatedScalarFieldContainer[str]
    task_id: str
    violators: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., task_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., creator_id: _Optional[str] = ..., participants: _Optional[_Iterable[str]] = ..., violators: _Optional[_Iterable[str]] = ..., json: _Optional[bytes] = ...) -> None: ...

class ExpectationViolated(_message.Message):
    __slots__: list[str] = ["channel_id", "detail", "expectation", "on_violation", "params", "violators"]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    ON_VIOLATION_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    VIOLATORS_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    detail: bytes
    expectation: str
    on_violation: str
    params: bytes
    violators: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, channel_id: _Optional[str] = ..., violators: _Optional[_Iterable[str]] = ..., expectation: _Optional[str] = ..., on_violation: _Optional[str] = ..., params: _Optional[bytes] = ..., detail: _Optional[bytes] = ...) -> None: ...

class ProducerState(_message.Message):
    __slots__: list[str] = ["hub", "last_sequence", "next_number", "principal", "producer", "records"]
    HUB_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    hub: str
    last_sequence: int
    next_number: int
    principal: str
    producer: str
    records: int
    def __init__(self, hub: _Optional[str] = ..., producer: _Optional[str] = ..., next_number: _Optional[int] = ..., last_sequence: _Optional[int] = ..., records: _Optional[int] = ..., principal: _Optional[str] = ...) -> None: ...

class RawRecord(_message.Message):
    __slots__: list[str] = ["body", "crc32c", "erased", "header"]
    BODY_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    crc32c: int
    erased: bytes
    header: bytes
    def __init__(self, header: _Optional[bytes] = ..., body: _Optional[bytes] = ..., crc32c: _Optional[int] = ..., erased: _Optional[bytes] = ...) -> None: ...

class RawRecordBatch(_message.Message):
    __slots__: list[str] = ["commits", "records"]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    commits: _containers.RepeatedCompositeFieldContainer[Commit]
    records: _containers.RepeatedCompositeFieldContainer[RawRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[RawRecord, _Mapping[str, _Any]]]] = ..., commits: _Optional[_Iterable[_Union[Commit, _Mapping[str, _Any]]]] = ...) -> None: ...

class Record(_message.Message):
    __slots__: list[str] = ["body", "crc32c", "erased", "header"]
    BODY_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    body: RecordBody
    crc32c: int
    erased: bytes
    header: RecordHeader
    def __init__(self, header: _Optional[_Union[RecordHeader, _Mapping[str, _Any]]] = ..., body: _Optional[_Union[RecordBody, _Mapping[str, _Any]]] = ..., crc32c: _Optional[int] = ..., erased: _Optional[bytes] = ...) -> None: ...

class RecordBatch(_message.Message):
    __slots__: list[str] = ["commits", "records"]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    commits: _containers.RepeatedCompositeFieldContainer[Commit]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping[str, _Any]]]] = ..., commits: _Optional[_Iterable[_Union[Commit, _Mapping[str, _Any]]]] = ...) -> None: ...

class RecordBody(_message.Message):
    __slots__: list[str] = ["agent_registered", "agent_unregistered", "at", "channel_closed", "channel_created", "channel_expired", "custom", "event", "expectation_violated", "resume_set", "rule_set", "salt", "skill_set", "task_terminated", "turn_failed", "unreadable_line", "unrecognised"]
    AGENT_REGISTERED_FIELD_NUMBER: _ClassVar[int]
    AGENT_UNREGISTERED_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_CLOSED_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_CREATED_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_EXPIRED_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_VIOLATED_FIELD_NUMBER: _ClassVar[int]
    RESUME_SET_FIELD_NUMBER: _ClassVar[int]
    RULE_SET_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    SKILL_SET_FIELD_NUMBER: _ClassVar[int]
    TASK_TERMINATED_FIELD_NUMBER: _ClassVar[int]
    TURN_FAILED_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_LINE_FIELD_NUMBER: _ClassVar[int]
    UNRECOGNISED_FIELD_NUMBER: _ClassVar[int]
    agent_registered: AgentRegistered
    agent_unregistered: AgentUnregistered
    at: str
    channel_closed: ChannelClosed
    channel_created: ChannelCreated
    channel_expired: ChannelExpired
    custom: Custom
    event: bytes
    expectation_violated: ExpectationViolated
    resume_set: ResumeSet
    rule_set: RuleSet
    salt: bytes
    skill_set: SkillSet
    task_terminated: TaskTerminated
    turn_failed: TurnFailed
    unreadable_line: UnreadableLine
    unrecognised: Unrecognised
    def __init__(self, at: _Optional[str] = ..., salt: _Optional[bytes] = ..., event: _Optional[bytes] = ..., agent_registered: _Optional[_Union[AgentRegistered, _Mapping[str, _Any]]] = ..., agent_unregistered: _Optional[_Union[AgentUnregistered, _Mapping[str, _Any]]] = ..., resume_set: _Optional[_Union[ResumeSet, _Mapping[str, _Any]]] = ..., skill_set: _Optional[_Union[SkillSet, _Mapping[str, _Any]]] = ..., rule_set: _Optional[_Union[RuleSet, _Mapping[str, _Any]]] = ..., channel_created: _Optional[_Union[ChannelCreated, _Mapping[str, _Any]]] = ..., channel_closed: _Optional[_Union[ChannelClosed, _Mapping[str, _Any]]] = ..., channel_expired: _Optional[_Union[ChannelExpired, _Mapping[str, _Any]]] = ..., expectation_violated: _Optional[_Union[ExpectationViolated, _Mapping[str, _Any]]] = ..., task_terminated: _Optional[_Union[TaskTerminated, _Mapping[str, _Any]]] = ..., turn_failed: _Optional[_Union[TurnFailed, _Mapping[str, _Any]]] = ..., custom: _Optional[_Union[Custom, _Mapping[str, _Any]]] = ..., unreadable_line: _Optional[_Union[UnreadableLine, _Mapping[str, _Any]]] = ..., unrecognised: _Optional[_Union[Unrecognised, _Mapping[str, _Any]]] = ...) -> None: ...

class RecordHeader(_message.Message):
    __slots__: list[str] = ["body_sha256", "hub", "kind", "principal", "producer", "producer_sequence", "received_at", "schema_version", "sequence"]
    BODY_SHA256_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    body_sha256: bytes
    hub: str
    kind: str
    principal: str
    producer: str
    producer_sequence: int
    received_at: int
    schema_version: int
    sequence: int
    def __init__(self, sequence: _Optional[int] = ..., received_at: _Optional[int] = ..., hub: _Optional[str] = ..., producer: _Optional[str] = ..., producer_sequence: _Optional[int] = ..., kind: _Optional[str] = ..., schema_version: _Optional[int] = ..., body_sha256: _Optional[bytes] = ..., principal: _Optional[str] = ...) -> None: ...

class ResumeSet(_message.Message):
    __slots__: list[str] = ["agent_id", "capability", "outcome", "source", "version"]
    class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__: list[str] = []
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_OBSERVED: ResumeSet.Source
    SOURCE_TENANT: ResumeSet.Source
    SOURCE_UNSPECIFIED: ResumeSet.Source
    VERSION_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    capability: str
    outcome: str
    source: ResumeSet.Source
    version: int
    def __init__(self, agent_id: _Optional[str] = ..., source: _Optional[_Union[ResumeSet.Source, str]] = ..., version: _Optional[int] = ..., capability: _Optional[str] = ..., outcome: _Optional[str] = ...) -> None: ...

class RuleSet(_message.Message):
    __slots__: list[str] = ["agent_id", "version"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    version: int
    def __init__(self, agent_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Segment(_message.Message):
    __slots__: list[str] = ["commits", "header", "records"]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    commits: _containers.RepeatedCompositeFieldContainer[Commit]
    header: SegmentHeader
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping[str, _Any]]]] = ..., commits: _Optional[_Iterable[_Union[Commit, _Mapping[str, _Any]]]] = ..., header: _Optional[_Union[SegmentHeader, _Mapping[str, _Any]]] = ...) -> None: ...

class SegmentHeader(_message.Message):
    __slots__: list[str] = ["crc32c", "first_sequence", "format", "log_id", "nonce", "previous_bytes", "previous_received_at", "state", "stretch", "tree"]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_BYTES_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STRETCH_FIELD_NUMBER: _ClassVar[int]
    TREE_FIELD_NUMBER: _ClassVar[int]
    crc32c: int
    first_sequence: int
    format: int
    log_id: bytes
    nonce: bytes
    previous_bytes: int
    previous_received_at: int
    state: bytes
    stretch: int
    tree: bytes
    def __init__(self, format: _Optional[int] = ..., first_sequence: _Optional[int] = ..., log_id: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., previous_received_at: _Optional[int] = ..., previous_bytes: _Optional[int] = ..., state: _Optional[bytes] = ..., tree: _Optional[bytes] = ..., stretch: _Optional[int] = ..., crc32c: _Optional[int] = ...) -> None: ...

class SequencerState(_message.Message):
    __slots__: list[str] = ["forgotten", "producers"]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    PRODUCERS_FIELD_NUMBER: _ClassVar[int]
    forgotten: bool
    producers: _containers.RepeatedCompositeFieldContainer[ProducerState]
    def __init__(self, producers: _Optional[_Iterable[_Union[ProducerState, _Mapping[str, _Any]]]] = ..., forgotten: bool = ...) -> None: ...

class SkillSet(_message.Message):
    __slots__: list[str] = ["agent_id", "removed"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    removed: bool
    def __init__(self, agent_id: _Optional[str] = ..., removed: bool = ...) -> None: ...

class StoredCheckpoint(_message.Message):
    __slots__: list[str] = ["crc32c", "note", "size", "stored_at"]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    STORED_AT_FIELD_NUMBER: _ClassVar[int]
    crc32c: int
    note: bytes
    size: int
    stored_at: int
    def __init__(self, size: _Optional[int] = ..., stored_at: _Optional[int] = ..., note: _Optional[bytes] = ..., crc32c: _Optional[int] = ...) -> None: ...

class TaskTerminated(_message.Message):
    __slots__: list[str] = ["capability", "channel_id", "outcome", "owner_id", "reason", "task_id"]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    capability: str
    channel_id: str
    outcome: str
    owner_id: str
    reason: str
    task_id: str
    def __init__(self, channel_id: _Optional[str] = ..., task_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., outcome: _Optional[str] = ..., capability: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TurnFailed(_message.Message):
    __slots__: list[str] = ["agent_id", "channel_id", "envelope_id", "exc_message", "exc_type"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    EXC_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EXC_TYPE_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    channel_id: str
    envelope_id: str
    exc_message: str
    exc_type: str
    def __init__(self, agent_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., envelope_id: _Optional[str] = ..., exc_type: _Optional[str] = ..., exc_message: _Optional[str] = ...) -> None: ...

class UnreadableLine(_message.Message):
    __slots__: list[str] = ["line", "unterminated"]
    LINE_FIELD_NUMBER: _ClassVar[int]
    UNTERMINATED_FIELD_NUMBER: _ClassVar[int]
    line: bytes
    unterminated: bool
    def __init__(self, line: _Optional[bytes] = ..., unterminated: bool = ...) -> None: ...

class Unrecognised(_message.Message):
    __slots__: list[str] = ["agent_id", "channel_id", "creator_id", "event_field", "event_kind", "owner_id", "participants", "task_id", "violators"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    CREATOR_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_FIELD_NUMBER: _ClassVar[int]
    EVENT_KIND_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    VIOLATORS_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    channel_id: str
    creator_id: str
    event_field: int
    event_kind: str
    owner_id: str
    participants: _containers.RepeatedScalarFieldContainer[str]
    task_id: str
    violators: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., task_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., creator_id: _Optional[str] = ..., participants: _Optional[_Iterable[str]] = ..., violators: _Optional[_Iterable[str]] = ..., event_field: _Optional[int] = ..., event_kind: _Optional[str] = ...) -> None: ...
