"""What the command prints on a terminal: one that acts on nothing that a hub sent, and rows that fit."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

import pytest
from wire import BINARY, Server

# What a terminal acts on, and a string that shows it: escape, DEL, C1 (CSI in one character), a line separator, a direction override.
HOSTILE = "a\x1b[2Jb\x7fc\x9b31md\u2028e\u202ef"


def on_terminal(*arguments: str, columns: int = 100) -> tuple[int, str]:
    """Exit code, and what was written to standard output, which is a terminal of that width."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([BINARY, *arguments], stdout=terminal, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    os.close(terminal)
    out = b""
    try:
        while data := os.read(controller, 65536):
            out += data
    except OSError:  # What Linux says when the terminal has no other end.
        pass
    os.close(controller)
    process.communicate(timeout=60)
    return process.returncode, out.decode().replace("\r\n", "\n")


@pytest.fixture
def address(server: Server) -> str:
    with server.connect(hub="hub") as connection:
        # As it is in the text, not escaped there: a JSON string may hold it.
        text = json.dumps({"kind": "note", "text": HOSTILE}, ensure_ascii=False)
        connection.append(text.encode(), {"kind": "long", "text": "x" * 500})
    return server.address


def acted_on(text: str) -> set[str]:
    return {character for character in text if character != "\n" and (not character.isprintable())}


@pytest.mark.parametrize("command", [("read", "-o", "json"), ("tail", "-o", "json"), ("read", "-o", "table"), ("tail",), ("export",)])
def test_nothing_that_a_terminal_acts_on_reaches_it(address: str, command: tuple[str, ...]):
    code, out = on_terminal(*command, "-s", address)
    assert code == 0 and "note" in out and acted_on(out) == set()


@pytest.mark.parametrize("command", [("read", "-o", "json"), ("export",)])
def test_what_is_escaped_for_a_terminal_means_the_same(address: str, command: tuple[str, ...]):
    _, out = on_terminal(*command, "-s", address)
    first = json.loads(out.splitlines()[0])
    assert first.get("record", first)["text"] == HOSTILE


def test_into_a_pipe_goes_what_was_sent(address: str):
    done = subprocess.run([BINARY, "export", "-s", address], capture_output=True)
    assert HOSTILE.split("\x7f")[1].encode() in done.stdout


@pytest.mark.parametrize("columns", [60, 100, 200])
def test_rows_fit_a_terminal_and_have_a_header_and_both_times(address: str, columns: int):
    _, out = on_terminal("read", "-s", address, columns=columns)
    header, *rows = out.splitlines()
    assert header.split() == ["SEQUENCE", "RECEIVED", "AT", "HUB", "KIND", "RECORD"]
    assert len(rows) == 2
    # Narrower than the columns before it, the record has 20 characters.
    widest = max(columns, header.index("RECORD") + 20)
    assert all(len(line) <= widest for line in out.splitlines())
    assert rows[1].endswith("…")


def test_a_table_in_a_pipe_is_cut_nowhere(address: str):
    done = subprocess.run([BINARY, "read", "-s", address, "-o", "table"], capture_output=True, text=True)
    assert "x" * 500 in done.stdout


def test_raw_output_does_not_go_to_a_terminal(address: str):
    for command in ("read", "tail"):
        code, out = on_terminal(command, "-s", address, "-o", "raw")
        assert code == 64 and out == ""
