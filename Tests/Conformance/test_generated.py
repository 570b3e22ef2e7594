"""The C and Swift code that is generated and committed is what Proto/ gives today, and Proto/ keeps to what its decoders can bear."""

import filecmp
import pathlib
import re
import subprocess
import sys

from contract import ROOT, descriptor_set

C = ROOT / "Sources" / "CAuditSchema"


def files_below(folder: pathlib.Path, *patterns: str) -> set[str]:
    return {str(path.relative_to(folder)) for pattern in patterns for path in folder.glob(pattern)}


def test_the_committed_c_files_are_what_proto_gives(tmp_path):
    # Those of Python: test_package.py.
    subprocess.run([C / "generate.sh", tmp_path], check=True)
    patterns = ("generated/*", "include/hubaudit/v1/*")
    names = files_below(tmp_path, *patterns)
    assert len(names) == 7
    assert files_below(C, *patterns) == names
    _, different, unreadable = filecmp.cmpfiles(C, tmp_path, sorted(names), shallow=False)
    assert not different and not unreadable, f"{different + unreadable} are not what Proto/ gives; run `make generate` and commit"


SCHEMA = ROOT / "Sources" / "AuditSchema"


def test_the_committed_swift_fields_are_what_proto_gives(tmp_path):
    made = tmp_path / "Fields.swift"
    subprocess.run([sys.executable, SCHEMA / "generate.py", made], check=True)
    assert made.read_text() == (SCHEMA / "Fields.swift").read_text(), "Fields.swift is not what Proto/ gives; run `make generate` and commit"


def test_the_swift_fields_have_the_numbers_and_types_that_protoc_reads():
    wire_types = {"varint": 0, "fixed64": 1, "bytes": 2, "fixed32": 5}
    found = 0
    for name, body in re.findall(r"^  enum (\w+) \{\n(.*?)^  \}", (SCHEMA / "Fields.swift").read_text(), re.DOTALL | re.MULTILINE):
        message = all_messages()[f".hubaudit.v1.{name}"]
        fields = {field.number: field for field in message.field}
        listed = re.findall(r"static var (\w+): WireField \{ WireField\((\d+), \.(\w+)\) \}", body)
        assert len(listed) == len(fields), name
        for swift_name, number, wire in listed:
            field = fields[int(number)]
            assert swift_name.lower() == field.name.replace("_", "").lower(), f"{name}.{swift_name}"
            assert wire_types[wire] == wire_type(field), f"{name}.{swift_name}"
            found += 1
    assert found > 100


def wire_type(field) -> int:
    packed = field.label == field.LABEL_REPEATED and field.options.packed
    if packed or field.type in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_MESSAGE):
        return 2
    if field.type in (field.TYPE_FIXED64, field.TYPE_SFIXED64, field.TYPE_DOUBLE):
        return 1
    return 5 if field.type in (field.TYPE_FIXED32, field.TYPE_SFIXED32, field.TYPE_FLOAT) else 0


def test_the_descriptor_set_that_the_server_hands_out_is_proto():
    text = (C / "generated" / "descriptor_set.c").read_text()
    body = text[text.index("set[] = {") : text.index("};")]
    served = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2}),", body))
    assert served == descriptor_set().SerializeToString()


def all_messages() -> dict:
    found = {}

    def walk(prefix, types):
        for message in types:
            name = f"{prefix}.{message.name}"
            found[name] = message
            walk(name, message.nested_type)

    for file in descriptor_set().file:
        walk(f".{file.package}", file.message_type)
    return found


def cycles(messages: dict) -> list[str]:
    """The messages that can contain themselves."""
    edges = {name: {f.type_name for f in m.field if f.type == f.TYPE_MESSAGE} for name, m in messages.items()}
    found = []
    for start in edges:
        seen, waiting = set(), list(edges[start])
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            waiting.extend(edges.get(name, ()))
        if start in seen:
            found.append(start)
    return found


def test_no_message_contains_itself():
    # protobuf-c decodes by recursion and sets no limit.
    assert len(all_messages()) > 40
    assert cycles(all_messages()) == []


def test_a_message_that_contains_itself_would_be_found():
    messages = dict(all_messages())
    part = type(messages[".hubaudit.v1.Commit"])(name="Loop")
    part.field.add(name="loop", number=1, type=11, type_name=".hubaudit.v1.Loop")
    messages[".hubaudit.v1.Loop"] = part
    assert cycles(messages) == [".hubaudit.v1.Loop"]


def test_there_are_no_maps_and_no_groups():
    for name, message in all_messages().items():
        assert not message.options.map_entry, name
        assert not [field.name for field in message.field if field.type == field.TYPE_GROUP], name


def test_every_file_is_proto2_and_imports_nothing_from_elsewhere():
    for file in descriptor_set().file:
        assert file.syntax in ("", "proto2"), file.name
        assert file.package == "hubaudit.v1", f"{file.name} comes from elsewhere"


def test_no_field_is_required():
    for name, message in all_messages().items():
        assert not [field.name for field in message.field if field.label == field.LABEL_REQUIRED], name


def test_the_parts_that_the_sequencer_fills_in_come_first_and_are_fixed():
    header = all_messages()[".hubaudit.v1.RecordHeader"]
    assert [(f.name, f.number, f.type) for f in header.field[:2]] == [("sequence", 1, 6), ("received_at", 2, 6)]


def test_subjects_have_the_same_numbers_in_every_detail():
    # A filter looks for them without knowing the kind.
    subjects = {"agent_id": 1, "channel_id": 2, "task_id": 3, "owner_id": 4, "creator_id": 5, "participants": 6, "violators": 7}
    messages = all_messages()
    details = [f for f in messages[".hubaudit.v1.RecordBody"].field if f.number >= 16]
    assert len(details) == 14
    for detail in details:
        for field in messages[detail.type_name].field:
            if field.number <= 7:
                assert subjects[field.name] == field.number, f"{detail.name}.{field.name}"
            else:
                assert field.name not in subjects, f"{detail.name}.{field.name}"
