"""What `make build`, `make run` and `make test` install and build, and what the command that they build needs where it runs."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from dockerfile import parse
from wire import ROOT

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("HUBAUDIT_")}
SWIFT_LIBRARY = re.compile(r"lib(swift|_?Foundation|dispatch|BlocksRuntime)")

STUBS = {
    "id": "echo 0",
    "dpkg-query": "exit 1",
    "apt-get": 'echo "apt-get $*" >> "$RECORD"',
    "swift": "echo 'Swift version 6.3.1'",
    "python3": 'echo "python3 $*" >> "$RECORD"; if [ "$2" = venv ]; then mkdir -p "$3/bin"; printf "#!/bin/sh\\n" > "$3/bin/pip"; chmod +x "$3/bin/pip"; fi',
}


class Machine:
    """A machine on which no package is installed: what .ci/install would do there is recorded."""

    def __init__(self, place: pathlib.Path) -> None:
        self.tree = place / "tree"
        shutil.copytree(ROOT / ".ci", self.tree / ".ci")
        (self.tree / "Sources" / "python").mkdir(parents=True)
        shutil.copy(ROOT / "Sources" / "python" / "pyproject.toml", self.tree / "Sources" / "python")
        self.record = place / "record"
        self.tools = place / "bin"
        self.tools.mkdir()
        for name, script in STUBS.items():
            (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.tools / name).chmod(0o755)

    def install(self, *purpose: str) -> subprocess.CompletedProcess:
        environment = {**ENVIRONMENT, "PATH": f"{self.tools}:{ENVIRONMENT['PATH']}", "RECORD": str(self.record)}
        return subprocess.run([self.tree / ".ci" / "install", *purpose], env=environment, capture_output=True, text=True, timeout=60)

    def packages(self, *purpose: str) -> set[str]:
        done = self.install(*purpose)
        assert done.returncode == 0, done.stderr
        (line,) = [line for line in self.record.read_text().splitlines() if line.startswith("apt-get install")]
        return {word for word in line.split()[2:] if not word.startswith("-")}


@pytest.fixture
def bare(tmp_path: pathlib.Path) -> Machine:
    return Machine(tmp_path)


def test_building_installs_no_python_and_no_go(bare: Machine) -> None:
    packages = bare.packages("build")
    assert "libprotobuf-c-dev" in packages and not [package for package in packages if re.match("python|golang|strace|mmdebstrap", package)]
    assert "python3" not in bare.record.read_text() and not (bare.tree / ".venv").exists()


@pytest.mark.parametrize("purpose", [("test",), ()])
def test_testing_installs_what_building_does_and_more(bare: Machine, tmp_path: pathlib.Path, purpose: tuple[str, ...]) -> None:
    (tmp_path / "other").mkdir()
    building = Machine(tmp_path / "other").packages("build")
    assert bare.packages(*purpose) > building | {"python3", "golang-go", "strace"}
    assert (bare.tree / ".venv" / "installed").exists()


def test_a_purpose_that_there_is_not_is_named(bare: Machine) -> None:
    done = bare.install("biuld")
    assert done.returncode == 1 and "biuld" in done.stderr and "build or test" in done.stderr and not bare.record.exists()


def test_the_image_is_built_with_the_packages_that_building_needs_elsewhere(bare: Machine) -> None:
    (builder,) = [stage for stage in parse(ROOT / "Docker" / "Dockerfile") if stage.name == "builder"]
    (installing,) = [instruction.value for instruction in builder.all("RUN") if "apt-get install" in instruction.value]
    words = re.search(r"apt-get install ([^&]*)", installing)[1].split()
    assert {word for word in words if not word.startswith("-")} == bare.packages("build")


@pytest.mark.parametrize(("target", "purpose"), [("build", "build"), ("run", "build"), ("fuzz", "test"), ("sanitize", "test"), ("mutants", "test")])
def test_a_target_installs_what_it_needs_and_not_more(target: str, purpose: str) -> None:
    planned = subprocess.run(["make", "-n", target], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"\.ci/install.*", planned) == [f".ci/install {purpose}"]


def test_what_make_builds_runs_where_no_swift_is_and_is_not_built_twice() -> None:
    done = subprocess.run(["make", "build"], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout
    # `make test` has built it with the tests.
    if "AUDIT_TEST_RUN" in os.environ:
        assert "Compiling" not in done.stdout and "Linking" not in done.stdout, done.stdout
    dynamic = subprocess.run(["readelf", "--dynamic", ROOT / ".build/release/hubaudit"], check=True, capture_output=True, text=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    assert "libc.so.6" in needed and not [library for library in needed if SWIFT_LIBRARY.match(library)], needed


def test_the_package_can_be_a_dependency(tmp_path: pathlib.Path) -> None:
    """SwiftPM refuses a dependency with unsafe flags. They are there for our own release build only."""
    dump = ["swift", "package", "dump-package", "--scratch-path", str(tmp_path)]
    for environment, is_there in ((ENVIRONMENT, False), ({**ENVIRONMENT, "HUBAUDIT_STATIC": "1"}, True)):
        package = subprocess.run(dump, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout
        assert json.loads(package)["name"] == "hubaudit" and ("unsafeFlags" in package) == is_there
