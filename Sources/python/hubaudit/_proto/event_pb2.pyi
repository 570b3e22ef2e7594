from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Any as _Any, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentEvent(_message.Message):
    __slots__: list[str] = ["agent_id", "at", "capability", "kind", "name", "outcome", "removed", "removed_is_null", "version"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_IS_NULL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    at: str
    capability: str
    kind: str
    name: str
    outcome: str
    removed: bool
    removed_is_null: bool
    version: int
    def __init__(self, agent_id: _Optional[str] = ..., kind: _Optional[str] = ..., at: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., capability: _Optional[str] = ..., outcome: _Optional[str] = ..., removed: bool = ..., removed_is_null: bool = ...) -> None: ...

class AgentList(_message.Message):
    __slots__: list[str] = ["agent_ids"]
    AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    agent_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ChannelEvent(_message.Message):
    __slots__: list[str] = ["at", "channel_id", "kind", "metadata", "participants", "reason"]
    AT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    at: str
    channel_id: str
    kind: str
    metadata: ChannelMetadata
    participants: AgentList
    reason: str
    def __init__(self, channel_id: _Optional[str] = ..., kind: _Optional[str] = ..., at: _Optional[str] = ..., metadata: _Optional[_Union[ChannelMetadata, _Mapping[str, _Any]]] = ..., participants: _Optional[_Union[AgentList, _Mapping[str, _Any]]] = ..., reason: _Optional[str] = ...) -> None: ...

class ChannelMetadata(_message.Message):
    __slots__: list[str] = ["creator_id", "manifest_type", "manifest_version", "participants"]
    CREATOR_ID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_TYPE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    creator_id: str
    manifest_type: str
    manifest_version: int
    participants: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, manifest_type: _Optional[str] = ..., manifest_version: _Optional[int] = ..., creator_id: _Optional[str] = ..., participants: _Optional[_Iterable[str]] = ...) -> None: ...

class DispatchFailed(_message.Message):
    __slots__: list[str] = ["channel_id", "envelope_id", "reason", "recipient_id"]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    envelope_id: str
    reason: str
    recipient_id: str
    def __init__(self, envelope_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., recipient_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class EnvelopePosted(_message.Message):
    __slots__: list[str] = ["channel_id", "envelope_id", "sender_id"]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    envelope_id: str
    sender_id: str
    def __init__(self, envelope_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., sender_id: _Optional[str] = ...) -> None: ...

class EnvelopeRejected(_message.Message):
    __slots__: list[str] = ["channel_id", "envelope_id", "reason", "sender_id"]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    envelope_id: str
    reason: str
    sender_id: str
    def __init__(self, envelope_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., sender_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__: list[str] = ["agent", "channel", "custom", "dispatch_failed", "envelope_posted", "envelope_rejected", "expectation_fired", "inbox_pressure", "task", "turn_failed", "unreadable_line"]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_FAILED_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_POSTED_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_REJECTED_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIRED_FIELD_NUMBER: _ClassVar[int]
    INBOX_PRESSURE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    TURN_FAILED_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_LINE_FIELD_NUMBER: _ClassVar[int]
    agent: AgentEvent
    channel: ChannelEvent
    custom: bytes
    dispatch_failed: DispatchFailed
    envelope_posted: EnvelopePosted
    envelope_rejected: EnvelopeRejected
    expectation_fired: ExpectationFired
    inbox_pressure: InboxPressure
    task: TaskEvent
    turn_failed: TurnFailedEvent
    unreadable_line: UnreadableLineEvent
    def __init__(self, agent: _Optional[_Union[AgentEvent, _Mapping[str, _Any]]] = ..., channel: _Optional[_Union[ChannelEvent, _Mapping[str, _Any]]] = ..., expectation_fired: _Optional[_Union[ExpectationFired, _Mapping[str, _Any]]] = ..., task: _Optional[_Union[TaskEvent, _Mapping[str, _Any]]] = ..., turn_failed: _Optional[_Union[TurnFailedEvent, _Mapping[str, _Any]]] = ..., envelope_posted: _Optional[_Union[EnvelopePosted, _Mapping[str, _Any]]] = ..., envelope_rejected: _Optional[_Union[EnvelopeRejected, _Mapping[str, _Any]]] = ..., dispatch_failed: _Optional[_Union[DispatchFailed, _Mapping[str, _Any]]] = ..., inbox_pressure: _Optional[_Union[InboxPressure, _Mapping[str, _Any]]] = ..., custom: _Optional[bytes] = ..., unreadable_line: _Optional[_Union[UnreadableLineEvent, _Mapping[str, _Any]]] = ...) -> None: ...

class ExpectationFired(_message.Message):
    __slots__: list[str] = ["at", "channel_id", "detail", "expectation", "on_violation", "params", "violators"]
    AT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    ON_VIOLATION_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    VIOLATORS_FIELD_NUMBER: _ClassVar[int]
    at: str
    channel_id: str
    detail: bytes
    expectation: str
    on_violation: str
    params: bytes
    violators: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, channel_id: _Optional[str] = ..., at: _Optional[str] = ..., expectation: _Optional[str] = ..., on_violation: _Optional[str] = ..., params: _Optional[bytes] = ..., violators: _Optional[_Iterable[str]] = ..., detail: _Optional[bytes] = ...) -> None: ...

class InboxPressure(_message.Message):
    __slots__: list[str] = ["agent_id", "capacity", "pending"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    capacity: int
    pending: int
    def __init__(self, agent_id: _Optional[str] = ..., pending: _Optional[int] = ..., capacity: _Optional[int] = ...) -> None: ...

class TaskEvent(_message.Message):
    __slots__: list[str] = ["at", "capability", "channel_id", "kind", "outcome", "outcome_is_null", "owner_id", "reason", "started_at", "task_id"]
    AT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_IS_NULL_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    at: str
    capability: str
    channel_id: str
    kind: str
    outcome: str
    outcome_is_null: bool
    owner_id: str
    reason: str
    started_at: str
    task_id: str
    def __init__(self, task_id: _Optional[str] = ..., kind: _Optional[str] = ..., at: _Optional[str] = ..., owner_id: _Optional[str] = ..., channel_id: _Optional[str] = ..., outcome: _Optional[str] = ..., outcome_is_null: bool = ..., capability: _Optional[str] = ..., reason: _Optional[str] = ..., started_at: _Optional[str] = ...) -> None: ...

class TurnFailedEvent(_message.Message):
    __slots__: list[str] = ["agent_id", "at", "channel_id", "envelope_id", "exc_message", "exc_type"]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    EXC_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EXC_TYPE_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    at: str
    channel_id: str
    envelope_id: str
    exc_message: str
    exc_type: str
    def __init__(self, channel_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., envelope_id: _Optional[str] = ..., exc_type: _Optional[str] = ..., exc_message: _Optional[str] = ..., at: _Optional[str] = ...) -> None: ...

class UnreadableLineEvent(_message.Message):
    __slots__: list[str] = ["line", "unterminated"]
    LINE_FIELD_NUMBER: _ClassVar[int]
    UNTERMINATED_FIELD_NUMBER: _ClassVar[int]
    line: bytes
    unterminated: bool
    def __init__(self, line: _Optional[bytes] = ..., unterminated: bool = ...) -> None: ...
