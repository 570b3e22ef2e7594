"""What type checkers see: the package in strict mode, how complete its types are, and a small user's program."""

import importlib.util
import json
import os
from pathlib import Path
import subprocess
import sys

import pytest
from server import ROOT

PACKAGE = ROOT / "Sources" / "python"
PROGRAM = Path(__file__).with_name("typed_program.py")
WANTED_COMPLETENESS = 0.99


def checker(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed for this Python")


def run(*command: object) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE), "MYPYPATH": str(PACKAGE)}
    return subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_the_package_and_a_users_program_pass_mypy_in_strict_mode(version: str, tmp_path: Path) -> None:
    checker("mypy")
    result = run("mypy", "--strict", "--python-version", version, "--cache-dir", tmp_path, PACKAGE / "hubaudit", PROGRAM)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_users_program_passes_pyright_in_strict_mode(tmp_path: Path) -> None:
    checker("basedpyright")
    settings = {"include": [str(PROGRAM)], "extraPaths": [str(PACKAGE)], "typeCheckingMode": "strict", "pythonVersion": "3.10"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    result = run("basedpyright", "--pythonpath", sys.executable, "-p", tmp_path / "pyrightconfig.json")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_types_of_what_the_package_exports_are_complete() -> None:
    checker("basedpyright")
    result = run("basedpyright", "--pythonpath", sys.executable, "--verifytypes", "hubaudit", "--ignoreexternal", "--outputjson")
    report = json.loads(result.stdout)["typeCompleteness"]
    unknown = [
        f"{symbol['name']}: {[diagnostic['message'] for diagnostic in symbol['diagnostics']]}"
        for symbol in report["symbols"] if symbol["isExported"] and not symbol["isTypeKnown"]
    ]  # fmt: skip
    assert report["completenessScore"] >= WANTED_COMPLETENESS, "\n".join(unknown)
