"""A client that verifies: checkpoints, receipts, and what it does when the log is not the one that it has seen."""

import asyncio
import dataclasses
import json
import logging
from pathlib import Path
import shutil
import subprocess

import hubaudit
from hubaudit import errors, evidence
from hubaudit.ag2 import HubAuditLog
from hubaudit.evidence import leaf_hash
import naive_tree
from proxy import Proxy
import pytest
from server import BINARY, Server, SigningServer, keygen

ORIGIN = "log.example/hubs"


def numbered(count: int) -> list[dict]:
    return [{"kind": "n", "n": n} for n in range(count)]


async def headers(client: hubaudit.Client) -> list[bytes]:
    return [record.header_bytes async for record in client.read()]


async def test_checkpoints_cover_what_was_asked_for(signing: SigningServer) -> None:
    async with await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey) as client:
        empty = await client.checkpoint()
        assert (empty.origin, empty.size, empty.root) == (ORIGIN, 0, evidence.EMPTY_ROOT)
        await client.append(numbered(300))
        newest = await client.checkpoint(300)
        leaves = [leaf_hash(header) for header in await headers(client)]
        assert (newest.size, newest.root) == (300, naive_tree.root(leaves))
        assert client.verified_checkpoint == newest == await client.checkpoint()
        newest.verify(signing.vkey)
        for old in (0, 1, 255, 256, 299, 300):
            hashes = await client.prove_consistency(old, 300)
            assert list(hashes) == (naive_tree.proof(old, leaves) if old else [])
            evidence.verify_consistency(old, naive_tree.root(leaves[:old]), 300, newest.root, hashes)
        with pytest.raises(errors.InvalidRequest, match="has 300 records"):
            await client.checkpoint(301)
        with pytest.raises(errors.InvalidRequest, match="has 300 records"):
            await client.prove(300)


async def test_a_receipt_can_be_had_for_every_record(signing: SigningServer, tmp_path: Path) -> None:
    async with await hubaudit.connect(signing.address, hub="lab") as client:
        await client.append(numbered(70))
        leaves = [leaf_hash(header) for header in await headers(client)]
        for sequence in range(70):
            receipt = await client.prove(sequence)
            assert (receipt.sequence, leaf_hash(receipt.header)) == (sequence, leaves[sequence])
            assert list(receipt.hashes) == naive_tree.path(sequence, leaves)
            assert receipt.checkpoint.root == naive_tree.root(leaves)
            assert client.verified_checkpoint is None
        signing.stop()
        # Nothing but the file and the key is needed.
        file = tmp_path / "69.tlog-proof"
        file.write_bytes(receipt.tlog_proof())
        kept = hubaudit.Receipt.parse(file.read_bytes())
        kept.verify(signing.vkey)
        with pytest.raises(errors.EvidenceError, match="signed by"):
            kept.verify(keygen(ORIGIN, tmp_path / "other"))


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True)


async def test_receipts_of_command_and_package_are_the_same_file_and_need_nothing_but_the_key(signing: SigningServer, tmp_path: Path) -> None:
    async with await hubaudit.connect(signing.address, hub="lab") as client:
        await client.append(numbered(70))
        await client.checkpoint(70)
        receipt = await client.prove(17)
        proved = await asyncio.to_thread(command, "prove", "17", "-s", signing.address, "--key", signing.vkey, "--out", tmp_path / "17.tlog-proof")
        assert proved.returncode == 0, proved.stderr
        line = await asyncio.to_thread(command, "read", "-s", signing.address, "--from", "17", "--count", "1", "-o", "json")
    signing.stop()
    file = (tmp_path / "17.tlog-proof").read_bytes()
    assert file == receipt.tlog_proof()
    hubaudit.Receipt.parse(file).verify(signing.vkey)
    good = command("verify", tmp_path / "17.tlog-proof", "--key", signing.vkey)
    assert good.returncode == 0 and good.stdout.startswith("verified: record 17 "), good
    # The line that was printed is tied to the receipt by the hash of the record's body.
    assert json.loads(line.stdout)["body_sha256"] in good.stdout

    other = keygen(ORIGIN, tmp_path / "other")
    elsewhere = keygen("other.example/log", tmp_path / "elsewhere")
    spoilt = {
        "another key": (file, other),
        "another log": (file, elsewhere),
        "another record": (file.replace(b"index 17\n", b"index 18\n"), signing.vkey),
        "another header": (dataclasses.replace(receipt, header=receipt.header[:-1] + b"x").tlog_proof(), signing.vkey),
        "another hash": (dataclasses.replace(receipt, hashes=receipt.hashes[::-1]).tlog_proof(), signing.vkey),
        "no header": (receipt.tlog_proof(with_header=False), signing.vkey),
        "no receipt": (receipt.checkpoint.note, signing.vkey),
    }
    for name, (content, key) in spoilt.items():
        assert content != file or key != signing.vkey, name
        (tmp_path / "spoilt").write_bytes(content)
        bad = command("verify", tmp_path / "spoilt", "--key", key)
        assert bad.returncode == 4 and "NOT VERIFIED" in bad.stderr and not bad.stdout, (name, bad)
    unchecked = command("verify", tmp_path / "17.tlog-proof")
    assert unchecked.returncode == 64 and "--key" in unchecked.stderr


