"""The command as people use it: what it prints, and what it exits with."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from wire import BINARY, Server

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "ag2_events.json"


@pytest.fixture
def run(server: Server):
    environment = {**os.environ, "HUBAUDIT_SERVER": server.address}

    def run(*arguments: str, stdin: bytes = b"", status: int = 0) -> str:
        result = subprocess.run([BINARY, *arguments], input=stdin, capture_output=True, env=environment, timeout=60)
        assert result.returncode == status, (result.stdout[-500:], result.stderr[-500:])
        run.stderr = result.stderr.decode()
        return result.stdout.decode(errors="surrogateescape")

    return run


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_append_read_and_their_fields(run):
    assert run("append", "--kind", "deploy", "--hub", "ci", "--set", "by=ada").split() == ["0"]
    text = '{"kind": "own", "at": "then", "n": 30.0, "agent_id": "a-1"}\n\n{"n": 30, "x": NaN}\n'
    assert run("append", "--kind", "filled", "--json", "-", stdin=text.encode()).split() == ["1", "2"]
    first, second, third = lines(run("read", "-o", "json"))
    assert first["record"]["by"] == "ada" and first["record"]["kind"] == first["kind"] == "deploy" and first["hub"] == "ci"
    assert second["record"] == {"kind": "own", "at": "then", "n": 30.0, "agent_id": "a-1"} and second["at"] == "then"
    assert third["kind"] == third["record"]["kind"] == "filled" and third["record"]["x"] == "NaN" and third["at"]
    assert [one["sequence"] for one in (first, second, third)] == [0, 1, 2]
    assert all(one["received_at"].endswith("Z") for one in (first, second, third))
    assert list(first) == sorted(first)


def test_selection(run):
    for number in range(20):
        run("append", "--kind", "even" if number % 2 == 0 else "odd", "--set", f"agent_id=a{number % 5}", "-q")

    def sequences(*arguments: str) -> list[int]:
        return [one["sequence"] for one in lines(run("read", "-o", "json", *arguments))]

    assert sequences("--from", "-3") == [17, 18, 19]
    assert sequences("--from", "5", "-n", "2") == [5, 6]
    assert sequences("--after", "17") == [18, 19]
    assert sequences("--kind", "even", "--agent", "a4") == [4, 14]
    assert sequences("--backwards", "-n", "3") == [19, 18, 17]
    assert sequences("--backwards", "--kind", "odd", "--from", "6") == [5, 3, 1]
    assert sequences("--since", "-1h", "--until", "now", "-n", "1") == [0]
    run("read", "--since", "now", status=3)
    run("read", "--kind", "nothing", status=3)
    assert lines(run("stats", "--by", "kind", "-o", "json")) == [{"count": 10, "key": "even"}, {"count": 10, "key": "odd"}]
    assert [one["sequence"] for one in lines(run("tail", "-n", "2", "-o", "json"))] == [18, 19]
    # A header, and a row for each.
    assert run("read", "-o", "table").count("\n") == 21


def test_following_with_a_cursor_file(run, server, tmp_path):
    cursor = tmp_path / "cursor"
    for number in range(5):
        run("append", "--kind", "k", "-q", "--set", f"n={number}")
    assert len(lines(run("read", "--cursor-file", str(cursor), "-n", "3", "-o", "json"))) == 3
    position = json.loads(cursor.read_text())
    assert position["next_sequence"] == 3 and cursor.read_text().endswith("}\n")
    with server.connect(client="reader") as connection:
        records = connection.read_all()
    leaf = hashlib.sha256(b"\0" + records[2].header.SerializeToString()).hexdigest()
    assert position["leaf_hash"] == leaf and len(bytes.fromhex(position["log_id"])) == 16
    follow = subprocess.Popen(
        [BINARY, "tail", "-f", "--cursor-file", str(cursor), "--server", server.address, "-o", "json"], stdout=subprocess.PIPE, text=True)
    assert [json.loads(follow.stdout.readline())["sequence"] for _ in range(2)] == [3, 4]
    run("append", "--kind", "k", "-q")
    assert json.loads(follow.stdout.readline())["sequence"] == 5
    follow.send_signal(signal.SIGINT)
    assert follow.wait(30) == 130
    assert json.loads(cursor.read_text()) == {**position, "next_sequence": 6, "leaf_hash": json.loads(cursor.read_text())["leaf_hash"]}
    assert run("export", "--cursor-file", str(cursor), status=3) == ""


@pytest.mark.parametrize("records", [1, 20])
@pytest.mark.parametrize("filtered", [[], ["--kind", "k"], ["--kind", "nothing"]])
def test_a_cursor_of_another_copy_of_the_log_is_refused(tmp_path, records, filtered):
    data, cursor = tmp_path / "log", tmp_path / "cursor"

    def command(server: Server, *arguments: str, status: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run([BINARY, *arguments, "-s", server.address], capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done
        return done

    with Server(data) as server, server.connect(hub="h") as hub:
        hub.append(*[{"kind": "k"}] * 5)
        server.stop()
    shutil.copytree(data, tmp_path / "copy")
    with Server(data) as server, server.connect(hub="h") as hub:
        hub.append(*[{"kind": "k"}] * 5)
        command(server, "tail", "--from", "first", "--cursor-file", str(cursor), "-o", "json", *filtered, status=3 if "nothing" in filtered else 0)
        server.stop()
    kept = cursor.read_text()
    assert json.loads(kept)["next_sequence"] == 10
    shutil.rmtree(data)
    (tmp_path / "copy").rename(data)
    with Server(data) as server, server.connect(hub="h") as hub:
        # Past the cursor, or not: other records than those that were read.
        hub.append(*[{"kind": "other"}] * records)
        for words in (["read"], ["tail"], ["tail", "-f"], ["export"]):
            refused = command(server, *words, "--cursor-file", str(cursor), *filtered, status=4)
            assert refused.stdout == "" and "older copy" in refused.stderr, refused
            assert ("record 9 is not the one" if records == 20 else "the log has 6 records, and 10 are known of it") in refused.stderr
            assert cursor.read_text() == kept
        # A position in the part that is the same goes on.
        with server.connect(client="reader") as connection:
            header = connection.read_all()[4].header.SerializeToString()
        same = {**json.loads(kept), "next_sequence": 5, "leaf_hash": hashlib.sha256(b"\0" + header).hexdigest()}
        cursor.write_text(json.dumps(same))
        lines_of = command(server, "read", "--cursor-file", str(cursor), "-o", "json").stdout.splitlines()
        assert [json.loads(line)["sequence"] for line in lines_of] == list(range(5, 5 + records))
    with Server(tmp_path / "another") as server, server.connect(hub="h") as hub:
        hub.append(*[{"kind": "other"}] * 20)
        assert "this is log" in command(server, "read", "--cursor-file", str(cursor), status=4).stderr


def test_a_cursor_file_that_holds_no_position_of_a_log_is_refused_with_what_to_do(run, tmp_path):
    cursor = tmp_path / "cursor"
    run("append", "--kind", "k", "-q")
    cursor.write_text("7\n")
    run("read", "--cursor-file", str(cursor), status=1)
    assert "remove the file and give --from 7" in run.stderr
    for text in ("", "x", "{}", "[1]", '{"log_id": "00", "next_sequence": 1, "leaf_hash": "00"}',
                 json.dumps({"log_id": "0" * 32, "next_sequence": 1}), json.dumps({"log_id": "0" * 32, "next_sequence": 0, "leaf_hash": "0" * 64})):
        cursor.write_text(text)
        run("tail", "--cursor-file", str(cursor), status=1)
        assert f"{cursor} holds no position" in run.stderr and cursor.read_text() == text


def test_following_survives_a_kill_of_the_server(tmp_path):
    with Server(tmp_path / "log") as server:
        port = server.address
        follow = subprocess.Popen(
            [BINARY, "tail", "-f", "--from", "first", "--server", port, "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with server.connect(hub="h") as connection:
            connection.append({"kind": "before"})
        assert json.loads(follow.stdout.readline())["kind"] == "before"
        server.kill()
    with Server(tmp_path / "log", listen=port) as server, server.connect(hub="h") as connection:
        connection.append({"kind": "after"})
        after = json.loads(follow.stdout.readline())
        assert (after["kind"], after["sequence"]) == ("after", 1)
        follow.send_signal(signal.SIGTERM)
        assert follow.wait(30) == 130
        assert "nothing missed" in follow.stderr.read()


def test_import_and_export_give_back_the_same_bytes(run, tmp_path):
    written = [one["expected_line"] for one in json.loads(FIXTURE.read_text()) if one["expected_line"]]
    odd = ['{"a":1}{"b":2}', "", '{"torn": "li', '{"kind":"x","n":NaN}', "not json", '{ "spaced" :  1 }\r', '{"é":"\\ud800"}']
    source = tmp_path / "audit.jsonl"
    source.write_bytes(("\n".join(written + odd) + '\n{"last": "torn').encode() + b"\xff")
    output = run("import", str(source), "--hub", "ag2", "--keep-unfinished")
    total = len(written) + len(odd) + 1
    assert f"{total} lines, {total} appended, 0 stored before, 5 of the appended unreadable" in output
    assert f"line {len(written) + 1} " in run.stderr and "no line end" in run.stderr
    assert run("export", "--hub", "ag2").encode(errors="surrogateescape") == source.read_bytes()
    # Again: every line is known by its number.
    assert f"{total} lines, 0 appended, {total} stored before" in run("import", str(source), "--hub", "ag2")
    assert run("export", "--hub", "ag2").encode(errors="surrogateescape") == source.read_bytes()


def test_export_of_events_is_what_ag2_writes(run, server):
    cases = [one for one in json.loads(FIXTURE.read_text()) if one["expected_line"] and not one["uses_clock"]]
    with server.connect(hub="h") as connection:
        for one in cases:
            frame = connection.request()
            frame.append.events.add().ParseFromString(bytes.fromhex(one["event_hex"]))
            assert connection.ask(frame).appended.recorded == 1
    assert run("export").splitlines() == [one["expected_line"] for one in cases]


def test_what_goes_wrong_has_its_exit_code_and_a_hint(run, tmp_path):
    run("append", "--json", "-", stdin=b'{"good": 1}\nbad\n{"later": 1}\n', status=1)
    assert "line 2" in run.stderr
    assert len(lines(run("read", "-o", "json"))) == 1
    run("append", "--json", "-", status=3)
    run("append", status=64)
    run("frobnicate", status=64)
    run("read", "--from", "soon", status=64)
    run("read", "--since", "someday", status=64)
    run("health", "--server", "127.0.0.1:1", status=2)
    assert "--server" in run.stderr and "HUBAUDIT_SERVER" in run.stderr
    run("read", "--from", "1000", status=1)
    run("inspect", str(tmp_path / "nowhere"), status=1)
    run("read", "-n", "-5", status=64)
    run("bench", "append", "--clients", "-1", status=64)
    assert "'-1'" in run.stderr or "--clients: -1" in run.stderr
    run("serve", "--listen", "0.0.0.0:0", status=64)
    assert "--insecure-listen" in run.stderr
    run("serve", "--frame-bytes", "7", status=64)
    assert "--frame-bytes" in run.stderr


def test_health_schema_and_completions(run, server):
    health = json.loads(run("health", "-o", "json"))
    assert health["status"] == "ok" and health["next_sequence"] == 0
    schema = subprocess.run([BINARY, "schema"], capture_output=True, check=True).stdout
    assert b"hubaudit/v1/frames.proto" in schema
    assert run("schema", "--remote").encode(errors="surrogateescape") == schema
    for shell in ("bash", "zsh", "fish"):
        assert "tail" in run("completions", shell)


def test_settings_come_from_flag_environment_file_and_default(run, tmp_path, monkeypatch):
    file = tmp_path / "hubaudit.conf"
    file.write_text("# limits\nconnections = 5\nreads = 6\nsubscriptions = 7\n")
    environment = {**os.environ, "HUBAUDIT_CONNECTIONS": "50", "HUBAUDIT_READS": "60"}
    shown = subprocess.run(
        [BINARY, "config", "show", "--config", str(file), "--connections", "500"], env=environment, capture_output=True, text=True, check=True).stdout
    values = {line.split()[0]: line.split("  # ")[0].split()[2:] + [line.split("# ")[1].split(".")[0]] for line in shown.splitlines()}
    assert values["connections"][0] == "500" and values["connections"][-1].startswith("flag")
    assert values["reads"][0] == "60" and "HUBAUDIT_READS" in values["reads"][-1]
    assert values["subscriptions"][0] == "7" and values["subscriptions"][-1].startswith("file")
    assert values["append-events"][0] == "10000" and values["append-events"][-1] == "default"
    file.write_text("nonsense = 1\n")
    run("config", "show", "--config", str(file), status=64)
    assert f"{file}:1" in run.stderr


def test_inspect_reads_what_a_stopped_server_left_and_finds_damage(tmp_path):
    with Server(tmp_path / "log", "--segment-bytes", "65536") as server:
        with server.connect(hub="h") as connection:
            for _ in range(20):
                connection.append(*[{"kind": "k", "x": "y" * 200}] * 30)
        assert server.stop() == 0
    found = subprocess.run([BINARY, "inspect", str(tmp_path / "log"), "-o", "json"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    segments = lines(found.stdout)
    assert len(segments) > 2 and sum(one["records"] for one in segments) == 600
    path = pathlib.Path(segments[1]["path"])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = subprocess.run([BINARY, "inspect", str(tmp_path / "log"), "-o", "json"], capture_output=True, text=True)
    assert found.returncode == 4 and path.name in found.stderr and "offset" in found.stderr
    (tmp_path / "log" / "log.json").write_text("{")
    for command in (("inspect", str(tmp_path / "log")), ("verify", "--data", str(tmp_path / "log"))):
        found = subprocess.run([BINARY, *command], capture_output=True, text=True)
        assert found.returncode == 4 and "log.json" in found.stderr, found


def test_the_line_that_is_refused_is_named_and_those_before_it_are_stored(run, tmp_path):
    too_long = json.dumps({"kind": "x" * 300})
    some = [json.dumps({"kind": "good", "n": number}) for number in range(7)]
    text = "\n".join([*some, "", too_long, *some, ""]).encode()
    run("append", "-q", "--json", "-", stdin=text, status=1)
    assert "line 9 " in run.stderr and "300 bytes" in run.stderr
    assert [one["record"]["n"] for one in lines(run("read", "-o", "json"))] == list(range(7))
    source = tmp_path / "audit.jsonl"
    source.write_bytes(text)
    # An import keeps it all the same, as it is.
    assert "16 lines, 16 appended, 0 stored before, 2 of the appended unreadable" in run("import", str(source))
    assert "line 9 (" in run.stderr and "300 bytes" in run.stderr
    assert run("export", "--hub", "import").encode() == text
    source.write_bytes(text + b'{"more": 1}\n')
    assert "17 lines, 1 appended, 16 stored before" in run("import", str(source))


@pytest.mark.parametrize("arguments", [[], ["-n", "1000"], ["--kind", "k"]])
def test_everything_up_to_damage_is_read_in_both_directions(tmp_path, arguments):
    with Server(tmp_path / "log", "--segment-bytes", "65536") as server:
        with server.connect(hub="h") as connection:
            for _ in range(20):
                connection.append(*[{"kind": "k", "x": "y" * 200}] * 30)
        assert server.stop() == 0
    path = sorted((tmp_path / "log/segments").iterdir())[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    def read(*more: str) -> tuple[list[int], str]:
        result = subprocess.run([BINARY, "read", "-s", server.address, "-o", "json", *arguments, *more], capture_output=True, text=True)
        assert result.returncode == 1
        return [one["sequence"] for one in lines(result.stdout)], result.stderr

    with Server(tmp_path / "log", "--segment-bytes", "65536") as server:
        forwards, error = read()
        damaged = len(forwards)
        assert forwards == list(range(damaged)) and int(path.stem) < damaged and f"record {damaged} " in error
        backwards, _ = read("--backwards")
        assert backwards == list(range(599, damaged, -1))


def test_a_sealed_segment_opens_with_protoc(tmp_path):
    with Server(tmp_path / "log") as server:
        with server.connect(hub="h") as connection:
            connection.append({"kind": "k", "n": 1}, {"kind": "k", "n": 2})
        assert server.stop() == 0
    segment = tmp_path / "log" / "segments" / ("0" * 20 + ".seg")
    root = pathlib.Path(__file__).resolve().parents[2]
    decoded = subprocess.run(
        ["protoc", f"--proto_path={root}/Proto", "--decode=hubaudit.v1.Segment", "hubaudit/v1/record.proto"],
        stdin=segment.open("rb"), capture_output=True, text=True, check=True).stdout
    assert decoded.count("records {") == 2 and 'kind: "k"' in decoded and "first_sequence: 0" in decoded


def test_an_import_never_takes_one_file_for_another(run, tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "audit.jsonl").write_text(f'{{"kind":"from-{name}"}}\n')
        assert "1 appended" in run("import", str(tmp_path / name / "audit.jsonl"))
    assert [one["kind"] for one in lines(run("read", "-o", "json"))] == ["from-x", "from-y"]
    # A file that has grown goes on; one that was changed is refused.
    grown = tmp_path / "x" / "audit.jsonl"
    grown.write_text('{"kind":"from-x"}\n{"kind":"more"}\n{"kind":"third"}\n')
    assert "2 appended, 1 stored before" in run("import", str(grown))
    grown.write_text('{"kind":"from-x"}\n{"kind":"more"}\n{"kind":"Third"}\n{}\n')
    run("import", str(grown), status=1)
    assert "line 3" in run.stderr and "--producer" in run.stderr
    assert len(lines(run("read", "-o", "json"))) == 4
    run("import", "-", stdin=b"{}\n", status=64)
    assert "1 appended" in run("import", "-", "--producer", "p", stdin=b"{}\n")
    run("import", str(tmp_path), status=1)


def test_append_does_not_hold_records_back_from_a_slow_writer(run, server):
    append = subprocess.Popen([BINARY, "append", "--json", "-", "--server", server.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for number in range(3):
        append.stdin.write(f'{{"n": {number}}}\n')
        append.stdin.flush()
        assert append.stdout.readline() == f"{number}\n"
    append.stdin.close()
    assert append.wait(30) == 0


def test_text_that_is_not_utf8_is_refused_not_changed(run):
    run("append", "--json", "-", stdin=b'{"kind":"\xff"}\n', status=1)
    assert "UTF-8" in run.stderr
    run("append", "--json", "", status=1)
    run("append", "--json", "-", stdin=b"\n\n", status=3)


def test_output_that_cannot_be_written_is_an_error_and_moves_no_cursor(run, server, tmp_path):
    run("append", "--kind", "k", "-q")
    cursor = tmp_path / "cursor"
    for command in (["read", "--cursor-file", str(cursor)], ["export"], ["health"], ["stats"], ["schema"], ["config", "show"]):
        with open("/dev/full", "wb") as full:
            result = subprocess.run(
                [BINARY, *command], stdout=full, stderr=subprocess.PIPE, env={**os.environ, "HUBAUDIT_SERVER": server.address}, timeout=60)
        assert result.returncode == 1, (command, result.stderr)
    assert not cursor.exists()


def test_times_far_away_are_refused(run):
    for time in ("9999-01-01T00:00:00Z", "3000-01-01", "0001-01-01T00:00:00Z"):
        run("read", "--since", time, status=64)


def test_sighup_reads_the_level_again_and_survives_a_broken_file(tmp_path):
    file = tmp_path / "hubaudit.conf"
    file.write_text("log-level = info\n")
    with Server(tmp_path / "log", "--config", str(file)) as server, server.connect(hub="h") as connection:
        for text, word in (("log-level = debug\n", "read again"), ("junk\n", "cannot be read"), ("log-level = bogus\n", "cannot be read")):
            file.write_text(text)
            seen = len(server.log)
            server.process.send_signal(signal.SIGHUP)
            while not any(word in entry["message"] for entry in server.log[seen:]):
                assert connection.append({"kind": "k"}).appended.recorded == 1
        assert server.stop() == 0


def test_a_unix_socket_that_is_served_is_not_taken(tmp_path):
    path = f"unix:{tmp_path}/s"
    with Server(tmp_path / "a", listen=path) as server:
        second = subprocess.run(
            [BINARY, "serve", "--data", str(tmp_path / "b"), "--listen", path, "--http-listen", "off"], capture_output=True, text=True, timeout=60)
        assert second.returncode == 1 and "another server" in second.stderr
        assert subprocess.run([BINARY, "health", "-s", path], capture_output=True).returncode == 0
        server.kill()
    # What a killed server left is no hindrance.
    with Server(tmp_path / "a", listen=path) as server:
        assert server.stop() == 0
