"""A client's side of the evidence: it asks for checkpoints and proofs, and looks at every checkpoint that comes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from . import errors
from ._memory import CheckpointMemory
from ._proto import frames_pb2
from ._tasks import cancelled
from .appended import Appended
from .checkpoint import Checkpoint
from .connection import Connection
from .receipt import Inclusion, Receipt
from .record import Record

# Checkpoints that wait to be compared. A server sends one a second.
_MAX_WAITING = 1000

Question = Callable[[Connection], Awaitable[Any]]


class Proving:
    """What a client does with evidence. Without a memory it verifies proofs, and trusts the server for the checkpoints."""

    def __init__(
        self,
        memory: CheckpointMemory | None,
        *,
        deadline: float,
        ask: Callable[[Question], Awaitable[Any]],
        read: Callable[[int, int], AsyncIterator[Record]],
        fail: Callable[[errors.TamperedLogError], None],
        identity: Callable[[], str],
    ) -> None:
        """`ask` puts a question to the server, `read` gives a number of records from a sequence on, `fail` ends the client, `identity` is
        what the server calls it ("anonymous" from a server that asks for no identities)."""
        self._memory = memory
        self._deadline = deadline
        self._ask = ask
        self._read = read
        self._fail = fail
        self._identity = identity
        self._waiting: deque[tuple[bytes, Connection]] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def newest(self) -> Checkpoint | None:
        """The largest checkpoint that was verified."""
        return self._memory.newest if self._memory is not None else None

    # Requests

    async def checkpoint(self, size: int | None) -> Checkpoint:
        async def question(connection: Connection) -> Checkpoint:
            before = self.newest
            reply = await connection.request(checkpoint=frames_pb2.CheckpointRequest(size=size))
            checkpoint = await self._accept(reply.checkpoint.note, connection, before)
            if size is not None and checkpoint.size < size:
                raise errors.ProtocolError(f"a checkpoint over {size} records was asked for, the answer is one over {checkpoint.size}")
            return checkpoint

        result: Checkpoint = await self._ask(question)
        return result

    async def prove(self, sequence: int) -> Receipt:
        async def question(connection: Connection) -> Inclusion:
            reply = await connection.request(proof=frames_pb2.ProofRequest(inclusion=sequence))
            # It may be older than the newest: the one that witnesses have cosigned.
            checkpoint = await self._accept(reply.proof.checkpoint, connection)
            return Inclusion.from_wire(sequence, reply.proof.hashes, checkpoint)

        (receipt,) = await self._receipts([await self._ask(question)])
        return receipt

    async def prove_consistency(self, old_size: int, size: int) -> tuple[bytes, ...]:
        async def question(connection: Connection) -> tuple[bytes, ...]:
            reply = await connection.request(proof=frames_pb2.ProofRequest(consistency=old_size, size=size))
            return tuple(reply.proof.hashes)

        result: tuple[bytes, ...] = await self._ask(question)
        return result

    async def with_receipts(self, appended: Appended) -> Appended:
        """The answer to a proven append, with its receipts."""
        sequences = [sequence for sequence in appended.sequences if sequence is not None]
        inclusions = {inclusion.sequence: inclusion for inclusion in appended.inclusions}
        if self._memory is not None:
            for note in {inclusion.checkpoint.note for inclusion in inclusions.values()}:
                await self._ask(partial(self._accept, note))
        receipts = {receipt.sequence: receipt for receipt in await self._receipts(inclusions.values())}
        for sequence in sequences:
            # Stored, but the server could not prove it at the time.
            if sequence not in receipts:
                receipts[sequence] = await self.prove(sequence)
        return dataclasses.replace(
            appended, receipts=tuple(None if sequence is None else receipts[sequence] for sequence in appended.sequences)
        )

    async def _receipts(self, inclusions: Iterable[Inclusion]) -> list[Receipt]:
        """Reads the headers, and verifies that they are what is proven."""
        receipts: list[Receipt] = []
        for run in _runs(inclusions):
            rest = iter(run)
            async for record in self._read(run[0].sequence, len(run)):
                inclusion = next(rest)
                # Without identities nothing is left out: what does not fit is no proof of the record.
                if record.sequence != inclusion.sequence and self._identity() != "anonymous":
                    raise self._unread(inclusion.sequence)
                receipt = Receipt(inclusion.sequence, record.header_bytes, inclusion.hashes, inclusion.checkpoint)
                receipt.verify_inclusion()
                record.verify()
                receipts.append(receipt)
            if (missing := next(rest, None)) is not None:
                raise self._unread(missing.sequence)
        return receipts

    def _unread(self, sequence: int) -> errors.HubauditError:
        """The error for a record that was proven and did not come."""
        if self._identity() == "anonymous":
            return errors.ProtocolError(f"the server proves record {sequence} and does not have it")
        return errors.NotPermitted(
            f"record {sequence} is in the log, and {self._identity()} has no right to read it; a receipt needs the record's header",
            code="NOT_PERMITTED",
        )

    async def _accept(self, note: bytes, connection: Connection, before: Checkpoint | None = None) -> Checkpoint:
        if self._memory is None:
            return Checkpoint.parse(note)
        try:
            return await self._memory.accept(note, connection, before)
        except errors.TamperedLogError as error:
            self._fail(error)
            raise

    # Checkpoints that come unasked

    async def check(self, connection: Connection) -> None:
        """Compares the log behind a new connection with what is remembered, within the deadline. Closes the connection where it fails."""
        if self._memory is None:
            return
        try:
            await asyncio.wait_for(self._memory.check(connection), self._deadline)
        except asyncio.TimeoutError:
            error = errors.Timeout(f"{connection.address} did not prove its checkpoint within {self._deadline:g} s", retry=True)
            connection.close(error)
            raise error from None
        except BaseException:
            connection.close()
            raise

    def watch(self, connection: Connection) -> None:
        """Looks at the checkpoints that come over a connection from now on."""
        if self._memory is not None:
            connection.on_checkpoint = lambda note: self._on_checkpoint(note, connection)

    async def close(self) -> None:
        """Compares nothing any more."""
        if self._task is not None:
            await cancelled(self._task)

    def _on_checkpoint(self, note: bytes, connection: Connection) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            connection.close(errors.ProtocolError(f"{connection.address} sends checkpoints faster than it proves them", retry=True))
            return
        self._waiting.append((note, connection))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._examine(), name="hubaudit checkpoints")

    async def _examine(self) -> None:
        while self._waiting:
            note, connection = self._waiting.popleft()
            if connection.error is not None:
                continue
            try:
                await asyncio.wait_for(self._accept(note, connection), self._deadline)
            except errors.TamperedLogError:
                return
            except (errors.HubauditError, asyncio.TimeoutError) as error:
                # The next connection is compared before it is used.
                text = f"{connection.address} did not prove its checkpoint within {self._deadline:g} s: {error}"
                connection.close(errors.ConnectionLost(text, retry=True))


def _runs(inclusions: Iterable[Inclusion]) -> Iterable[list[Inclusion]]:
    """Neighbours in the log together."""
    run: list[Inclusion] = []
    for inclusion in sorted(inclusions, key=lambda inclusion: inclusion.sequence):
        if run and run[-1].sequence + 1 != inclusion.sequence:
            yield run
            run = []
        run.append(inclusion)
    if run:
        yield run