async def test_a_receipt_may_be_of_an_older_checkpoint_than_was_seen(signing: SigningServer, tmp_path: Path) -> None:
    async with await hubaudit.connect(signing.address, hub="lab") as client:
        await client.append(numbered(20))
        await client.checkpoint(20)
    assert signing.stop() == 0
    # Witnesses that cannot be reached: what has no quorum of theirs is in no receipt that an older checkpoint can be had for.
    policy, witness = tmp_path / "policy", subprocess.run(
        [BINARY, "keygen", "w", "--witness", "--out", str(tmp_path / "w")], check=True, capture_output=True, text=True
    ).stdout.strip()
    policy.write_text(f"witness w {witness} http://127.0.0.1:1\nquorum w\n")
    signing.flags += ("--witnesses", str(policy))
    signing.start()
    async with await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey) as client:
        await client.append({"n": 20}, proven=True)
        assert client.verified_checkpoint.size == 21
        assert (await client.prove(0)).checkpoint.size == 20
        assert (await client.prove(20)).checkpoint.size == 21
        assert client.verified_checkpoint.size == 21


async def test_a_proven_append_returns_receipts(signing: SigningServer) -> None:
    for options in ({}, {"verifier_key": signing.vkey}):
        async with await hubaudit.connect(signing.address, hub="lab", **options) as client:
            begin = client.welcome.next_sequence
            ignored = hubaudit.events.envelope_posted("e", "c", "s")
            # In three parts: no more than 256 events are proven in one answer.
            items = [ignored if n % 100 == 50 else {"n": n} for n in range(600)]
            answer = await client.append(items, proven=True)
            assert answer.sequences == tuple(None if receipt is None else receipt.sequence for receipt in answer.receipts)
            assert (answer.recorded, answer.ignored, answer.first_sequence) == (594, 6, begin)
            stored = {record.sequence: record async for record in client.read(start=begin)}
            for number, receipt in enumerate(answer.receipts):
                if receipt is None:
                    assert number % 100 == 50
                    continue
                receipt.verify(signing.vkey)
                assert receipt.header == stored[receipt.sequence].header_bytes
                assert stored[receipt.sequence].record == {"n": number}
            assert (await client.append([], proven=True)).receipts == ()
            assert (await client.append([ignored], proven=True)).receipts == (None,)
            assert (await client.append({"n": 0})).receipts == ()


async def test_proven_appends_are_stored_once_across_cut_connections(signing: SigningServer) -> None:
    async with Proxy(signing.port) as proxy:
        async with await hubaudit.connect(proxy.address, hub="lab", deadline=60, verifier_key=signing.vkey) as client:
            answers = []
            for base in range(0, 300, 30):
                batch = asyncio.gather(*(client.append([{"n": base + k}, {"m": base + k}], proven=True) for k in range(30)))
                await asyncio.sleep(0)
                proxy.cut()
                answers += await batch
            records = [record async for record in client.read()]
        assert proxy.cuts >= 10
    receipts = [receipt for answer in answers for receipt in answer.receipts]
    assert sorted(receipt.sequence for receipt in receipts) == list(range(600)) == [record.sequence for record in records]
    for receipt in receipts:
        receipt.verify(signing.vkey)
        assert receipt.header == records[receipt.sequence].header_bytes


async def test_a_log_that_signs_nothing_is_told_apart(server: Server, tmp_path: Path) -> None:
    vkey = keygen(ORIGIN, tmp_path / "key")
    with pytest.raises(errors.InvalidRequest, match="signs no checkpoints"):
        await hubaudit.connect(server.address, verifier_key=vkey)
    async with await hubaudit.connect(server.address, hub="lab") as client:
        for question in (client.checkpoint(), client.prove(0), client.append(numbered(1), proven=True)):
            with pytest.raises(errors.InvalidRequest):
                await question
        # It was refused before it was stored, and its number goes to the next one.
        assert (await client.append(numbered(1))).sequences == (0,)


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="verifier key"):
        hubaudit.Client(verifier_key="example.com/log")
    with pytest.raises(ValueError, match="pass verifier_key"):
        hubaudit.Client(checkpoint_file=tmp_path / "checkpoint")
    (tmp_path / "checkpoint").write_bytes(b"nothing\n")
    with pytest.raises(errors.EvidenceError, match=f"checkpoint file {tmp_path}/checkpoint holds no checkpoint"):
        hubaudit.Client(checkpoint_file=tmp_path / "checkpoint", verifier_key=keygen(ORIGIN, tmp_path / "key"))


