"""The commands of README.md and of Documentation/ do what the pages say: every sh block runs, in order, in one shell for each page, as a
reader would type them; every python block runs against a server."""

from __future__ import annotations

import ast
import asyncio
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import time

import pytest
from wire import BINARY, ROOT

README = ROOT / "README.md"
DOCUMENTATION = sorted((ROOT / "Documentation").glob("*.md"))
CONTRACTS = [ROOT / "Proto" / "hubaudit" / "v1" / "PROTOCOL.md", ROOT / "Sources" / "SegmentStore" / "FORMAT.md"]
TOP_LEVEL = [README, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"))]
PAGES = [*TOP_LEVEL, *DOCUMENTATION, *CONTRACTS, ROOT / "Sources" / "python" / "README.md"]


def blocks(page: pathlib.Path, language: str) -> list[tuple[int, str]]:
    """The page's code blocks of a language with their line numbers."""
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text[: match.start()].count("\n") + 2, match[1]) for match in found]


WITH_COMMANDS = [page for page in (README, *DOCUMENTATION) if blocks(page, "sh")]
WITH_PYTHON = [page for page in (README, *DOCUMENTATION) if blocks(page, "python")]
# What the commands of a page have to print.
PRINTED = {
    "README.md": '[0,"demo",7]',
    "subscribers.md": "t-1\nt-2\n",
    "auditors.md": "verified",
    "operators.md": "consistent, but unsigned",
    "access.md": "cert:spiffe://hubaudit.internal/bank\ncert:spiffe://hubaudit.internal/shop\n",
    "hub-authors.md": '"key": "import"',
}


def own_network() -> list[str]:
    """A prefix that gives a command a loopback of its own, so that the default ports are free."""
    for prefix in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        command = [*prefix, "sh", "-ec", 'ip link set lo up && exec "$@"', "sh"]
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 7411)) == 0:
            pytest.skip("port 7411 is taken and this user may not make a network namespace")
    return []


def test_the_readme_is_one_page():
    assert len(README.read_text().splitlines()) <= 150


def test_every_page_with_commands_says_what_they_print():
    assert {page.name for page in WITH_COMMANDS} == set(PRINTED)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_every_command_of_a_page_runs(page, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "hubaudit").symlink_to(BINARY)
    work = tmp_path / "work"
    work.mkdir()
    (work / "Proto").symlink_to(ROOT / "Proto")
    # Each block is traced with its place, so that a failure says where.
    script = ["set -e -o pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    script += [f"echo '# {page.name}:{line}' >&2\n{block}" for line, block in blocks(page, "sh")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")}
    environment |= {"PATH": f"{tools}:{environment['PATH']}", "HOME": str(tmp_path)}
    result = subprocess.run(
        [*own_network(), "bash", "-c", "\n".join(script)], cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, stdin=subprocess.DEVNULL, timeout=120,
    )
    assert result.returncode == 0, result.stdout
    assert PRINTED[page.name] in result.stdout, result.stdout


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, server):
    async def run() -> None:
        import hubaudit
        from ag2 import Agent
        from ag2.knowledge import MemoryKnowledgeStore
        from ag2.network import Hub
        from ag2.testing import TestConfig

        # What the page's commands have put into the log before.
        async with await hubaudit.connect(server.address, hub="cron") as client:
            await client.append([{"kind": "backup_done", "task_id": task} for task in ("t-1", "t-2")])
        hub = await Hub.open(MemoryKnowledgeStore())
        names = {"hub": hub}
        for line, example in blocks(page, "python"):
            code = compile(
                "\n" * (line - 1) + example.replace("127.0.0.1:7411", server.address), page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if running is not None:
                await asyncio.wait_for(running, 60)
        if "log" in names:
            await hub.register(Agent("ada", config=TestConfig("hello")))
            assert (await names["log"].read_all())[-1]["kind"] == "agent_registered"
            await names["log"].close()

    asyncio.run(run())


def test_every_file_that_the_pages_link_to_is_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith("https://"):
                assert not target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_anchor_that_the_pages_link_to_is_there():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", page.read_text()):
            linked = page.parent / target if target else page
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name}: {target}#{anchor}"


def test_every_source_file_that_the_architecture_names_is_there():
    text = (ROOT / "Documentation" / "architecture.md").read_text()
    named = re.findall(r"`((?:[A-Z]\w+|hubaudit)(?:/[A-Za-z]+)+)(?:\.swift)?`", text)
    assert len(named) > 20
    for name in named:
        assert (ROOT / "Sources" / f"{name}.swift").is_file(), name


def test_make_run_starts_the_server_and_says_what_to_try(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")}
    environment["HUBAUDIT_HTTP_LISTEN"] = "127.0.0.1:0"
    process = subprocess.Popen(
        ["make", "run", f"HUBAUDIT_DATA={tmp_path / 'log'}", "HUBAUDIT_LISTEN=127.0.0.1:0"], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
    )
    try:
        output = wait_for(process, re.compile(rb"ready"), seconds=1200)
        assert b"hubaudit append" in output and b"hubaudit tail" in output
    finally:
        # What Ctrl-C does: to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert (tmp_path / "log" / "log.json").exists()


def wait_for(process: subprocess.Popen, wanted: re.Pattern, seconds: float) -> bytes:
    output = b""
    deadline = time.monotonic() + seconds
    descriptor = process.stdout.fileno()
    while not wanted.search(output):
        left = deadline - time.monotonic()
        assert left > 0 and select.select([descriptor], [], [], left)[0], f"no {wanted.pattern} in time: {output.decode()}"
        chunk = os.read(descriptor, 65536)
        assert chunk, f"ended: {output.decode()}"
        output += chunk
    return output
