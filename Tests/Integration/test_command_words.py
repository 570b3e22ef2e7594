"""What the command says: before it connects, about what was mistyped, where it cannot start, and to a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pty
import resource
import shutil
import socket
import subprocess
import threading

import pytest
from hubaudit._proto import frames_pb2
from wire import BINARY, Server, varint

# ESC, C1's CSI, DEL, a change of direction, and a line separator.
HOSTILE = "\x1b[2J\x9b31m\x7f\u202e\u2028"


def clean_environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")} | more


def run(*arguments: str, status: int, **more: str) -> subprocess.CompletedProcess:
    result = subprocess.run(
        [BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=clean_environment(**more), timeout=60)
    assert result.returncode == status, (result.stdout[-500:], result.stderr[-500:])
    return result


def on_a_terminal(*arguments: str, **more: str) -> tuple[str, int]:
    """What a command writes on a terminal of 100 columns, both its outputs."""
    master, slave = pty.openpty()
    process = subprocess.Popen([BINARY, *arguments], stdin=slave, stdout=slave, stderr=slave, env=clean_environment(**more))
    os.close(slave)
    output = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 65536):
            output += chunk
    os.close(master)
    return output.decode(), process.wait(60)


def assert_harmless(text: str) -> None:
    bad = [one for one in text if one in HOSTILE.replace("[2J", "").replace("31m", "") or ord(one) < 0x20 and one not in "\r\n"]
    assert not bad, (bad, text)


@contextlib.contextmanager
def refusing_server(sentence: str, code: int = frames_pb2.Error.CODE_NOT_PERMITTED):
    """Answers every hello with an error; gives its address and the hellos that have come."""
    hellos: list[frames_pb2.Hello] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    # A hello of less than 128 bytes, behind a length of one.
                    hellos.append(frames_pb2.ClientFrame.FromString(peer.recv(65536)[1:]).hello)
                    frame = frames_pb2.ServerFrame(id=1)
                    frame.error.code = code
                    frame.error.message = sentence
                    data = frame.SerializeToString()
                    peer.sendall(varint(len(data)) + data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", hellos
        finally:
            # Wakes accept.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@pytest.mark.parametrize("command", [["health"], ["read"], ["append", "--kind", "k"], ["tail"], ["stats"], ["export"], ["verify"], ["prove", "0"]])
def test_what_a_server_says_has_no_power_over_the_terminal(command):
    with refusing_server("no" + HOSTILE + "\nhubaudit: forged") as (address, _):
        result = run(*command, status=5, HUBAUDIT_SERVER=address)
        assert_harmless(result.stderr)
        assert result.stderr.count("\n") == 1 and "u{1b}" in result.stderr


@pytest.mark.parametrize("command", [["read", "-o", "json"], ["read"], ["tail"], ["export"], ["stats"], ["stats", "-o", "json"], ["stats", "--by", "agent"]])
def test_what_a_record_holds_has_no_power_over_the_terminal(server, command):
    with server.connect(hub="h") as connection:
        # Raw in the text where JSON allows it, and as escapes in a kind and an agent.
        connection.append(json.dumps({"kind": "k", "text": HOSTILE[1:]}, ensure_ascii=False).encode(), {"kind": HOSTILE, "agent_id": HOSTILE})
    output, status = on_a_terminal(*command, HUBAUDIT_SERVER=server.address)
    assert status == 0 and output
    assert_harmless(output)
    if "json" in command:
        assert all(json.loads(line) for line in output.splitlines())


def test_a_value_in_a_text_log_cannot_be_taken_for_another(tmp_path):
    data = tmp_path / 'log level=error message="all is well"'
    with subprocess.Popen(
        [BINARY, "serve", "--data", str(data), "--listen", "127.0.0.1:0", "--http-listen", "off", "--log-format", "text"],
        stdout=subprocess.PIPE, text=True, env=clean_environment(),
    ) as process:
        line = next(line for line in process.stdout if " ready " in line)
        process.terminate()
        process.stdout.read()
    quoted = str(data).replace('"', '\\"')
    assert f' data="{quoted}" ' in line


@pytest.mark.parametrize("taken", ["listen", "http-listen", "unix"])
def test_a_server_that_cannot_listen_makes_no_log(tmp_path, taken):
    path = f"unix:{tmp_path}/s"
    with Server(tmp_path / "first", listen=path if taken == "unix" else "127.0.0.1:0") as first:
        listen = first.address if taken in ("listen", "unix") else "127.0.0.1:0"
        http = first.http_address if taken == "http-listen" else "off"
        result = run("serve", "--data", str(tmp_path / "second"), "--listen", listen, "--http-listen", http, status=1)
        assert "cannot listen on" in result.stderr and "another server" in result.stderr
        assert not (tmp_path / "second").exists()
        assert first.stop() == 0


def test_a_socket_that_cannot_be_made_makes_no_log(tmp_path):
    (tmp_path / "file").write_text("somebody's")
    for path in (tmp_path / "file", tmp_path / "nowhere" / "s"):
        result = run("serve", "--data", str(tmp_path / "log"), "--listen", f"unix:{path}", "--http-listen", "off", status=1)
        assert "cannot listen on" in result.stderr and not (tmp_path / "log").exists()
    assert (tmp_path / "file").read_text() == "somebody's"


def test_a_directory_that_is_none_is_named_for_what_it_is(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    for command in (["serve", "--listen", "127.0.0.1:0", "--data"], ["verify", "--data"], ["inspect"]):
        assert "is a file" in run(*command, str(file), status=64).stderr
        assert f"is a link to {tmp_path / 'nowhere'}" in run(*command, str(link), status=64).stderr
    assert not (tmp_path / "nowhere").exists()


def test_an_ipv6_address_with_a_port_wants_brackets():
    for command in (["serve", "--listen"], ["health", "-s"]):
        assert "[::1]:7411" in run(*command, "::1:7411", status=64).stderr


@pytest.mark.parametrize("files", range(8, 41, 2))
def test_too_few_files_are_a_sentence_and_no_trap(server, tmp_path, files):
    run("append", "--kind", "k", status=0, HUBAUDIT_SERVER=server.address)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    def ends(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=limited, env=clean_environment(), timeout=60)

    for command in (["health", "-s", server.address], ["tail", "-s", server.address, "-n", "1"], ["bench", "read", "-s", server.address]):
        result = ends(*command)
        assert result.returncode in (0, 1, 3), result
        if result.returncode == 1:
            assert result.stderr.count("\n") == 1 and "ulimit -n" in result.stderr, result.stderr
    # A server that starts is ended by the address that is taken.
    result = ends("serve", "--data", str(tmp_path / "own"), "--listen", server.address, "--http-listen", "off")
    assert result.returncode == 1 and ("ulimit -n" in result.stderr or "cannot listen" in result.stderr), result
    assert not (tmp_path / "own").exists()


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace; .ci/install installs it")
def test_whether_there_are_files_enough_is_found_out_without_taking_the_last(server, tmp_path):
    """Another thread of the process, as that of the signals, ends in a trap when it finds none left meanwhile."""
    trace = tmp_path / "trace"
    limited = ["sh", "-c", 'ulimit -n 12 && exec "$@"', "sh", BINARY, "tail", "-s", server.address, "-n", "1"]
    result = subprocess.run(
        ["strace", "-f", "-o", trace, *limited], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=clean_environment(), timeout=60)
    assert result.returncode == 1 and "ulimit -n" in result.stderr, result
    calls = trace.read_text()
    # The pipe is that of the signals: it is made where there are files enough.
    assert "EMFILE" not in calls and " pipe(" not in calls and " pipe2(" not in calls


@pytest.mark.parametrize("arguments, word", [
    (["read", "--since", "yesteryear"], "yesteryear"), (["tail", "--until", "someday"], "someday"), (["stats", "--since", "x"], "x"),
    (["export", "--from", "soon"], "soon"), (["read", "--from", "1", "--after", "1"], "--after"), (["append", "--kind", "k", "--at", "gestern"], "gestern"),
    (["append", "--kind", "a", "--set", "kind=b"], "--kind"), (["append", "--set", "a=1", "--set", "a=2"], "twice"), (["append", "--json", "{}"], "nothing"),
    (["append", "--set", "novalue"], "novalue"), (["health", "-o", "raw"], "raw"),
])
def test_what_was_given_is_judged_before_connecting(arguments, word):
    assert word in run(*arguments, status=64, HUBAUDIT_SERVER="127.0.0.1:1").stderr


def test_a_kind_that_is_one_letter_from_a_known_one_is_warned_of(server):
    for given in (["--kind", "task_terminatd"], ["--set", "kind=turn_faild"]):
        result = run("append", *given, status=0, HUBAUDIT_SERVER=server.address)
        assert "warning" in result.stderr and result.stdout
    assert not run("append", "--kind", "turn_failed", status=0, HUBAUDIT_SERVER=server.address).stderr
    assert not run("append", "--kind", "deploy", status=0, HUBAUDIT_SERVER=server.address).stderr


def test_a_filter_that_was_meant_in_another_way_is_named(server):
    run("append", "--kind", "deploy", status=0, HUBAUDIT_SERVER=server.address)
    for command in ("read", "tail", "stats", "export"):
        assert "wildcard" in run(command, "--kind", "dep*", status=3, HUBAUDIT_SERVER=server.address).stderr
        assert "several times" in run(command, "--kind", "deploy,paid", status=3, HUBAUDIT_SERVER=server.address).stderr
    # Who follows would wait for ever.
    process = subprocess.Popen([BINARY, "tail", "-f", "--kind", "dep*"], stderr=subprocess.PIPE, text=True, env=clean_environment(HUBAUDIT_SERVER=server.address))
    assert "wildcard" in process.stderr.readline()
    process.terminate()
    process.communicate(timeout=60)


def test_mistyped_words_get_a_suggestion():
    assert "did you mean append?" in run("apend", status=64).stderr
    assert "no command" in run("frobnicate", status=64).stderr
    assert "did you mean verify?" in run("help", "verifi", status=64).stderr
    assert "USAGE" in run("help", "verify", status=0).stdout
    # The same of the words behind the first.
    assert "did you mean show?" in run("config", "shw", status=64).stderr
    assert "did you mean show?" in run("help", "config", "shw", status=64).stderr
    assert "no command" in run("help", "config", "nosuch", status=64).stderr
    assert "no command" in run("help", "read", "nosuch", status=64).stderr
    assert "did you mean read?" in run("bench", "raed", status=64).stderr
    assert "USAGE" in run("help", "config", "show", status=0).stdout and "USAGE" in run("help", "help", status=0).stdout
    assert run("version", status=0).stdout == run("--version", status=0).stdout
    assert "HUBAUDIT_SERVER?" in run("version", status=0, HUBAUDIT_SEVER="x").stderr
    assert not run("version", status=0, HUBAUDIT_SERVER="x", HUBAUDIT_READS="5").stderr


def test_sizes_take_units_and_what_is_shown_is_read_again(tmp_path):
    shown = run("config", "show", "--segment-bytes", "64MiB", "--tail-bytes", "128K", "--http-hosts", "a#b", status=0).stdout
    assert "segment-bytes = 64MiB" in shown
    file = tmp_path / "hubaudit.conf"
    file.write_text(shown)
    again = run("config", "show", "--config", str(file), status=0).stdout

    def values(text: str) -> list[str]:
        return [line.split("  # ")[0].rstrip() for line in text.splitlines()]

    assert values(again) == values(shown) and "default" not in again
    assert "KiB" in run("config", "show", "--segment-bytes", "64 apples", status=64).stderr
    assert "segment-bytes" in run("config", "show", "--segment-bytes", "9999999TiB", status=64).stderr
    file.write_text("segment-byte = 1\n")
    assert "did you mean segment-bytes?" in run("config", "show", "--config", str(file), status=64).stderr
    file.write_text("reads = 3\n# a comment\nreads = 4\n")
    assert f"{file}:3: reads was set in line 1 already" in run("config", "show", "--config", str(file), status=64).stderr


def test_every_setting_has_a_flag_with_the_same_words():
    helped = " ".join(run("serve", "--help", status=0).stdout.split())
    shown = run("config", "show", status=0).stdout.splitlines()
    assert len(shown) > 40
    for line in shown:
        name, words = line.split(" = ")[0], line.split("# default. ")[1]
        assert f"--{name} " in helped and words in helped, name


def test_stats_count_everybody_whom_agent_finds(server):
    with server.connect(hub="h") as connection:
        connection.append({"kind": "k", "agent_id": "a"}, {"kind": "k", "owner_id": "b"}, {"kind": "k", "creator_id": "c", "participants": ["a", "d"]},
                          {"kind": "k", "violators": ["e", "a"]}, {"kind": "k"})
    shown = run("stats", "--by", "agent", "-o", "json", status=0, HUBAUDIT_SERVER=server.address).stdout
    counts = {one["key"]: one["count"] for one in map(json.loads, shown.splitlines())}
    assert counts == {"a": 3, "b": 1, "c": 1, "d": 1, "e": 1, "": 1}
    for agent, count in counts.items():
        if agent:
            found = run("read", "--agent", agent, "-o", "json", status=0, HUBAUDIT_SERVER=server.address).stdout
            assert len(found.splitlines()) == count


def test_whoever_has_read_enough_ends_a_command_well(server):
    with server.connect(hub="h") as connection:
        for _ in range(10):
            connection.append(*[{"kind": "k", "text": "x" * 200}] * 1000)
    for command in (["read"], ["read", "-o", "raw"], ["tail", "-n", "10000"], ["export"]):
        process = subprocess.Popen(
            [BINARY, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(HUBAUDIT_SERVER=server.address))
        process.stdout.read(100)
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 0), command
        process.stderr.close()


def test_health_is_a_table_on_a_terminal(server):
    output, status = on_a_terminal("health", HUBAUDIT_SERVER=server.address)
    assert status == 0 and output.startswith("status ") and " segments" in output or " 1 segment" in output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_complete_file_names(shell):
    script = run("completions", shell, status=0).stdout
    assert {"bash": "add_completions -f", "zsh": "_files", "fish": "-rF"}[shell] in script


CONNECTING = [
    ["append", "--kind", "k"], ["tail"], ["read"], ["health"], ["stats"], ["verify"], ["prove", "0"], ["export"], ["import", "nowhere.jsonl"], ["schema", "--remote"], ["config", "show", "-s", "hubaudits://localhost:1"],
    ["bench", "append"], ["bench", "read"],
]


@pytest.mark.parametrize("command", CONNECTING, ids=" ".join)
def test_every_command_that_connects_takes_tls_files_and_tokens(command, tmp_path):
    words = run(*command[: 2 if command[0] in ("bench", "config") else 1], "--help", status=0).stdout
    own_key = command[0] in ("verify", "prove", "config")
    for option in ("--cacert", "--cert", "--cert-key" if own_key else "--key", "--token-file", "HUBAUDIT_CACERT", "HUBAUDIT_CERT", "HUBAUDIT_KEY"):
        assert option in words, option
    assert "--token " not in words
    (tmp_path / "nowhere.jsonl").write_text("{}\n")
    command = [str(tmp_path / word) if word.endswith(".jsonl") else word for word in command]
    wrong = {"HUBAUDIT_SERVER": "hubaudits://localhost:1", "HUBAUDIT_CACERT": "/nowhere/ca.pem"}
    assert run(*command, status=64, **wrong).stderr == "hubaudit: /nowhere/ca.pem cannot be read: no such file or directory\n"


@pytest.mark.parametrize(
    ("flags", "variables", "words"),
    [
        (["-s", "localhost:1", "--cacert", "ca.pem"], {}, "TLS files are given, but localhost:1 is an address without TLS; write hubaudits://localhost:1"),
        (["-s", "unix:/s", "--cacert", "ca.pem"], {}, "unix:/s is an address without TLS"),
        (["-s", "audit.example:1"], {"HUBAUDIT_TOKEN": "secret"}, "a token is sent only over TLS, a Unix socket or loopback"),
        (["-s", "hubaudits://localhost:1", "--cert", "c.pem"], {}, "without its private key; give --key"),
        (["-s", "hubaudits://localhost:1"], {"HUBAUDIT_KEY": "c.key"}, "without its certificate; give --cert"),
        (["-s", "localhost:1"], {"HUBAUDIT_TOKEN": "secret", "HUBAUDIT_TOKEN_FILE": "t"}, "both set"),
        (["-s", "localhost:1", "--token-file", "/nowhere/token"], {"HUBAUDIT_TOKEN": "secret"}, "/nowhere/token cannot be read"),
        (["-s", "https://localhost:1"], {}, "neither hubaudit nor hubaudits (TLS)"),
    ],
)  # fmt: skip
def test_credentials_that_contradict_the_address_or_each_other_are_usage_errors(flags, variables, words):
    said = run("health", *flags, status=64, **variables).stderr
    assert words in said and "secret" not in said and said.count("\n") == 1


def test_a_token_comes_from_a_file_or_a_variable_and_one_that_is_refused_has_a_status(tmp_path):
    (tmp_path / "token").write_text("from-file\n")
    code = frames_pb2.Error.CODE_UNAUTHENTICATED
    with refusing_server("who are you?", code) as (address, hellos):
        assert "give a client certificate" in run("health", "-s", address, status=5).stderr
        assert run("health", "-s", address, "--token-file", str(tmp_path / "token"), status=5).stderr == "hubaudit: who are you?\n"
        run("health", "-s", address, status=5, HUBAUDIT_TOKEN="from-variable")
        run("health", "-s", address, status=5, HUBAUDIT_TOKEN_FILE=str(tmp_path / "token"))
    assert [one.token for one in hellos] == ["", "from-file", "from-variable", "from-file"]


def test_completions_have_the_tls_files():
    assert "--cacert" in run("completions", "bash", status=0).stdout
