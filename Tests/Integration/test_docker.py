"""The image, built and run as Docker/Dockerfile says, without an engine: each stage in a root of its own, every RUN as it stands there."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import socket
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
    """ENTRYPOINT, CMD and ENV as they stand, in a network of their own, on a file system that is read-only but for the volumes."""

    def __init__(self, root: Root, volumes: dict[str, pathlib.Path], **environment: str) -> None:
        self.root = root
        self.user = IMAGE.last("USER").value
        self.environment = {"PATH": PATH, **IMAGE.environment, **environment}
        arguments = IMAGE.last("ENTRYPOINT").words + IMAGE.last("CMD").words
        self.process = subprocess.Popen(
            root.command(
                arguments, user=self.user, environment=self.environment, binds=volumes, read_only=True, own_network=True,
            ),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )

    def run(self, arguments: list[str], text: str = "") -> subprocess.CompletedProcess:
        """What `docker exec` does, but for the volumes: those of the container are not seen."""
        enter = ["nsenter", "--target", str(self.process.pid), "--net"]
        command = self.root.command(arguments, user=self.user, environment=self.environment)
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

    def listens_on(self) -> set[tuple[str, int]]:
        """Addresses and ports of TCP on which something listens in the container's network."""
        listed = pathlib.Path(f"/proc/{self.process.pid}/net/tcp").read_text().splitlines()[1:]
        assert not [line for line in pathlib.Path(f"/proc/{self.process.pid}/net/tcp6").read_text().splitlines()[1:] if line.split()[3] == "0A"]
        sockets = [line.split()[1].split(":") for line in listed if line.split()[3] == "0A"]
        return {(socket.inet_ntoa(int(address, 16).to_bytes(4, "little")), int(port, 16)) for address, port in sockets}

    def stop(self) -> int:
        self.process.send_signal(getattr(signal, IMAGE.last("STOPSIGNAL").value))
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()

    def output(self) -> list[dict]:
        """What the server said until it ended."""
        return [json.loads(line) for line in self.process.stdout]


@pytest.fixture
def volumes(image, tmp_path) -> dict[str, pathlib.Path]:
    """New named volumes: each takes owner and mode of the directory that it covers."""
    made = {}
    for number, target in enumerate(IMAGE.last("VOLUME").words):
        covered = image.path(target).stat()
        made[target] = tmp_path / f"volume-{number}"
        made[target].mkdir(mode=covered.st_mode & 0o777)
        os.chown(made[target], covered.st_uid, covered.st_gid)
    return made


@pytest.fixture
def start(image, volumes):
    started: list[Container] = []

    def start(**environment: str) -> Container:
        started.append(Container(image, volumes, **environment))
        return started[-1]

    yield start
    for container in started:
        if container.process.poll() is None:
            container.process.kill()
            container.process.wait()


@pytest.fixture
def container(start) -> Container:
    return start()


def test_the_image_runs_without_root_and_takes_signals():
    assert IMAGE.last("USER").value == "10001:10001"
    assert IMAGE.last("ENTRYPOINT").is_exec_form and IMAGE.last("CMD").is_exec_form
    assert IMAGE.last("STOPSIGNAL").value == "SIGTERM"
    assert 'CMD ["hubaudit", "health"]' in IMAGE.last("HEALTHCHECK").value
    assert IMAGE.last("EXPOSE").words == ["7411", "7412"]
    assert IMAGE.base == "debian:bookworm-slim" and STAGES[0].base.endswith("-bookworm"), "one Debian, or the libraries differ"


def test_the_key_of_the_image_lies_in_a_volume_apart_from_the_log():
    environment = IMAGE.environment
    assert [environment["HUBAUDIT_DATA"], os.path.dirname(environment["HUBAUDIT_SIGNING_KEY"])] == IMAGE.last("VOLUME").words
    # Flags would win over the variables that a container is given.
    assert IMAGE.last("CMD").words == ["serve"]


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


def test_a_container_listens_on_its_loopback_until_it_is_told_otherwise(container):
    container.wait_until_healthy()
    assert container.listens_on() == {("127.0.0.1", 7411), ("127.0.0.1", 7412)}


def test_a_container_of_compose_listens_for_what_is_published(start):
    container = start(**compose_environment())
    container.wait_until_healthy()
    assert container.listens_on() == {("0.0.0.0", int(port)) for port in IMAGE.last("EXPOSE").words}


def test_a_container_signs_with_a_key_that_it_makes_once(start, volumes):
    log, keys = (volumes[target] for target in IMAGE.last("VOLUME").words)
    container = start(HUBAUDIT_ORIGIN="log.example/image")
    container.wait_until_healthy()
    assert container.run(["hubaudit", "append", "--hub", "demo", "--kind", "greeting"]).returncode == 0
    assert container.stop() == 0
    (line,) = [line for line in container.output() if line["message"].startswith("made the key")]
    assert line["verifier_key"].startswith("log.example/image+")
    (key,) = keys.iterdir()
    assert key.stat().st_mode & 0o777 == 0o600 and key.stat().st_uid == 10001
    assert not [path for path in log.rglob("*") if path.is_file() and key.read_bytes().strip() in path.read_bytes()]
    again = start()
    again.wait_until_healthy()
    vkey = again.root.path("/vkey")
    vkey.write_text(line["verifier_key"] + "\n")
    verified = again.run(["hubaudit", "verify", "--key", "/vkey"])
    vkey.unlink()
    assert verified.returncode == 0 and verified.stdout.startswith("verified"), verified
    assert again.stop() == 0
    assert not [line for line in again.output() if "made the key" in line["message"]]


def test_a_container_whose_key_is_gone_does_not_start_and_names_it(start, volumes):
    container = start()
    container.wait_until_healthy()
    assert container.stop() == 0
    _, keys = (volumes[target] for target in IMAGE.last("VOLUME").words)
    (key,) = keys.iterdir()
    key.unlink()
    again = start()
    output, _ = again.process.communicate(timeout=60)
    assert again.process.returncode == 64 and IMAGE.environment["HUBAUDIT_SIGNING_KEY"] in output and "backup" in output


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


def compose_environment() -> dict[str, str]:
    """As compose gives it where the variables that it asks for are not set."""
    given = compose()["services"]["hubaudit"]["environment"]
    assert all(isinstance(value, str) for value in given.values()), "YAML's own booleans and numbers are no text of the user's"
    return {name: re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value) for name, value in given.items()}


def test_compose_keeps_log_and_key_in_a_volume_each_and_gives_the_server_time_to_stop():
    service = compose()["services"]["hubaudit"]
    assert (ROOT / "Docker" / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DOCKERFILE)
    mounted = dict(volume.split(":") for volume in service["volumes"])
    assert mounted.keys() == compose()["volumes"].keys() and list(mounted.values()) == IMAGE.last("VOLUME").words
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
    assert int(service["stop_grace_period"].removesuffix("s")) > 10


def test_compose_publishes_on_loopback_what_the_image_exposes():
    ports = [port.rsplit(":", 2) for port in compose()["services"]["hubaudit"]["ports"]]
    assert {inside for _, _, inside in ports} == set(IMAGE.last("EXPOSE").words)
    assert {address for address, _, _ in ports} == {"127.0.0.1"}
