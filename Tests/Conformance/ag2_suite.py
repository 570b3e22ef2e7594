"""Runs AG2's own tests of its network, once with AG2's log and once with the drop-in in each of its modes, and compares the results.

    git clone https://github.com/ag2ai/ag2 ../ag2      (and check out the tag of the version that is installed)
    .venv/bin/pip install pytest-asyncio dirty-equals
    AG2_SOURCE=../ag2 .venv/bin/python Tests/Conformance/ag2_suite.py

AG2's package holds no tests, so they come from a checkout of the version that is installed; another version is refused. A test that ends in
another way than with AG2's log is a difference, and exit 1, unless EXPECTED names it. AG2_TESTS names fewer tests than test/network.
"""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "Harness")]

from server import Server  # noqa: E402

MODES = ("durable", "queued", "inline")
# What may differ, and why: the mode, a part of the test's name, the reason.
EXPECTED: list[tuple[str, str, str]] = [
    (mode, "subscribe_taps_live_stream", "it looks at what a subscriber has got as soon as append returns, and only `deliver=\"inline\"` waits for that")
    for mode in ("durable", "queued")
]


def outcomes(source: pathlib.Path, report: pathlib.Path, *options: str, **environment: str) -> dict[str, str]:
    """Each test with passed, failed, error or skipped."""
    tests = os.environ.get("AG2_TESTS", "test/network")
    paths = [str(HERE), str(HERE.parents[1] / "Sources/python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-o", "addopts=", "-o", "asyncio_mode=auto", *options,
         f"--junitxml={report}", tests],
        cwd=source, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        sys.exit(f"AG2's tests could not be run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    found: dict[str, str] = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        ends = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}.{case.get('name')}"] = ends[0] if ends else "passed"
    return found


def version(source: pathlib.Path) -> str:
    for name in ("ag2/version.py", "pyproject.toml"):
        if (source / name).is_file() and (match := re.search(r'version(?:__)?\s*=\s*"([^"]+)"', (source / name).read_text())):
            return match[1]
    sys.exit(f"{source} is no checkout of AG2: it says no version")


def main() -> int:
    if "AG2_SOURCE" not in os.environ:
        sys.exit(__doc__)
    source = pathlib.Path(os.environ["AG2_SOURCE"]).resolve()
    installed = importlib.metadata.version("ag2")
    if version(source) != installed:
        sys.exit(f"{source} is AG2 {version(source)}, and {installed} is installed: check out that one")
    differences = 0
    with tempfile.TemporaryDirectory() as work:
        report = pathlib.Path(work, "report.xml")
        own = outcomes(source, report)
        print(f"own: {len(own)} tests, {sum(end == 'passed' for end in own.values())} passed", flush=True)
        for mode in MODES:
            server = Server(pathlib.Path(work, mode))
            pathlib.Path(work, mode).mkdir()
            server.start()
            try:
                ours = outcomes(source, report, "-p", "ag2_drop_in", HUBAUDIT_SERVER=server.address, AG2_LOG=mode)
            finally:
                server.kill()
            print(f"{mode}: {len(ours)} tests, {sum(end == 'passed' for end in ours.values())} passed", flush=True)
            for name in sorted(own.keys() | ours.keys()):
                if own.get(name) == ours.get(name):
                    continue
                reason = next((why for wanted, part, why in EXPECTED if wanted == mode and part in name), None)
                differences += reason is None
                print(f"  {name}: {own.get(name, 'not there')} with AG2's log, {ours.get(name, 'not there')} with the drop-in; {reason or 'UNEXPECTED'}")
        unused = sorted({part for _, part, _ in EXPECTED if not any(part in name for name in own)})
        for part in unused:
            print(f"EXPECTED names {part}, and there is no such test")
    return 1 if differences or unused else 0


if __name__ == "__main__":
    sys.exit(main())
