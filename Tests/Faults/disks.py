"""File systems of a test's own: in an image file behind a loop device, or in memory. Needs root."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pathlib
import shutil
import signal
import struct
import subprocess

CLONE_NEWNS = 0x00020000
# What `xfs_io -x -c shutdown` does, for ext4 too, without the time that starting it takes. Flags: XFS_FSOP_GOING_FLAGS_LOGFLUSH, _NOLOGFLUSH.
FS_IOC_SHUTDOWN = 0x8004587D
FLUSH_JOURNAL, FLUSH_NOTHING = 1, 2


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr.strip()}"


def enter_private_mounts() -> str | None:
    """Gives this process mounts of its own; says why where that cannot be."""
    if os.geteuid() != 0:
        return "mounting takes root"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return f"no private mounts: {os.strerror(ctypes.get_errno())}"
    try:
        run("mount", "--make-rprivate", "/")
    except AssertionError as error:
        return str(error)
    return None


def why_no_image(kind: str) -> str | None:
    """Why a file system of this kind cannot be made and mounted here."""
    for tool in (f"mkfs.{kind}", "losetup"):
        if shutil.which(tool) is None:
            return f"no {tool}; .ci/install installs it"
    if subprocess.run(["losetup", "--find"], capture_output=True).returncode != 0:
        return "no loop devices"
    if shutil.which("modprobe") is not None:
        subprocess.run(["modprobe", kind], capture_output=True)
    if kind not in pathlib.Path("/proc/filesystems").read_text().split():
        return f"this kernel has no {kind}"
    return None


def mounted_at(point: pathlib.Path) -> int:
    """How many file systems lie on one another there."""
    lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    return sum(line.split()[1] == str(point) for line in lines)


def unmount_all(point: pathlib.Path) -> None:
    for _ in range(mounted_at(point)):
        run("umount", "--lazy", point)


def mount_memory(point: pathlib.Path, size: int) -> None:
    """A file system in memory that takes `size` bytes and not one more."""
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", point)


def fill(path: pathlib.Path, leaving: int) -> None:
    """Takes all room of a disk but so many bytes, with one file."""
    with path.open("wb") as file:
        while True:
            room = os.statvfs(path.parent)
            try:
                return os.posix_fallocate(file.fileno(), 0, max(room.f_bavail * room.f_frsize - leaving, 1))
            except OSError as error:
                # A server that runs took some of it between the look and the call.
                if error.errno != errno.ENOSPC:
                    raise


class Image:
    """An ext4 or XFS file system in a file. It is mounted through a loop device, which goes with the mount."""

    def __init__(self, path: pathlib.Path, kind: str, size: int, *options: str) -> None:
        self.path = path
        self.kind = kind
        with path.open("wb") as file:
            file.truncate(size)
        run(f"mkfs.{kind}", "-q", *options, path)

    def mount(self, point: pathlib.Path) -> None:
        run("mount", "-t", self.kind, "-o", "loop", self.path, point)
        self.point = point

    def cut_power(self, process: subprocess.Popen, flushes_journal: bool) -> None:
        """Nothing reaches the image from here on: what was not synced is lost at the unmount. The process does not live to see it.

        It is stopped first. A sync that is under way when a file system is shut down may return 0 with nothing stored (seen with ext4 and
        XFS of Linux 6.18); no process hears of that when the power fails.
        """
        root = os.open(self.point, os.O_RDONLY)
        try:
            process.send_signal(signal.SIGSTOP)
            fcntl.ioctl(root, FS_IOC_SHUTDOWN, struct.pack("=I", FLUSH_JOURNAL if flushes_journal else FLUSH_NOTHING))
        finally:
            os.close(root)
        process.kill()
        process.wait()

    def write_page_by_page(self) -> None:
        """Each write to the image succeeds or fails as a whole. Otherwise a loop device calls a write a success that found room for its
        beginning only."""
        lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        device = next(line.split()[0] for line in lines if line.split()[1] == str(self.point))
        pathlib.Path("/sys/block", pathlib.Path(device).name, "queue/max_sectors_kb").write_text("4")

    def unmount(self) -> None:
        run("umount", self.point)
