from hubaudit._proto import event_pb2 as _event_pb2
from hubaudit._proto import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Any as _Any, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Append(_message.Message):
    __slots__: list[str] = ["events", "producer_sequence", "proven"]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PROVEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    producer_sequence: int
    proven: bool
    def __init__(self, producer_sequence: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping[str, _Any]]]] = ..., proven: bool = ...) -> None: ...

class Appended(_message.Message):
    __slots__: list[str] = ["checkpoint", "duplicates", "first_sequence", "ignored", "ignored_events", "proofs", "recorded", "sequences"]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    IGNORED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    duplicates: int
    first_sequence: int
    ignored: int
    ignored_events: _containers.RepeatedScalarFieldContainer[int]
    proofs: _containers.RepeatedScalarFieldContainer[bytes]
    recorded: int
    sequences: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, recorded: _Optional[int] = ..., ignored: _Optional[int] = ..., first_sequence: _Optional[int] = ..., ignored_events: _Optional[_Iterable[int]] = ..., duplicates: _Optional[int] = ..., sequences: _Optional[_Iterable[int]] = ..., checkpoint: _Optional[bytes] = ..., proofs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Authenticate(_message.Message):
    __slots__: list[str] = ["token"]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class Authenticated(_message.Message):
    __slots__: list[str] = ["expires_at", "identity"]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    expires_at: int
    identity: str
    def __init__(self, identity: _Optional[str] = ..., expires_at: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__: list[str] = ["note"]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    note: bytes
    def __init__(self, note: _Optional[bytes] = ...) -> None: ...

class CheckpointRequest(_message.Message):
    __slots__: list[str] = ["size"]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class ClientFrame(_message.Message):
    __slots__: list[str] = ["append", "authenticate", "checkpoint", "credit", "erase", "health", "hello", "id", "ping", "proof", "read", "schema", "settings", "subscribe", "unsubscribe"]
    APPEND_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ERASE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    append: Append
    authenticate: Authenticate
    checkpoint: CheckpointRequest
    credit: Credit
    erase: Erase
    health: HealthRequest
    hello: Hello
    id: int
    ping: Ping
    proof: ProofRequest
    read: Read
    schema: SchemaRequest
    settings: SettingsRequest
    subscribe: Subscribe
    unsubscribe: Unsubscribe
    def __init__(self, id: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping[str, _Any]]] = ..., append: _Optional[_Union[Append, _Mapping[str, _Any]]] = ..., read: _Optional[_Union[Read, _Mapping[str, _Any]]] = ..., subscribe: _Optional[_Union[Subscribe, _Mapping[str, _Any]]] = ..., unsubscribe: _Optional[_Union[Unsubscribe, _Mapping[str, _Any]]] = ..., credit: _Optional[_Union[Credit, _Mapping[str, _Any]]] = ..., health: _Optional[_Union[HealthRequest, _Mapping[str, _Any]]] = ..., checkpoint: _Optional[_Union[CheckpointRequest, _Mapping[str, _Any]]] = ..., proof: _Optional[_Union[ProofRequest, _Mapping[str, _Any]]] = ..., schema: _Optional[_Union[SchemaRequest, _Mapping[str, _Any]]] = ..., ping: _Optional[_Union[Ping, _Mapping[str, _Any]]] = ..., erase: _Optional[_Union[Erase, _Mapping[str, _Any]]] = ..., settings: _Optional[_Union[SettingsRequest, _Mapping[str, _Any]]] = ..., authenticate: _Optional[_Union[Authenticate, _Mapping[str, _Any]]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__: list[str] = ["bytes", "subscription"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    subscription: int
    def __init__(self, subscription: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Erase(_message.Message):
    __slots__: list[str] = ["statement"]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    statement: bytes
    def __init__(self, statement: _Optional[bytes] = ...) -> None: ...

class Erased(_message.Message):
    __slots__: list[str] = ["sequence"]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__: list[str] = ["code", "differs_from", "event", "expected_producer_sequence", "message", "retry"]
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__: list[str] = []
    CODE_CREDENTIAL_EXPIRED: Error.Code
    CODE_DATA_DAMAGED: Error.Code
    CODE_DRAINING: Error.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    CODE_FRAME_TOO_LARGE: Error.Code
    CODE_HELLO_EXPECTED: Error.Code
    CODE_HISTORY_DIFFERS: Error.Code
    CODE_INTERNAL: Error.Code
    CODE_INVALID_JSON: Error.Code
    CODE_INVALID_REQUEST: Error.Code
    CODE_INVALID_TEXT: Error.Code
    CODE_LIMIT_EXCEEDED: Error.Code
    CODE_LOG_FAILED: Error.Code
    CODE_MALFORMED_FRAME: Error.Code
    CODE_NOT_PERMITTED: Error.Code
    CODE_OVERLOADED: Error.Code
    CODE_PRODUCER_GAP: Error.Code
    CODE_PRODUCER_NUMBER_UNKNOWN: Error.Code
    CODE_PRODUCER_SUPERSEDED: Error.Code
    CODE_RECORD_TOO_LARGE: Error.Code
    CODE_STORAGE_FULL: Error.Code
    CODE_TIMEOUT: Error.Code
    CODE_TOO_MANY_CONNECTIONS: Error.Code
    CODE_UNAUTHENTICATED: Error.Code
    CODE_UNSPECIFIED: Error.Code
    CODE_UNSUPPORTED_REQUEST: Error.Code
    CODE_UNSUPPORTED_VERSION: Error.Code
    DIFFERS_FROM_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PRODUCER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    code: Error.Code
    differs_from: int
    event: int
    expected_producer_sequence: int
    message: str
    retry: bool
    def __init__(self, code: _Optional[_Union[Error.Code, str]] = ..., message: _Optional[str] = ..., retry: bool = ..., event: _Optional[int] = ..., expected_producer_sequence: _Optional[int] = ..., differs_from: _Optional[int] = ...) -> None: ...

class Filter(_message.Message):
    __slots__: list[str] = ["agents", "channels", "hubs", "kinds", "since", "tasks", "until"]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HUBS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedScalarFieldContainer[str]
    channels: _containers.RepeatedScalarFieldContainer[str]
    hubs: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    since: int
    tasks: _containers.RepeatedScalarFieldContainer[str]
    until: int
    def __init__(self, kinds: _Optional[_Iterable[str]] = ..., hubs: _Optional[_Iterable[str]] = ..., agents: _Optional[_Iterable[str]] = ..., channels: _Optional[_Iterable[str]] = ..., tasks: _Optional[_Iterable[str]] = ..., since: _Optional[int] = ..., until: _Optional[int] = ...) -> None: ...

class Health(_message.Message):
    __slots__: list[str] = ["checkpoint_size", "checkpoint_stored_at", "clock_stepped_from", "clock_stepped_to", "clock_steps", "commits", "connections", "damage", "first_sequence", "log_bytes", "log_id", "next_sequence", "now", "quorum_size", "quorum_stored_at", "reasons", "records_appended", "scrub_ended_at", "scrub_rounds", "scrubbed_bytes", "scrubbed_records", "segments", "server", "signer", "status", "subscriptions", "torn_bytes", "torn_file", "uptime_ns", "witnesses"]
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__: list[str] = []
    CHECKPOINT_SIZE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_STORED_AT_FIELD_NUMBER: _ClassVar[int]
    CLOCK_STEPPED_FROM_FIELD_NUMBER: _ClassVar[int]
    CLOCK_STEPPED_TO_FIELD_NUMBER: _ClassVar[int]
    CLOCK_STEPS_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    QUORUM_SIZE_FIELD_NUMBER: _ClassVar[int]
    QUORUM_STORED_AT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_APPENDED_FIELD_NUMBER: _ClassVar[int]
    SCRUBBED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SCRUBBED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    SCRUB_ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    SCRUB_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    STATUS_DEGRADED: Health.Status
    STATUS_DRAINING: Health.Status
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATUS_OK: Health.Status
    STATUS_UNSPECIFIED: Health.Status
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    TORN_BYTES_FIELD_NUMBER: _ClassVar[int]
    TORN_FILE_FIELD_NUMBER: _ClassVar[int]
    UPTIME_NS_FIELD_NUMBER: _ClassVar[int]
    WITNESSES_FIELD_NUMBER: _ClassVar[int]
    checkpoint_size: int
    checkpoint_stored_at: int
    clock_stepped_from: int
    clock_stepped_to: int
    clock_steps: int
    commits: int
    connections: int
    damage: _containers.RepeatedScalarFieldContainer[str]
    first_sequence: int
    log_bytes: int
    log_id: bytes
    next_sequence: int
    now: int
    quorum_size: int
    quorum_stored_at: int
    reasons: _containers.RepeatedScalarFieldContainer[str]
    records_appended: int
    scrub_ended_at: int
    scrub_rounds: int
    scrubbed_bytes: int
    scrubbed_records: int
    segments: int
    server: str
    signer: str
    status: Health.Status
    subscriptions: int
    torn_bytes: int
    torn_file: str
    uptime_ns: int
    witnesses: _containers.RepeatedCompositeFieldContainer[WitnessHealth]
    def __init__(self, status: _Optional[_Union[Health.Status, str]] = ..., reasons: _Optional[_Iterable[str]] = ..., server: _Optional[str] = ..., log_id: _Optional[bytes] = ..., first_sequence: _Optional[int] = ..., next_sequence: _Optional[int] = ..., log_bytes: _Optional[int] = ..., segments: _Optional[int] = ..., uptime_ns: _Optional[int] = ..., records_appended: _Optional[int] = ..., commits: _Optional[int] = ..., connections: _Optional[int] = ..., subscriptions: _Optional[int] = ..., torn_bytes: _Optional[int] = ..., torn_file: _Optional[str] = ..., scrubbed_records: _Optional[int] = ..., scrubbed_bytes: _Optional[int] = ..., scrub_rounds: _Optional[int] = ..., damage: _Optional[_Iterable[str]] = ..., checkpoint_size: _Optional[int] = ..., clock_steps: _Optional[int] = ..., clock_stepped_from: _Optional[int] = ..., clock_stepped_to: _Optional[int] = ..., now: _Optional[int] = ..., signer: _Optional[str] = ..., checkpoint_stored_at: _Optional[int] = ..., witnesses: _Optional[_Iterable[_Union[WitnessHealth, _Mapping[str, _Any]]]] = ..., quorum_size: _Optional[int] = ..., quorum_stored_at: _Optional[int] = ..., scrub_ended_at: _Optional[int] = ...) -> None: ...

class HealthRequest(_message.Message):
    __slots__: list[str] = []
    def __init__(self) -> None: ...

class Hello(_message.Message):
    __slots__: list[str] = ["checkpoints", "client", "hub", "producer", "producer_next", "session_token", "token", "version"]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_NEXT_FIELD_NUMBER: _ClassVar[int]
    SESSION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    checkpoints: bool
    client: str
    hub: str
    producer: str
    producer_next: int
    session_token: bytes
    token: str
    version: int
    def __init__(self, version: _Optional[int] = ..., hub: _Optional[str] = ..., producer: _Optional[str] = ..., producer_next: _Optional[int] = ..., client: _Optional[str] = ..., checkpoints: bool = ..., session_token: _Optional[bytes] = ..., token: _Optional[str] = ...) -> None: ...

class History(_message.Message):
    __slots__: list[str] = ["leaf_hash", "log_id", "size"]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    leaf_hash: bytes
    log_id: bytes
    size: int
    def __init__(self, log_id: _Optional[bytes] = ..., size: _Optional[int] = ..., leaf_hash: _Optional[bytes] = ...) -> None: ...

class Limits(_message.Message):
    __slots__: list[str] = ["append_events", "credit_bytes", "filter_bytes", "filter_values", "frame_bytes", "hub_producers", "pending_append_bytes", "reads", "record_bytes", "subscriptions"]
    APPEND_EVENTS_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILTER_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILTER_VALUES_FIELD_NUMBER: _ClassVar[int]
    FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    HUB_PRODUCERS_FIELD_NUMBER: _ClassVar[int]
    PENDING_APPEND_BYTES_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    append_events: int
    credit_bytes: int
    filter_bytes: int
    filter_values: int
    frame_bytes: int
    hub_producers: int
    pending_append_bytes: int
    reads: int
    record_bytes: int
    subscriptions: int
    def __init__(self, frame_bytes: _Optional[int] = ..., record_bytes: _Optional[int] = ..., append_events: _Optional[int] = ..., pending_append_bytes: _Optional[int] = ..., subscriptions: _Optional[int] = ..., reads: _Optional[int] = ..., credit_bytes: _Optional[int] = ..., filter_values: _Optional[int] = ..., filter_bytes: _Optional[int] = ..., hub_producers: _Optional[int] = ...) -> None: ...

class Ping(_message.Message):
    __slots__: list[str] = ["payload"]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    def __init__(self, payload: _Optional[bytes] = ...) -> None: ...

class Pong(_message.Message):
    __slots__: list[str] = ["payload"]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    def __init__(self, payload: _Optional[bytes] = ...) -> None: ...

class Proof(_message.Message):
    __slots__: list[str] = ["checkpoint", "hashes", "size"]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    size: int
    def __init__(self, size: _Optional[int] = ..., hashes: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[bytes] = ...) -> None: ...

class ProofRequest(_message.Message):
    __slots__: list[str] = ["consistency", "inclusion", "size"]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    consistency: int
    inclusion: int
    size: int
    def __init__(self, inclusion: _Optional[int] = ..., consistency: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class RawRecords(_message.Message):
    __slots__: list[str] = ["batch", "leaf_hash", "next_sequence"]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    batch: _record_pb2.RawRecordBatch
    leaf_hash: bytes
    next_sequence: int
    def __init__(self, next_sequence: _Optional[int] = ..., batch: _Optional[_Union[_record_pb2.RawRecordBatch, _Mapping[str, _Any]]] = ..., leaf_hash: _Optional[bytes] = ...) -> None: ...

class RawServerFrame(_message.Message):
    __slots__: list[str] = ["id", "records"]
    ID_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    id: int
    records: RawRecords
    def __init__(self, id: _Optional[int] = ..., records: _Optional[_Union[RawRecords, _Mapping[str, _Any]]] = ...) -> None: ...

class Read(_message.Message):
    __slots__: list[str] = ["backwards", "filter", "limit", "start"]
    BACKWARDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    backwards: bool
    filter: Filter
    limit: int
    start: Start
    def __init__(self, start: _Optional[_Union[Start, _Mapping[str, _Any]]] = ..., filter: _Optional[_Union[Filter, _Mapping[str, _Any]]] = ..., limit: _Optional[int] = ..., backwards: bool = ...) -> None: ...

class ReadEnd(_message.Message):
    __slots__: list[str] = ["erased_skipped", "leaf_hash", "next_sequence", "records"]
    ERASED_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    erased_skipped: int
    leaf_hash: bytes
    next_sequence: int
    records: int
    def __init__(self, next_sequence: _Optional[int] = ..., records: _Optional[int] = ..., leaf_hash: _Optional[bytes] = ..., erased_skipped: _Optional[int] = ...) -> None: ...

class Records(_message.Message):
    __slots__: list[str] = ["batch", "leaf_hash", "next_sequence"]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    batch: _record_pb2.RecordBatch
    leaf_hash: bytes
    next_sequence: int
    def __init__(self, next_sequence: _Optional[int] = ..., batch: _Optional[_Union[_record_pb2.RecordBatch, _Mapping[str, _Any]]] = ..., leaf_hash: _Optional[bytes] = ...) -> None: ...

class Schema(_message.Message):
    __slots__: list[str] = ["file_descriptor_set", "sha256"]
    FILE_DESCRIPTOR_SET_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    file_descriptor_set: bytes
    sha256: bytes
    def __init__(self, file_descriptor_set: _Optional[bytes] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class SchemaRequest(_message.Message):
    __slots__: list[str] = []
    def __init__(self) -> None: ...

class ServerFrame(_message.Message):
    __slots__: list[str] = ["appended", "authenticated", "checkpoint", "erased", "error", "health", "id", "pong", "proof", "read_end", "records", "schema", "settings", "subscription", "welcome"]
    APPENDED_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    READ_END_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    appended: Appended
    authenticated: Authenticated
    checkpoint: Checkpoint
    erased: Erased
    error: Error
    health: Health
    id: int
    pong: Pong
    proof: Proof
    read_end: ReadEnd
    records: Records
    schema: Schema
    settings: Settings
    subscription: SubscriptionState
    welcome: Welcome
    def __init__(self, id: _Optional[int] = ..., welcome: _Optional[_Union[Welcome, _Mapping[str, _Any]]] = ..., appended: _Optional[_Union[Appended, _Mapping[str, _Any]]] = ..., records: _Optional[_Union[Records, _Mapping[str, _Any]]] = ..., read_end: _Optional[_Union[ReadEnd, _Mapping[str, _Any]]] = ..., subscription: _Optional[_Union[SubscriptionState, _Mapping[str, _Any]]] = ..., health: _Optional[_Union[Health, _Mapping[str, _Any]]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping[str, _Any]]] = ..., proof: _Optional[_Union[Proof, _Mapping[str, _Any]]] = ..., schema: _Optional[_Union[Schema, _Mapping[str, _Any]]] = ..., pong: _Optional[_Union[Pong, _Mapping[str, _Any]]] = ..., erased: _Optional[_Union[Erased, _Mapping[str, _Any]]] = ..., settings: _Optional[_Union[Settings, _Mapping[str, _Any]]] = ..., error: _Optional[_Union[Error, _Mapping[str, _Any]]] = ..., authenticated: _Optional[_Union[Authenticated, _Mapping[str, _Any]]] = ...) -> None: ...

class Setting(_message.Message):
    __slots__: list[str] = ["name", "origin", "source", "value"]
    class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__: list[str] = []
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_DEFAULT: Setting.Source
    SOURCE_ENVIRONMENT: Setting.Source
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FILE: Setting.Source
    SOURCE_FLAG: Setting.Source
    SOURCE_UNSPECIFIED: Setting.Source
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    origin: str
    source: Setting.Source
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., source: _Optional[_Union[Setting.Source, str]] = ..., origin: _Optional[str] = ...) -> None: ...

class Settings(_message.Message):
    __slots__: list[str] = ["settings"]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: _containers.RepeatedCompositeFieldContainer[Setting]
    def __init__(self, settings: _Optional[_Iterable[_Union[Setting, _Mapping[str, _Any]]]] = ...) -> None: ...

class SettingsRequest(_message.Message):
    __slots__: list[str] = []
    def __init__(self) -> None: ...

class Start(_message.Message):
    __slots__: list[str] = ["after", "earliest", "history", "latest", "sequence", "time"]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    LATEST_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    after: int
    earliest: bool
    history: History
    latest: bool
    sequence: int
    time: int
    def __init__(self, earliest: bool = ..., latest: bool = ..., sequence: _Optional[int] = ..., time: _Optional[int] = ..., after: _Optional[int] = ..., history: _Optional[_Union[History, _Mapping[str, _Any]]] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__: list[str] = ["credit", "filter", "start"]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    credit: int
    filter: Filter
    start: Start
    def __init__(self, start: _Optional[_Union[Start, _Mapping[str, _Any]]] = ..., filter: _Optional[_Union[Filter, _Mapping[str, _Any]]] = ..., credit: _Optional[int] = ...) -> None: ...

class SubscriptionState(_message.Message):
    __slots__: list[str] = ["checkpoint", "erased_skipped", "error", "leaf_hash", "next_sequence", "state"]
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__: list[str] = []
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    ERASED_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATE_CAUGHT_UP: SubscriptionState.State
    STATE_ENDED: SubscriptionState.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_PROGRESS: SubscriptionState.State
    STATE_UNSPECIFIED: SubscriptionState.State
    checkpoint: bytes
    erased_skipped: int
    error: Error
    leaf_hash: bytes
    next_sequence: int
    state: SubscriptionState.State
    def __init__(self, state: _Optional[_Union[SubscriptionState.State, str]] = ..., next_sequence: _Optional[int] = ..., error: _Optional[_Union[Error, _Mapping[str, _Any]]] = ..., checkpoint: _Optional[bytes] = ..., leaf_hash: _Optional[bytes] = ..., erased_skipped: _Optional[int] = ...) -> None: ...

class Unsubscribe(_message.Message):
    __slots__: list[str] = ["subscription"]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    subscription: int
    def __init__(self, subscription: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__: list[str] = ["expires_at", "first_sequence", "identity", "limits", "log_id", "next_sequence", "producer_forgotten", "producer_next", "producer_taken_at", "server", "session_token", "version"]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_NEXT_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_TAKEN_AT_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    SESSION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    expires_at: int
    first_sequence: int
    identity: str
    limits: Limits
    log_id: bytes
    next_sequence: int
    producer_forgotten: bool
    producer_next: int
    producer_taken_at: int
    server: str
    session_token: bytes
    version: int
    def __init__(self, version: _Optional[int] = ..., server: _Optional[str] = ..., log_id: _Optional[bytes] = ..., first_sequence: _Optional[int] = ..., next_sequence: _Optional[int] = ..., producer_next: _Optional[int] = ..., identity: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping[str, _Any]]] = ..., session_token: _Optional[bytes] = ..., producer_forgotten: bool = ..., producer_taken_at: _Optional[int] = ..., expires_at: _Optional[int] = ...) -> None: ...

class WitnessHealth(_message.Message):
    __slots__: list[str] = ["contradicts", "cosigned_at", "cosigned_size", "failure", "name"]
    CONTRADICTS_FIELD_NUMBER: _ClassVar[int]
    COSIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    COSIGNED_SIZE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    contradicts: bool
    cosigned_at: int
    cosigned_size: int
    failure: str
    name: str
    def __init__(self, name: _Optional[str] = ..., cosigned_size: _Optional[int] = ..., cosigned_at: _Optional[int] = ..., failure: _Optional[str] = ..., contradicts: bool = ...) -> None: ...
