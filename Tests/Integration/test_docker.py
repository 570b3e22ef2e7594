"""The image, built and run as Docker/Dockerfile says, without an engine: each stage in a root of its own, every RUN as it stands there."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
import yaml
from container import Root, debian, machine, why_not
from dockerfile import Stage, ignored, parse
from wire import ROOT

DOCKERFILE = ROOT / "Docker" / "Dockerfile"
# Kept from one run to the next: the builder's cache mount, and the base system.
CACHE = ROOT / ".build-docker"

STAGES = parse(DOCKERFILE)
IMAGE = STAGES[-1]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def context_files() -> list[str]:
    """The files of the build context: those of the tree that .dockerignore does not leave out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    return [file for file in listed if (ROOT / file).is_file() and not ignored(file, patterns)]


def build(stage: Stage, root: Root, others: dict[str, Root]) -> None:
    """Carries out the instructions that change files."""
    workdir = "/"
    environment = {**os.environ} if root.is_overlay else {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"}
    for instruction in stage.instructions:
        if instruction.name == "WORKDIR":
            workdir = instruction.value
            root.path(workdir).mkdir(parents=True, exist_ok=True)
        elif instruction.name == "RUN":
            binds = {}
            if mount := instruction.flags.get("mount"):
                options = dict(part.split("=") for part in mount.split(","))
                assert options["type"] == "cache"
                (CACHE / "build").mkdir(parents=True, exist_ok=True)
                binds[options["target"]] = CACHE / "build"
            command = root.command(["/bin/sh", "-c", instruction.value], workdir=workdir, environment=environment, binds=binds)
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert result.returncode == 0, f"RUN {instruction.value}\n{result.stdout[-4000:]}"
        elif instruction.name == "COPY":
            source, target = instruction.words
            if origin := instruction.flags.get("from"):
                shutil.copy2(others[origin].path(source), root.path(target))
            else:
                assert (source, target) == (".", ".")
                for file in context_files():
                    destination = root.path(workdir) / file
                    destination.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / file, destination)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Root:
    if reason := why_not():
        pytest.skip(reason)
    roots: dict[str, Root] = {}
    work = tmp_path_factory.mktemp("image")
    for stage in STAGES:
        if stage.base.startswith("swift:"):
            root = machine(work / "builder")
        else:
            suite = stage.base.removeprefix("debian:").removesuffix("-slim")
            root = debian(work / "image", suite, CACHE / f"{suite}.tar")
        build(stage, root, roots)
        roots[stage.name or "image"] = root
    return roots["image"]


class Container:
    """ENTRYPOINT and CMD as they stand, in a network of their own, on a file system that is read-only but for the volume."""

    def __init__(self, root: Root, volume: pathlib.Path) -> None:
        self.root = root
        self.user = IMAGE.last("USER").value
        arguments = IMAGE.last("ENTRYPOINT").words + IMAGE.last("CMD").words
        self.process = subprocess.Popen(
            root.command(
                arguments, user=self.user, environment={"PATH": PATH}, binds={IMAGE.last("VOLUME").value: volume}, read_only=True,
                own_network=True,
            ),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )

    def run(self, arguments: list[str], text: str = "") -> subprocess.CompletedProcess:
        """What `docker exec` does."""
        enter = ["nsenter", "--target", str(self.process.pid), "--net"]
        command = self.root.command(arguments, user=self.user, environment={"PATH": PATH})
        return subprocess.run([*enter, *command], input=text, capture_output=True, text=True, timeout=60)

    def healthcheck(self) -> subprocess.CompletedProcess:
        _, _, command = IMAGE.last("HEALTHCHECK").value.partition("CMD ")
        return self.run(json.loads(command))

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + 60
        while (check := self.healthcheck()).returncode != 0:
            assert self.process.poll() is None, f"the server has ended: {self.process.stdout.read()}"
            assert time.monotonic() < deadline, f"not healthy in time: {check.stderr}"
            time.sleep(0.1)

    def stop(self) -> int:
        self.process.send_signal(getattr(signal, IMAGE.last("STOPSIGNAL").value))
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()


@pytest.fixture
def container(image, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    # A new named volume takes the owner of the directory that it covers.
    owner = image.path(IMAGE.last("VOLUME").value).stat()
    os.chown(volume, owner.st_uid, owner.st_gid)
    container = Container(image, volume)
    yield container
    if container.process.poll() is None:
        container.process.kill()
        container.process.wait()


def test_the_image_runs_without_root_and_takes_signals():
    assert IMAGE.last("USER").value == "10001:10001"
    assert IMAGE.last("ENTRYPOINT").is_exec_form and IMAGE.last("CMD").is_exec_form
    assert IMAGE.last("STOPSIGNAL").value == "SIGTERM"
    assert 'CMD ["hubaudit", "health"]' in IMAGE.last("HEALTHCHECK").value
    assert IMAGE.last("EXPOSE").words == ["7411", "7412"]
    assert IMAGE.base == "debian:bookworm-slim" and STAGES[0].base.endswith("-bookworm"), "one Debian, or the libraries differ"


def test_the_build_context_holds_what_the_build_reads_and_not_more():
    files = context_files()
    assert "Package.swift" in files
    for needed in ("Sources/CAuditSchema/generated/record.pb-c.c", "Sources/hubaudit/", "Tests/AuditLogTests/"):
        assert any(file.startswith(needed) for file in files), needed
    assert not [file for file in files if file.startswith((".", "Docker/", "Sources/python/", "Tests/Integration/"))]


def test_the_container_serves_is_healthy_and_stops_in_good_order(container):
    container.wait_until_healthy()
    appended = container.run(["hubaudit", "append", "--hub", "demo", "--json", "-"], text='{"kind": "greeting", "who": "me"}\n')
    assert appended.returncode == 0, appended.stderr
    read = container.run(["hubaudit", "read", "-o", "json"])
    assert [json.loads(line)["kind"] for line in read.stdout.splitlines()] == ["greeting"], read.stderr
    assert container.stop() == 0


def test_a_container_whose_server_is_gone_is_not_healthy(image, container):
    container.wait_until_healthy()
    assert container.stop() == 0
    check = subprocess.run(image.command(["hubaudit", "health"], user="10001:10001", environment={"PATH": PATH}, own_network=True))
    assert check.returncode != 0


def test_the_image_holds_no_compiler_and_nothing_of_the_source(image):
    assert not image.path("/src").exists()
    assert not list(image.path("/usr/bin").glob("*gcc*")) and not list(image.path("/usr").rglob("libswift*"))
    assert image.path("/usr/local/bin/hubaudit").stat().st_mode & 0o777 == 0o755


def compose() -> dict:
    return yaml.safe_load((ROOT / "Docker" / "compose.yaml").read_text())


def test_compose_keeps_the_log_in_a_volume_and_gives_the_server_time_to_stop():
    service = compose()["services"]["hubaudit"]
    assert (ROOT / "Docker" / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DOCKERFILE)
    volume, target = service["volumes"][0].split(":")
    assert volume in compose()["volumes"] and target == IMAGE.last("VOLUME").value
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
    assert int(service["stop_grace_period"].removesuffix("s")) > 10


def test_compose_publishes_on_loopback_what_the_image_exposes():
    ports = [port.rsplit(":", 2) for port in compose()["services"]["hubaudit"]["ports"]]
    assert {inside for _, _, inside in ports} == set(IMAGE.last("EXPOSE").words)
    assert {address for address, _, _ in ports} == {"127.0.0.1"}
