"""Disks that are full, and one that cannot keep what it took: real file systems with too little room under them."""

from __future__ import annotations

import pathlib
import random
import subprocess

import disks
import pytest
from calls import WRAP
from hubaudit._proto import frames_pb2
from load import Load
from wire import BINARY, Server

LOG_FAILED, STORAGE_FULL = frames_pb2.Error.CODE_LOG_FAILED, frames_pb2.Error.CODE_STORAGE_FULL
FLAGS = ("--segment-bytes", "524288")


def make_disk(kind: str, point: pathlib.Path, image: pathlib.Path) -> None:
    if kind == "tmpfs":
        disks.mount_memory(point, 24 << 20)
        return
    if (why := disks.why_no_image(kind)) is not None:
        pytest.skip(why)
    disks.Image(image, kind, 512 << 20).mount(point)


@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "xfs"])
def test_a_full_disk_refuses_appends_until_there_is_room(
    kind: str, mount_point: pathlib.Path, tmp_path: pathlib.Path, chance: random.Random
) -> None:
    make_disk(kind, mount_point, tmp_path / "image")
    data, ballast = mount_point / "log", mount_point / "ballast"
    load = Load(chance)
    for _ in range(3):
        with Server(data, *FLAGS, wrap=WRAP) as server:
            load.begin(server)
            load.wait_for_acknowledgements(100)
            # Little: how long it takes to use it up depends on how fast the disk syncs.
            disks.fill(ballast, leaving=256 << 10)
            refused = load.refusals(STORAGE_FULL)
            load.wait(lambda: load.refusals(STORAGE_FULL) > refused)
            load.servers.announce(None)
            load.servers.wait_until_idle(load.producers)
            with server.connect(hub="p0") as hub:
                # Larger than what a short append may still find room for.
                refusal = hub.append({"text": "x" * 900_000}).error
                assert refusal.code == STORAGE_FULL and refusal.retry, refusal
                assert str(data) in refusal.message and "free space on this disk" in refusal.message
                health = server.get("/readyz")
                assert health[0] == 503 and "free space on this disk" in health[1]
                read = hub.read_all()
                assert len(read) >= load.acknowledged
                load.ledger.note_read(read)
                ballast.unlink()
            load.servers.announce(server.port)
            load.wait_for_acknowledgements(100)
            assert server.get("/healthz") == server.get("/readyz") == (200, "ok\n")
            assert load.refusals(LOG_FAILED) == 0
            load.end(server)
    with Server(data, *FLAGS, wrap=WRAP) as server:
        load.finish(server)
        assert server.stop() == 0
    assert subprocess.run([BINARY, "inspect", str(data)], capture_output=True).returncode == 0


def test_records_that_no_checkpoint_can_cover_are_stored_and_answered_without_a_proof(mount_point: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The signed checkpoints have a disk of their own, and it is full."""
    disks.mount_memory(mount_point, 64 << 10)
    key, ballast = tmp_path / "key", mount_point / "ballast"
    subprocess.run([BINARY, "keygen", "log.example/hubs", "--out", key], check=True, capture_output=True)
    flags = (*FLAGS, "--signing-key", str(key), "--checkpoints", str(mount_point / "checkpoints"))
    with Server(tmp_path / "data", *flags, wrap=WRAP) as server, server.connect(hub="p0", producer="p") as hub:

        def append(number: int) -> frames_pb2.Appended:
            frame = hub.append_frame({"n": number}, number=number)
            frame.append.proven = True
            answer = hub.ask(frame)
            # Also what cannot be proven is stored: an error would make the hub send the next event under this one's number.
            assert (answer.appended.recorded, answer.appended.first_sequence) == (1, number - 1), answer
            return answer.appended

        def prove(sequence: int) -> frames_pb2.ServerFrame:
            frame = hub.request()
            frame.proof.inclusion = sequence
            return hub.ask(frame)

        assert len(append(1).proofs) == 1
        disks.fill(ballast, leaving=0)
        number = 2
        # The page that is there already takes some more.
        while append(number).proofs:
            number += 1
            assert number < 1000
        refusal = prove(number - 1).error
        assert refusal.code == STORAGE_FULL and refusal.retry and "free space" in refusal.message, refusal
        assert prove(0).proof.size < number
        assert hub.append({"n": number + 1}, number=number + 1).appended.recorded == 1
        ballast.unlink()
        assert prove(number - 1).proof.size == number + 1
        assert len(append(number + 2).proofs) == 1
        assert server.stop() == 0


def test_a_disk_that_fails_one_sync_and_says_yes_to_the_next_is_never_believed_again(
    mount_point: pathlib.Path, tmp_path: pathlib.Path, chance: random.Random
) -> None:
    """An ext4 image on a file system that is too small for it: a sync fails, the kernel calls the lost pages clean, the next sync says 0."""
    if (why := disks.why_no_image("ext4")) is not None:
        pytest.skip(why)
    below = tmp_path / "below"
    below.mkdir()
    disks.mount_memory(below, 64 << 20)
    try:
        # Without a journal, so that what fails is the sync of the file and not the file system.
        image = disks.Image(below / "image", "ext4", 256 << 20, "-b", "4096", "-O", "^has_journal")
        image.mount(mount_point)
        image.write_page_by_page()
        data = mount_point / "log"
        load = Load(chance)
        with Server(data, *FLAGS, wrap=WRAP) as server:
            load.begin(server)
            load.wait_for_acknowledgements(500)
            disks.fill(below / "ballast", leaving=1 << 20)
            load.wait(lambda: load.refusals(LOG_FAILED) > 0)
            # What it could not write it has forgotten: now the disk says that all is synced.
            disks.run("sync", "--data", max((data / "segments").glob("*.seg")))
            (below / "ballast").unlink()
            with server.connect(hub="p0") as hub:
                for _ in range(20):
                    assert hub.append({}).error.code == LOG_FAILED
                load.ledger.note_read(hub.read_all())
            health = server.get("/healthz")
            # Of a commit, or of a segment that was being begun.
            assert health[0] == 503 and ("(fdatasync of" in health[1] or "(fsync of" in health[1]) and ".seg" in health[1], health
            load.end(server)
        # Unmounted and mounted again: what was only in memory is gone.
        image.unmount()
        image.mount(mount_point)
        with Server(data, *FLAGS, wrap=WRAP) as server:
            load.begin(server)
            load.wait_for_acknowledgements(100)
            load.end(server)
        with Server(data, *FLAGS, wrap=WRAP) as server:
            load.finish(server)
    finally:
        disks.unmount_all(mount_point)
        disks.unmount_all(below)
