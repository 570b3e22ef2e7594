"""The newest checkpoint of a log that was seen, and the comparison of every later one with it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

from . import errors
from ._proto import frames_pb2
from .checkpoint import MAX_NOTE_BYTES, Checkpoint, Keys, parse_keys, require_cryptography
from .connection import Connection
from .errors import EvidenceError, TamperedLogError
from .evidence import verify_consistency

logger: logging.Logger = logging.getLogger("hubaudit")


class CheckpointMemory:
    """Remembers the largest checkpoint that was verified, in a file where one is named, and compares all others with it."""

    def __init__(self, keys: Keys, file: str | os.PathLike[str] | None) -> None:
        """Raises ValueError for what is no key, ImportError without the cryptography package, OSError when the file cannot be read.

        Raises `EvidenceError` when the file holds no checkpoint that one of the keys has signed.
        """
        require_cryptography()
        self._keys = parse_keys(keys)
        self._file = None if file is None else Path(file)
        self.newest: Checkpoint | None = self._load()
        # One comparison at a time, so that each is with what is really the newest.
        self._lock = asyncio.Lock()

    async def check(self, connection: Connection) -> None:
        """Compares the log behind a new connection with what is remembered.

        Raises `TamperedLogError`; `InvalidRequest` when nothing is remembered and the log signs no checkpoints.
        """
        before = self.newest
        try:
            reply = await connection.request(checkpoint=frames_pb2.CheckpointRequest())
        except errors.InvalidRequest as error:
            if before is None:
                raise
            raise TamperedLogError(
                f"{connection.address} has no checkpoint any more, and had one of {before}: {error}", remembered=before, shown=None
            ) from error
        await self.accept(reply.checkpoint.note, connection, before)

    async def accept(self, note: bytes, connection: Connection, before: Checkpoint | None = None) -> Checkpoint:
        """Verifies a checkpoint that came over `connection`, compares it with the remembered one, and remembers it if it is larger.

        `before` is what was remembered when the checkpoint was asked for: the answer may not be older. Raises `TamperedLogError`.
        """
        shown: Checkpoint | None = None
        async with self._lock:
            try:
                shown = Checkpoint.parse(note)
                shown.verify(self._keys)
                newest = self.newest
                if before is not None and shown.size < before.size:
                    raise EvidenceError(f"it had {before.size} records and now says that it has {shown.size}: records were removed")
                if newest is None:
                    await self._remember(shown)
                elif shown.size > newest.size:
                    await self._compare(newest, shown, connection)
                    await self._remember(shown)
                else:
                    # It was on its way when a larger one came by another connection.
                    await self._compare(shown, newest, connection)
            except TamperedLogError:
                # Another checkpoint has ended the connection meanwhile.
                raise
            except (EvidenceError, errors.InvalidRequest) as error:
                await self._keep_evidence(note)
                both = f"remembered: {self.newest}; shown: {shown}"
                raise TamperedLogError(
                    f"the log at {connection.address} is not the one that was seen before: {error} ({both})",
                    remembered=self.newest,
                    shown=shown,
                ) from error
            return shown

    async def _compare(self, old: Checkpoint, new: Checkpoint, connection: Connection) -> None:
        hashes: tuple[bytes, ...] = ()
        if 0 < old.size < new.size:
            request = frames_pb2.ProofRequest(consistency=old.size, size=new.size)
            reply: Any = await connection.request(proof=request)
            hashes = tuple(reply.proof.hashes)
        verify_consistency(old.size, old.root, new.size, new.root, hashes)

    def _load(self) -> Checkpoint | None:
        if self._file is None:
            return None
        try:
            with self._file.open("rb") as file:
                note = file.read(MAX_NOTE_BYTES + 1)
        except FileNotFoundError:
            return None
        try:
            checkpoint = Checkpoint.parse(note)
            checkpoint.verify(self._keys)
        except EvidenceError as error:
            raise EvidenceError(f"the checkpoint file {self._file} holds no checkpoint of this log: {error}") from error
        return checkpoint

    async def _remember(self, checkpoint: Checkpoint) -> None:
        self.newest = checkpoint
        if self._file is not None:
            await self._store(self._file, checkpoint.note)

    async def _keep_evidence(self, note: bytes) -> None:
        if self._file is not None:
            await self._store(self._file.with_name(f"{self._file.name}.tampered"), note)

    async def _store(self, path: Path, content: bytes) -> None:
        try:
            await asyncio.to_thread(_write, path, content)
        except OSError as error:
            # The comparison goes on from memory; the next checkpoint is tried again.
            logger.error("the checkpoint cannot be kept in %s: %s", path, error)


def _write(path: Path, content: bytes) -> None:
    # Whole or not at all, also when the machine stops meanwhile.
    unfinished = path.with_name(f"{path.name}.new")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
