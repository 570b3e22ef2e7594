"""What an image is built and run with where no engine is: a root directory, and namespaces to run commands in it. Needs root."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
import shutil
import subprocess


@dataclasses.dataclass
class Root:
    """A root file system: a directory, or what is changed (`upper`) on top of this machine's own."""

    directory: pathlib.Path
    is_overlay: bool = False

    def path(self, absolute: str) -> pathlib.Path:
        """Where a file that was made in this root is found from outside."""
        return (self.directory / "upper" if self.is_overlay else self.directory) / absolute.lstrip("/")

    def command(
        self, arguments: list[str], *, user: str = "0:0", workdir: str = "/", environment: dict[str, str] | None = None,
        binds: dict[str, pathlib.Path] | None = None, read_only: bool = False, own_network: bool = False,
    ) -> list[str]:
        """The command that becomes `arguments` inside: the same process, so that it gets the signals that are sent."""
        top = self.directory / "top"
        script = []
        if self.is_overlay:
            options = f"lowerdir=/,upperdir={self.directory}/upper,workdir={self.directory}/work"
            script.append(f"mount -t overlay overlay -o {shlex.quote(options)} {top}")
        else:
            top = self.directory
            script.append(f"mount --bind {top} {top}")
        if read_only:
            script.append(f"mount -o remount,bind,ro {top}")
        script += [f"mount -t proc proc {top}/proc", f"mount --rbind /dev {top}/dev", f"mount -t tmpfs tmpfs {top}/tmp"]
        for file in ("/etc/resolv.conf", "/etc/hosts"):
            if not self.is_overlay and not read_only and pathlib.Path(file).exists():
                script += [f"touch {top}{file}", f"mount --bind {file} {top}{file}"]
        for target, source in (binds or {}).items():
            script.append(f"mkdir -p {top}{target} && mount --bind {source} {top}{target}" if not read_only
                          else f"mount --bind {source} {top}{target}")
        if own_network:
            script.append("ip link set lo up")
        inner = f"cd {shlex.quote(workdir)} && exec {shlex.join(arguments)}"
        variables = " ".join(f"{key}={shlex.quote(value)}" for key, value in (environment or {}).items())
        script.append(f"exec env {variables} chroot --userspec={user} --groups= {top} /bin/sh -c {shlex.quote(inner)}")
        unshare = ["unshare", "--mount", *(["--net"] if own_network else [])]
        return [*unshare, "sh", "-ec", "\n".join(script)]


def machine(directory: pathlib.Path) -> Root:
    """This machine itself; what is changed goes to `directory`."""
    for part in ("upper", "work", "top"):
        (directory / part).mkdir(parents=True)
    return Root(directory, is_overlay=True)


def debian(directory: pathlib.Path, suite: str, archive: pathlib.Path) -> Root:
    """A Debian with nothing but the essential packages, as debian:*-slim is. `archive` keeps it for the next time."""
    if not archive.exists():
        archive.parent.mkdir(exist_ok=True)
        partial = archive.with_suffix(".partial.tar")
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", suite, partial], check=True,
            env={key: value for key, value in os.environ.items() if key != "TMPDIR"},
        )
        partial.rename(archive)
    directory.mkdir(parents=True)
    subprocess.run(["tar", "-C", directory, "--numeric-owner", "-xf", archive], check=True)
    return Root(directory)


def why_not() -> str | None:
    """What this machine lacks to do all that."""
    if os.geteuid() != 0:
        return "needs root for namespaces"
    for tool in ("unshare", "mmdebstrap", "ip", "nsenter", "chroot"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    if subprocess.run(["unshare", "--mount", "--net", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode != 0:
        return "may not make namespaces here"
    return None
