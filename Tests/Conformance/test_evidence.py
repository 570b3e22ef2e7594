"""What the log claims of itself is checked by software that is not ours, through the tiles of a running server."""

import asyncio
import base64
import json
from pathlib import Path
import random
import subprocess

import hubaudit
from server import BINARY, SigningServer, keygen
from tiled_log import TILE_WIDTH, Levels, Tile, TiledLog, tiles
import verifiers

# Where a level of the tree begins or is full, and the next one begins.
SIZES = [0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537]


def agrees(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


class GrowingLog:
    """A server's log, what should be in its tiles, and its checkpoint at each size that it had."""

    def __init__(self, server: SigningServer, client: hubaudit.Client, directory: Path) -> None:
        self.server = server
        self.client = client
        self.levels = Levels()
        self.checkpoints: dict[int, hubaudit.Checkpoint] = {}
        self.http = TiledLog(server.url)
        self._directory = directory

    async def grow(self, size: int) -> hubaudit.Checkpoint:
        """Appends until there are `size` records, and has the log sign that."""
        stored = (await self.client.health()).next_sequence
        await self.client.append([{"n": n} for n in range(stored, size)], deadline=120)
        async for record in self.client.read(start=len(self.levels.entries)):
            self.levels.add(record.header_bytes)
        checkpoint = await self.client.checkpoint(size)
        assert checkpoint.size == size == len(self.levels.entries)
        self.checkpoints[size] = checkpoint
        return checkpoint

    def older(self) -> list[str]:
        """The Go program's flags for all checkpoints but the newest."""
        flags = []
        for checkpoint in list(self.checkpoints.values())[:-1]:
            file = self._directory / f"{checkpoint.size}.checkpoint"
            file.write_bytes(checkpoint.note)
            flags += ["-old", str(file)]
        return flags

    async def claims(self, choose: random.Random) -> list[str]:
        """The Go program's flag for proofs that the server made itself, of some records and of every older checkpoint."""
        newest = list(self.checkpoints.values())[-1]
        inclusion, consistency = [], []
        wanted = {0, 1, 254, 255, 256, 257, newest.size // 2, newest.size - 1, *(choose.randrange(newest.size + 1) for _ in range(5))}
        for sequence in sorted(sequence for sequence in wanted if 0 <= sequence < newest.size):
            receipt = await self.client.prove(sequence)
            assert receipt.checkpoint == newest and receipt.header == self.levels.entries[sequence]
            inclusion.append({"size": newest.size, "root": text(newest.root), "index": sequence, "leaf": text(receipt.header)})
            inclusion[-1]["hashes"] = [text(hash) for hash in receipt.hashes]
        for old in self.checkpoints.values():
            # Nothing is to be proven of no records, and x/mod does not try.
            if old.size:
                hashes = await self.client.prove_consistency(old.size, newest.size)
                consistency.append({"size": newest.size, "root": text(newest.root), "oldSize": old.size, "oldRoot": text(old.root)})
                consistency[-1]["hashes"] = [text(hash) for hash in hashes]
        file = self._directory / "claims.json"
        file.write_text(json.dumps({"inclusion": inclusion, "consistency": consistency}))
        return ["-claims", str(file)]

    def serves_exactly_its_tiles(self) -> None:
        """Partial tiles of every checkpoint that was published and whole ones, byte by byte; none that is empty or does not exist yet."""
        newest = list(self.checkpoints.values())[-1]
        wanted = set(tiles(newest.size))
        # Whole ones of the lowest level are looked at by the verifiers.
        wanted = {tile for tile in wanted if tile.width < TILE_WIDTH or tile.level not in ("0", "entries") or tile.index < 2}
        for size in self.checkpoints:
            wanted |= {tile for tile in tiles(size) if tile.width < TILE_WIDTH}
        for tile in wanted:
            reply, body = self.http.get(tile.path)
            assert (reply.status, body) == (200, self.levels.content(tile)), tile.path
        for level in ("entries", *map(str, range(9))):
            count = newest.size >> 8 * int(level if level != "entries" else 0)
            beyond = {Tile(level, count // TILE_WIDTH)}
            if count % TILE_WIDTH < TILE_WIDTH - 1:
                beyond.add(Tile(level, count // TILE_WIDTH, count % TILE_WIDTH + 1))
            for tile in beyond:
                assert self.http.get(tile.path)[0].status == 404, tile.path
            empty = Tile(level, count // TILE_WIDTH, 0)
            assert self.http.get(empty.path)[0].status in (400, 404), empty.path


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_software_of_others_agrees_at_every_size(signing: SigningServer, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    choose = random.Random(seed)
    sizes = sorted([*SIZES, choose.randrange(258, 65_535), choose.randrange(65_538, 80_000)])
    print("sizes", sizes)
    async with await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey, deadline=60) as client:
        log = GrowingLog(signing, client, tmp_path)
        for size in sizes:
            checkpoint = await log.grow(size)
            assert log.http.get("checkpoint")[1] == checkpoint.note
            assert checkpoint.root == log.levels.root(size)
            log.serves_exactly_its_tiles()
            flags = [*log.older(), *await log.claims(choose), "-bundles", "-1", "-seed", str(seed)]
            agrees(await asyncio.to_thread(verifiers.go, signing.vkey, signing.url, *flags))
            agrees(await asyncio.to_thread(verifiers.pymerkle, signing.url, seed))
            agrees(verifiers.openssl(signing.vkey, checkpoint.note, tmp_path))
        log.http.close()


async def test_software_of_others_agrees_after_a_kill_and_without_the_derived_files(signing: SigningServer, tmp_path: Path) -> None:
    async with await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey, deadline=60) as client:
        log = GrowingLog(signing, client, tmp_path)
        for size in (300, 70_000):
            await log.grow(size)
        for remove in (False, True):
            await asyncio.to_thread(signing.kill)
            if remove:
                for file in (signing.data / "tree").iterdir():
                    file.unlink()
            await asyncio.to_thread(signing.start)
            log.http = TiledLog(signing.url)
            log.serves_exactly_its_tiles()
            agrees(await asyncio.to_thread(verifiers.go, signing.vkey, signing.url, *log.older(), *await log.claims(random.Random(1))))
            assert log.http.get("checkpoint")[1] == log.checkpoints[70_000].note


async def test_software_of_others_agrees_when_a_body_was_erased(signing: SigningServer, tmp_path: Path) -> None:
    async with await hubaudit.connect(signing.address, hub="lab", verifier_key=signing.vkey, deadline=60) as client:
        log = GrowingLog(signing, client, tmp_path)
        await log.grow(300)
        before = await client.prove(7)
        command = [BINARY, "erase", "-s", signing.address, "7", "--reason", "a test", "--signing-key", str(signing.key_file)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        # The record about it is number 300.
        await log.grow(301)
        after = await client.prove(7)
        for receipt in (before, after):
            receipt.verify(signing.vkey)
        assert after.header == before.header and after.checkpoint.size == 301
        (erased,) = [record async for record in client.read(start=7, limit=1)]
        assert erased.erased and erased.record is None and erased.header_bytes == before.header
        (told,) = [record async for record in client.read(start=300)]
        assert (told.kind, told.record["erased_sequence"], told.record["reason"]) == ("record_erased", 7, "a test")
        log.serves_exactly_its_tiles()
        agrees(verifiers.go(signing.vkey, signing.url, *log.older(), *await log.claims(random.Random(1)), "-bundles", "-1", "-seed", "1"))
        agrees(verifiers.pymerkle(signing.url, 1))
        log.http.close()


async def test_the_verifiers_find_what_is_wrong(signing: SigningServer, tmp_path: Path) -> None:
    async with await hubaudit.connect(signing.address, hub="lab") as client:
        log = GrowingLog(signing, client, tmp_path)
        for size in (100, 257):
            checkpoint = await log.grow(size)
        claims = await log.claims(random.Random(1))
    copy = tmp_path / "copy"
    paths = ["checkpoint", *(tile.path for tile in tiles(257))]
    for path in paths:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(log.http.get(path)[1])
    go = ["-bundles", "-1", "-seed", "1"]
    agrees(verifiers.go(signing.vkey, copy, *go, *claims))
    agrees(verifiers.pymerkle(copy, 1))
    # The partial tiles of size 100 were not copied.
    assert "tile/0/000.p/100" in verifiers.go(signing.vkey, copy, *go, *log.older()).stderr
    choose = random.Random(1)
    for path in paths:
        content = (copy / path).read_bytes()
        at = choose.randrange(len(content))
        (copy / path).write_bytes(content[:at] + bytes([content[at] ^ 1 << choose.randrange(7)]) + content[at + 1 :])
        assert verifiers.go(signing.vkey, copy, *go).returncode == 1, path
        # It reads no hashes, and checks no signature.
        if "entries" in path:
            assert verifiers.pymerkle(copy, 1).returncode != 0, path
        (copy / path).write_bytes(content)
    agrees(verifiers.go(signing.vkey, copy, *go))
    assert verifiers.go(keygen("log.example/hubs", tmp_path / "other"), copy, *go).returncode == 1
    file = Path(claims[1])
    for kind in ("inclusion", "consistency"):
        wrong = json.loads(file.read_text())
        hashes = next(claim["hashes"] for claim in wrong[kind] if claim["hashes"])
        hashes[0] = text(bytes(32))
        (tmp_path / "wrong").write_text(json.dumps(wrong))
        assert "the server's proof" in verifiers.go(signing.vkey, copy, *go, "-claims", str(tmp_path / "wrong")).stderr, kind
    agrees(verifiers.openssl(signing.vkey, checkpoint.note, tmp_path))
    assert verifiers.openssl(signing.vkey, checkpoint.note.replace(b"\n257\n", b"\n258\n"), tmp_path).returncode == 1


async def test_answers_are_of_the_type_and_as_lasting_as_the_page_says(signing: SigningServer, tmp_path: Path) -> None:
    async with await hubaudit.connect(signing.address, hub="lab") as client:
        log = GrowingLog(signing, client, tmp_path)
        await log.grow(260)
    reply, _ = log.http.get("checkpoint")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "immutable" not in reply.headers["Cache-Control"] and "max-age" not in reply.headers["Cache-Control"]
    for tile in tiles(260):
        for method in ("GET", "HEAD"):
            reply, body = log.http.get(tile.path, method)
            assert reply.headers["Content-Type"] == "application/octet-stream", tile.path
            assert "immutable" in reply.headers["Cache-Control"], tile.path
            assert int(reply.headers["Content-Length"]) == len(log.levels.content(tile))
            assert body == (log.levels.content(tile) if method == "GET" else b"")
    # One path for each tile; an answer that may be another one later is not to be kept.
    wrong = [
        "tile/0/0", "tile/0/0000", "tile/0/x000/000", "tile/0/000.p/256", "tile/0/000.p/0", "tile/0/000.p/01", "tile/0/000.p", "tile/0/001.p/1/",
        "tile/00/000", "tile/64/000", "tile/-1/000", "tile/entries/000/", "tile/entry/000", "tile/", "tile/0/../0/000", "tile/8/0/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999", "tile/0/001", "tile/entries/001", "tile/2/000.p/1", "tile/entries/001.p/5",
    ]  # fmt: skip
    for path in wrong:
        reply, _ = log.http.get(path)
        assert reply.status in (400, 404), path
        assert "immutable" not in reply.headers["Cache-Control"], path
    log.http.close()
