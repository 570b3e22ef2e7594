"""One is said as one: no command and no page says "1 segments"."""

from __future__ import annotations

import pathlib
import re

from test_command_words import on_a_terminal, run
from witness import keygen, wait_for
from wire import Server

NOUNS = "records|segments|commits|checkpoints|signatures|findings|problems|bytes|events|lines|rounds|connections|subscriptions|rows|hubs|seconds|times"
WRONG = re.compile(rf"\b1 ({NOUNS})\b")


def test_one_is_said_as_one_everywhere(tmp_path: pathlib.Path) -> None:
    vkey = keygen(tmp_path / "log.key", "log.example/one")
    data, receipt, lines = str(tmp_path / "log"), str(tmp_path / "r.tlog-proof"), tmp_path / "lines"
    lines.write_text('{"kind":"k"}\n')
    texts: dict[str, str] = {}

    def note(*command: str, **environment: str) -> None:
        output, status = on_a_terminal(*command, **environment)
        assert status == 0, (command, output)
        texts[" ".join(command)] = output

    with Server(data, "--signing-key", str(tmp_path / "log.key"), "--checkpoint-interval", "50ms") as server:
        here = {"HUBAUDIT_SERVER": server.address}
        note("import", str(lines), "--hub", "h", **here)
        wait_for("the checkpoint", lambda: "covers 1 record," in server.get("/readyz?verbose")[1])
        for command in (["health"], ["stats"], ["verify", "--key", vkey], ["prove", "0", "--key", vkey, "-o", receipt],
                        ["import", str(lines), "--hub", "h"], ["read"]):
            note(*command, **here)
        texts["/readyz?verbose"] = server.get("/readyz?verbose")[1]
    note("verify", receipt, "--key", vkey)
    note("verify", "--data", data, "--key", vkey)
    note("inspect", data)
    wrong = {command: found[0] for command, text in texts.items() if (found := WRONG.search(text))}
    assert not wrong, (wrong, texts)
