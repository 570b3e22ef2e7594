"""A record's body is erased while hubs append and subscribers listen: gone from the disk, seen as a hole, and every proof holds."""

from __future__ import annotations

import json
import os
import pathlib
import random
import subprocess

import pytest
from erasing import Appender, Follower, erase, event, files_with, keygen, prove, run, secret, verify_proof
from wire import Server

HUBS = ["a", "b", "c"]
ERASURES = 12


@pytest.fixture
def chance() -> random.Random:
    """Random numbers of this test; HUBAUDIT_SEED repeats a run."""
    seed = int(os.environ.get("HUBAUDIT_SEED", random.randrange(1 << 32)))
    print(f"seed {seed} (HUBAUDIT_SEED)")
    return random.Random(seed)


@pytest.fixture
def key(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "key"


@pytest.fixture
def vkey(key: pathlib.Path) -> str:
    return keygen(key)


def header(record: object) -> bytes:
    return record.header.SerializeToString(deterministic=True)


def test_records_are_erased_under_load(tmp_path: pathlib.Path, key: pathlib.Path, vkey: str, chance: random.Random) -> None:
    data = tmp_path / "log"
    with Server(data, "--signing-key", str(key), "--segment-bytes", "65536") as server:
        appenders = [Appender(server, hub) for hub in HUBS]
        before = [Follower(server) for _ in range(3)]
        for thread in [*appenders, *before]:
            thread.start()
        erased: dict[int, bytes] = {}
        proofs: dict[int, bytes] = {}
        records: dict[int, int] = {}
        for number in range(ERASURES):
            seen = before[0].wait(150 * (number + 1))
            # Old records and the newest, in sealed segments and in the one that is written to.
            appender = chance.choice(appenders)
            index = len(appender.sequences) - 1 if number % 3 == 0 else chance.randrange(len(appender.sequences))
            sequence = appender.sequences[index]
            if sequence in erased:
                continue
            proofs[sequence] = prove(server, sequence, vkey)
            done = erase(server, sequence, key)
            assert done.returncode == 0, done.stderr
            records[sequence] = int(done.stdout)
            erased[sequence] = secret(appender.hub, index)
            assert len(seen) >= 150
        count = len(before[0].records)
        after = Follower(server)
        after.start()
        pushed = after.wait(count)
        for appender in appenders:
            appender.is_over = True
        for appender in appenders:
            appender.join(60)
            assert not appender.is_alive() and appender.failure is None, appender.failure

        # Gone from the disk, while the server runs; only what was ordered is.
        for body in erased.values():
            assert files_with(data, body) == []
        kept = next(s for s in appenders[0].sequences if s not in erased)
        assert files_with(data, secret(HUBS[0], appenders[0].sequences.index(kept))) != []

        # Reads and pushes show a hole, whose header is what it was.
        with server.connect(client="reader") as connection:
            found = connection.read_all()
        told = before[0].wait(len(found))
        for records_seen in (found, after.wait(len(found))):
            for old, new in zip(told, records_seen, strict=True):
                assert header(old) == header(new)
                is_hole = new.header.sequence in erased
                assert new.HasField("body") != is_hole
                assert new.HasField("erased") == is_hole and not new.erased.strip(b"\0")
        for follower in [*before, after]:
            for sequence, place in records.items():
                statement = json.loads(follower.records[place].body.custom.json)
                assert (statement["erased_sequence"], statement["by"], statement["reason"]) == (sequence, "auditor", "asked for")
                assert follower.records[place].header.hub == "hubaudit"
        shown = run("read", "-s", server.address, "--from", min(erased), "--count", 1, "-o", "json")
        assert json.loads(shown.stdout)["record"] is None, shown

        # Proofs of before hold, also against the checkpoints of now; and new ones can be had.
        for sequence, proof in proofs.items():
            verify_proof(proof, sequence, header(found[sequence]), vkey)
            verify_proof(prove(server, sequence, vkey), sequence, header(found[sequence]), vkey)
            kept_proof = tmp_path / f"{sequence}.tlog-proof"
            kept_proof.write_bytes(proof)
            for where in (("-s", server.address), ("--data", data)):
                verified = run("verify", *where, "--key", vkey, "--since", kept_proof)
                assert verified.returncode == 0, verified.stderr
                for hole in erased:
                    assert f"erased: record {hole} was erased by auditor at " in verified.stdout
        assert server.stop() == 0
    for body in erased.values():
        assert files_with(data, body) == []
    offline = run("verify", "--data", data, "--key", vkey)
    assert offline.returncode == 0, offline.stderr
    assert offline.stdout.count("erased: ") == len(erased)


def test_who_may_not_erase_and_what_cannot_be(tmp_path: pathlib.Path, key: pathlib.Path, vkey: str) -> None:
    other = tmp_path / "other"
    keygen(other)
    data = tmp_path / "log"
    with Server(data, "--signing-key", str(key)) as server:
        with server.connect(hub="a") as connection:
            connection.append(event("a", 0), event("a", 1))
        for wrong in (erase(server, 0, other), erase(server, 7, other)):
            assert wrong.returncode == 5 and "signed with one of the log's own keys" in wrong.stderr, wrong
        assert files_with(data, secret("a", 0)) != []
        assert erase(server, 0, key).returncode == 0
        again = erase(server, 0, key)
        assert again.returncode == 1 and "was erased before" in again.stderr, again
        missing = erase(server, 7, key)
        assert missing.returncode == 1 and "there is no record 7" in missing.stderr, missing
        with server.connect(client="reader") as connection:
            assert [record.HasField("body") for record in connection.read_all()] == [False, True, True]
        assert files_with(data, secret("a", 0)) == [] and files_with(data, secret("a", 1)) != []
    with Server(tmp_path / "unsigned") as server:
        with server.connect(hub="a") as connection:
            connection.append(event("a", 0))
        refused = erase(server, 0, key)
        assert refused.returncode in (1, 5) and "signing-key" in refused.stderr, refused


def test_a_torn_end_with_the_same_event_is_overwritten_too(tmp_path: pathlib.Path, key: pathlib.Path, vkey: str) -> None:
    """A hub sends again what was not answered: what recovery had cut and kept may hold that event, or the beginning of it."""
    data = tmp_path / "log"
    # Without a key no checkpoint covers the record: it is as if the power had failed before its sync.
    with Server(data) as server:
        with server.connect(hub="a") as connection:
            connection.append(event("a", 0))
            connection.append(event("a", 1))
        server.kill()
    segment = next((data / "segments").iterdir())
    content = segment.read_bytes()
    end = content.index(secret("a", 1)) + len(secret("a", 1)) - 3
    segment.write_bytes(content[:end])
    half = secret("a", 1)[:-3]
    with Server(data, "--signing-key", str(key)) as server:
        assert files_with(data / "torn", half) != []
        with server.connect(hub="a") as connection:
            again = connection.append(event("a", 1)).appended.first_sequence
            later = connection.append(event("a", 2)).appended.first_sequence
        sizes = {path.name: path.stat().st_size for path in (data / "torn").iterdir()}
        assert erase(server, again, key).returncode == 0
        assert files_with(data, half) == []
        assert {path.name: path.stat().st_size for path in (data / "torn").iterdir()} == sizes
        assert files_with(data, secret("a", 2)) != [] and later == again + 1
    assert run("verify", "--data", data, "--key", vkey).returncode == 0