# A client that remembers


async def test_a_client_sees_the_log_grow_without_asking(signing: SigningServer, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    async with await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey, checkpoint_file=file) as client:
        while client.verified_checkpoint is None or client.verified_checkpoint.size < 50:
            await client.append({"n": 1})
        assert (await client.checkpoint(50)).size >= 50
    kept = hubaudit.Checkpoint.parse(file.read_bytes())
    assert kept.size >= 50 and kept == client.verified_checkpoint
    kept.verify(signing.vkey)


async def test_a_subscriber_sees_the_log_grow_too(signing: SigningServer) -> None:
    async with (
        await hubaudit.connect(signing.address, hub="lab") as writer,
        await hubaudit.connect(signing.address, verifier_key=signing.vkey) as reader,
    ):
        await writer.append(numbered(10))
        await writer.checkpoint(10)
        tail = reader.tail()
        assert [(await anext(tail)).sequence for _ in range(10)] == list(range(10))
        waiting = asyncio.create_task(anext(tail))
        while reader.verified_checkpoint.size < 10:
            await asyncio.sleep(0)
            await reader.ping()
        await writer.append(numbered(1))
        assert (await waiting).sequence == 10


async def test_restarts_and_cut_connections_of_an_honest_log_raise_nothing(signing: SigningServer, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    async with Proxy(signing.port) as proxy:
        options = {"hub": "lab", "verifier_key": signing.vkey, "checkpoint_file": file, "deadline": 60}
        for round in range(3):
            async with await hubaudit.connect(proxy.address, **options) as client:
                for number in range(6):
                    await client.append(numbered(40), proven=number % 2 == 0)
                    if number == 3:
                        await asyncio.to_thread(signing.kill)
                        await asyncio.to_thread(signing.start)
                    else:
                        proxy.cut()
                    assert len([record async for record in client.read(start="latest", backwards=True, limit=5)]) == 5
                assert client.verified_checkpoint.size > round * 240
        assert not file.with_name("checkpoint.tampered").exists()


async def rolled_back(signing: SigningServer, client: hubaudit.Client) -> None:
    """The log loses what was appended last, and goes on with something else."""
    await client.append(numbered(20))
    await client.checkpoint(20)
    copy = signing.data.with_name("copy")
    await asyncio.to_thread(signing.copy_data, copy)
    await asyncio.to_thread(signing.start)
    await client.append(numbered(30))
    assert (await client.checkpoint(50)).size == 50
    await asyncio.to_thread(signing.put_back, copy)


async def test_a_running_client_shouts_when_the_log_was_rolled_back(signing: SigningServer, caplog) -> None:
    client = await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey)
    tail = client.tail(after=49)
    with caplog.at_level(logging.CRITICAL, "hubaudit"):
        await rolled_back(signing, client)
        await asyncio.to_thread(signing.start)
        with pytest.raises(errors.TamperedLogError, match="had 50 records and now says that it has 20") as caught:
            await client.append({"n": 1}, deadline=60)
    assert (caught.value.remembered.size, caught.value.shown.size) == (50, 20)
    for checkpoint in (caught.value.remembered, caught.value.shown):
        checkpoint.verify(signing.vkey)
        assert any(checkpoint.note.decode() in record.getMessage() for record in caplog.records)
    # From then on nothing is taken for good.
    for question in (client.health(), client.prove(0), client.append({"n": 1}), anext(tail), anext(client.read())):
        with pytest.raises(errors.TamperedLogError):
            await question
    await client.close()
    with pytest.raises(errors.Closed):
        await client.health()
    async with await hubaudit.connect(signing.address) as other:
        assert len(await headers(other)) == 20


async def test_what_was_found_behind_the_scenes_is_raised_at_the_end(signing: SigningServer) -> None:
    with pytest.raises(errors.TamperedLogError):
        async with await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey) as client:
            await rolled_back(signing, client)
            await asyncio.to_thread(signing.start)
            while not isinstance(client.last_error, errors.TamperedLogError):
                await asyncio.sleep(0.01)


