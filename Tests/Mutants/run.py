"""Plants one fault after the other in a copy of the tree, and says which test sees it.

    make mutants                                     all of mutants.toml
    python3 Tests/Mutants/run.py 'sync' 'filter'     those whose names hold one of these words

The copy and its build are in .build-mutants. Exit 1 when a fault is seen by no test, or could not be planted: then its text has changed and
the entry has to follow. HUBAUDIT_PYTHON names the Python that has the tests' packages (default: .venv/bin/python).
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / ".build-mutants"
TREE = WORK / "tree"
PYTHON = os.environ.get("HUBAUDIT_PYTHON", str(ROOT / ".venv/bin/python"))
# Far longer than the tests take: a fault that makes one hang is seen by it.
DEADLINE_SECONDS = 600
# The same power cuts in every run, fewer than `make test` makes.
SETTINGS = {"SWIFT_BACKTRACE": "enable=no", "HUBAUDIT_SEED": "1", "HUBAUDIT_CRASHES": "5000"}


class Trouble(Exception):
    """The run says nothing about the tests."""


def copy_tree() -> None:
    """Brings the copy up to date; a file that is the same keeps its date, so that it is not compiled again."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    wanted = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    for name in wanted:
        content = (ROOT / name).read_bytes()
        copy = TREE / name
        if not copy.is_file() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    for top in ("Sources", "Tests"):
        for path in (TREE / top).rglob("*"):
            if path.is_file() and str(path.relative_to(TREE)) not in wanted and "__pycache__" not in path.parts:
                path.unlink()


def build() -> None:
    done = run("swift", "build", "--build-tests", "--scratch-path", str(WORK / "build"))
    if done.returncode != 0:
        raise Trouble(f"it does not build:\n{done.stdout[-3000:]}")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The output of a command in the copy; one that is not done in time is ended, with all that it started."""
    process = subprocess.Popen(
        command, cwd=TREE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        env={**os.environ, **SETTINGS, **environment},
    )
    try:
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
        return subprocess.CompletedProcess(command, process.returncode, output)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        return subprocess.CompletedProcess(command, -9, output + "\nthe deadline passed")


def failures(mutant: dict) -> list[str]:
    """The tests that fail."""
    failed: list[str] = []
    if "swift" in mutant:
        done = run("swift", "test", "--skip-build", "--scratch-path", str(WORK / "build"), "--filter", mutant["swift"])
        if not re.search(r"Test run with [1-9]\d* test", done.stdout) and done.returncode == 0:
            raise Trouble(f"no test is called {mutant['swift']}")
        failed += named(r'^✘ Test (?:"(.+?)"|(\w+)\(\)).* failed after', done)
    if "pytest" in mutant:
        tests = [f"Tests/{name}" for name in mutant["pytest"].split()]
        done = run(
            PYTHON, "-m", "pytest", "-q", "-x", "--timeout", "60", *tests,
            HUBAUDIT_BIN=str(WORK / "build/debug/hubaudit"), PYTHONPATH=str(TREE / "Sources/python"),
        )
        failed += named(r"^FAILED Tests/(\S+)()", done)
    return failed


def named(pattern: str, done: subprocess.CompletedProcess[str]) -> list[str]:
    found = re.findall(pattern, done.stdout, re.MULTILINE)
    names = list(dict.fromkeys(one or other for one, other in found))
    if done.returncode != 0 and not names:
        # The process died, or hung: that is seen too.
        started = re.findall(r'^◇ Test (?:"(.+?)"|(\w+)\(\)) started', done.stdout, re.MULTILINE)
        if not started:
            raise Trouble(f"the tests could not be run:\n{done.stdout[-2000:]}")
        names = [f"status {done.returncode} during: {one or other}" for one, other in started[-1:]]
    return names


def plant(mutant: dict) -> dict[pathlib.Path, str]:
    """Makes the edits. Returns what the files held."""
    before: dict[pathlib.Path, str] = {}
    for edit in mutant["edit"]:
        path = TREE / edit["file"]
        content = path.read_text()
        before.setdefault(path, content)
        if content.count(edit["old"]) != 1:
            restore(before)
            raise Trouble(f"{edit['file']} holds {content.count(edit['old'])} times: {edit['old'].strip()!r}")
        path.write_text(content.replace(edit["old"], edit["new"]))
    return before


def restore(files: dict[pathlib.Path, str]) -> None:
    for path, content in files.items():
        path.write_text(content)


def check(mutant: dict) -> tuple[bool, str]:
    """Whether the fault was seen, and by what."""
    try:
        before = plant(mutant)
        try:
            build()
            failed = failures(mutant)
        finally:
            restore(before)
    except Trouble as trouble:
        return False, f"**not tried**: {trouble}"
    if not failed:
        return False, "**survived**"
    more = f", and {len(failed) - 2} more" if len(failed) > 2 else ""
    return True, "; ".join(failed[:2]) + more


def main() -> int:
    words = sys.argv[1:]
    mutants = [one for one in tomllib.loads((HERE / "mutants.toml").read_text())["mutant"] if not words or any(w in one["name"] for w in words)]
    copy_tree()
    build()
    everything = {"swift": "|".join(sorted({name for one in mutants for name in one.get("swift", "").split("|") if name}))}
    if pytest := sorted({name for one in mutants for name in one.get("pytest", "").split()}):
        everything["pytest"] = " ".join(pytest)
    if not everything["swift"]:
        del everything["swift"]
    if failed := failures(everything):
        print("the tests fail without a fault:", *failed, sep="\n  ")
        return 1
    rows, alive = [], 0
    for mutant in mutants:
        begin = time.monotonic()
        dead, by = check(mutant)
        alive += not dead
        rows.append(f"| {mutant['name']} | {by} |")
        print(rows[-1], f"{time.monotonic() - begin:.0f} s", flush=True)
    table = "\n".join(["| fault | seen by |", "| --- | --- |", *rows])
    (WORK / "table.md").write_text(table + "\n")
    print(f"\n{len(mutants) - alive} of {len(mutants)} faults are seen; the table is in {WORK.name}/table.md")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