async def test_the_next_process_shouts_too_also_when_the_log_has_grown_again(signing: SigningServer, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    async with await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey, checkpoint_file=file) as client:
        await rolled_back(signing, client)
        remembered = client.verified_checkpoint
    await asyncio.to_thread(signing.start)
    options = {"verifier_key": signing.vkey, "checkpoint_file": file}
    with pytest.raises(errors.TamperedLogError, match="records were removed"):
        await hubaudit.connect(signing.address, **options)
    # The same length as before, and longer: with other records.
    for more in (30, 14):
        async with await hubaudit.connect(signing.address, hub="lab") as other:
            await other.append(numbered(more))
            grown = await other.checkpoint(other.welcome.next_sequence + more)
        with pytest.raises(errors.TamperedLogError) as caught:
            await hubaudit.connect(signing.address, **options)
        assert (caught.value.remembered, caught.value.shown) == (remembered, grown)
        assert file.read_bytes() == remembered.note
        assert file.with_name("checkpoint.tampered").read_bytes() == grown.note
    assert grown.size == 64


async def test_a_read_shouts_when_it_is_the_first_to_connect_again(signing: SigningServer) -> None:
    async with Proxy(signing.port) as proxy:
        client = await hubaudit.connect(proxy.address, hub="lab", verifier_key=signing.vkey)
        await rolled_back(signing, client)
        await asyncio.to_thread(signing.start)
        with pytest.raises(errors.TamperedLogError):
            async for _ in client.read():
                pass
        with pytest.raises(errors.TamperedLogError):
            await client.health()
        await client.close()


async def test_a_hub_of_ag2_shouts_too(signing: SigningServer, caplog) -> None:
    log = await HubAuditLog.connect(signing.address, hub="lab", verifier_key=signing.vkey, deadline=60)
    log.subscribe(ignore)
    await rolled_back(signing, log.client)
    await asyncio.to_thread(signing.start)
    for lost in (1, 2):
        with pytest.raises(errors.TamperedLogError):
            await log.append({"n": 1})
        assert (log.lost, log.pending) == (lost, 0)
    assert [r.levelno for r in caplog.records].count(logging.CRITICAL) == 1
    await log.close()


async def ignore(_: dict) -> None:
    pass


async def test_another_key_is_told(signing: SigningServer, tmp_path: Path) -> None:
    options = {"verifier_key": signing.vkey, "checkpoint_file": tmp_path / "checkpoint"}
    async with await hubaudit.connect(signing.address, hub="lab", **options) as client:
        await client.append(numbered(5), proven=True)
    second = tmp_path / "second"
    second_vkey = keygen(ORIGIN, second)
    # While both sign, those who know either are content.
    assert signing.stop() == 0
    signing.flags = ("--signing-key", f"{signing.key_file},{second}")
    await asyncio.to_thread(signing.start)
    async with await hubaudit.connect(signing.address, **options) as client:
        await client.checkpoint(5)
    async with await hubaudit.connect(signing.address, verifier_key=second_vkey) as client:
        await client.checkpoint(5)
    assert signing.stop() == 0
    signing.flags = ("--signing-key", str(second))
    await asyncio.to_thread(signing.start)
    async with await hubaudit.connect(signing.address, hub="lab", verifier_key=[signing.vkey, second_vkey]) as client:
        await client.append(numbered(1), proven=True)
    with pytest.raises(errors.TamperedLogError, match="is signed by .*, not by") as caught:
        await hubaudit.connect(signing.address, **options)
    assert caught.value.remembered.size >= 5 and caught.value.shown.size >= 6
    with pytest.raises(errors.TamperedLogError) as caught:
        await hubaudit.connect(signing.address, verifier_key=signing.vkey)
    assert caught.value.remembered is None


async def test_another_log_under_the_same_key_is_told(signing: SigningServer, tmp_path: Path) -> None:
    options = {"verifier_key": signing.vkey, "checkpoint_file": tmp_path / "checkpoint"}
    async with await hubaudit.connect(signing.address, hub="lab", **options) as client:
        await client.append(numbered(5), proven=True)
    signing.kill()
    shutil.rmtree(signing.data)
    await asyncio.to_thread(signing.start)
    with pytest.raises(errors.TamperedLogError, match="had 5 records and now says that it has 0"):
        await hubaudit.connect(signing.address, **options)


async def test_a_log_that_has_lost_its_checkpoints_is_told(signing: SigningServer, tmp_path: Path) -> None:
    options = {"verifier_key": signing.vkey, "checkpoint_file": tmp_path / "checkpoint"}
    async with await hubaudit.connect(signing.address, hub="lab", **options) as client:
        await client.append(numbered(5), proven=True)
    signing.kill()
    shutil.rmtree(signing.data / "checkpoints")
    signing.flags = ()
    await asyncio.to_thread(signing.start)
    with pytest.raises(errors.TamperedLogError, match="has no checkpoint any more") as caught:
        await hubaudit.connect(signing.address, **options)
    assert caught.value.remembered.size == 5 and caught.value.shown is None
