"""A client that verifies, and a server that lies about its log: it is real, and what it says is changed on the way."""

import asyncio
from collections.abc import Callable
import logging
from pathlib import Path

import hubaudit
from hubaudit import errors
from hubaudit._proto import frames_pb2, record_pb2
from hubaudit.framing import FrameDecoder, encode_frame
from proxy import Proxy
import pytest
from server import SigningServer

Frame = frames_pb2.ServerFrame


class LyingProxy(Proxy):
    """Changes the server's frames on their way."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.lie: Callable[[Frame], bool] | None = None
        """Changes a frame; returns whether it is to be sent at all."""

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_open: asyncio.Event) -> None:
        if is_open is self._to_server:
            return await super()._pump(source, sink, is_open)
        decoder = FrameDecoder(1 << 24)
        while data := await source.read(65536):
            for body in decoder.feed(data):
                frame = Frame.FromString(body)
                if self.lie is None or self.lie(frame):
                    sink.write(encode_frame(frame.SerializeToString()))
            await sink.drain()
        return None


class Fork:
    """A log, and another one that begins with the same 20 records and is signed with the same key."""

    def __init__(self, true: SigningServer, false: SigningServer) -> None:
        self.true = true
        self.false = false

    async def false_checkpoint(self, size: int) -> hubaudit.Checkpoint:
        async with await hubaudit.connect(self.false.address, hub="lab") as client:
            await client.append([{"false": n} for n in range(size - client.welcome.next_sequence)])
            return await client.checkpoint(size)


@pytest.fixture
def fork(signing: SigningServer, tmp_path: Path):
    asyncio.run(fill(signing))
    (tmp_path / "false").mkdir()
    false = SigningServer(tmp_path / "false", key_file=signing.key_file)
    signing.copy_data(false.data)
    try:
        false.start()
        signing.start()
        yield Fork(signing, false)
    finally:
        false.kill()


async def fill(server: SigningServer) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        await client.append([{"n": n} for n in range(20)])
        await client.checkpoint(20)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


async def shouts(client: hubaudit.Client, caplog: pytest.LogCaptureFixture) -> errors.TamperedLogError:
    """Uses the client until it has noticed."""
    with pytest.raises(errors.TamperedLogError) as caught:
        while True:
            await client.append({"n": 1})
    assert [record.levelno for record in caplog.records].count(logging.CRITICAL) == 1
    return caught.value


@pytest.mark.parametrize("size", [20, 21, 50])
async def test_a_checkpoint_of_another_log_is_noticed_in_an_acknowledgement(fork: Fork, caplog, size: int) -> None:
    false = await fork.false_checkpoint(50)

    def lie(frame: Frame) -> bool:
        if frame.HasField("appended"):
            frame.appended.checkpoint = false.note
        return True

    async with LyingProxy(fork.true.port) as proxy:
        client = await hubaudit.connect(proxy.address, hub="lab", verifier_key=fork.true.vkey)
        await client.append([{"n": n} for n in range(size - 20)])
        seen = await client.checkpoint(size)
        proxy.lie = lie
        error = await shouts(client, caplog)
        assert (error.remembered, error.shown) == (seen, false)
        # At 50 the two are proof by themselves: two roots of one size, signed by one key.
        assert seen.root != false.root
        await client.close()


async def test_a_smaller_checkpoint_of_another_log_is_noticed(fork: Fork, caplog) -> None:
    false = await fork.false_checkpoint(40)

    def lie(frame: Frame) -> bool:
        if frame.HasField("subscription"):
            frame.subscription.checkpoint = false.note
        return True

    async with LyingProxy(fork.true.port) as proxy:
        client = await hubaudit.connect(proxy.address, hub="lab", verifier_key=fork.true.vkey)
        await client.append([{"n": n} for n in range(30)])
        await client.checkpoint(50)
        proxy.lie = lie
        async with client.tail(after=49) as tail:
            with pytest.raises(errors.TamperedLogError):
                await anext(tail)
        await shouts(client, caplog)
        await client.close()


async def test_a_checkpoint_that_is_none_is_noticed(fork: Fork, caplog) -> None:
    def lie(frame: Frame) -> bool:
        if frame.HasField("appended"):
            frame.appended.checkpoint = b"log.example/hubs\n20\n"
        return True

    async with LyingProxy(fork.true.port) as proxy:
        client = await hubaudit.connect(proxy.address, hub="lab", verifier_key=fork.true.vkey)
        proxy.lie = lie
        assert (await shouts(client, caplog)).shown is None
        await client.close()


def wrong_hash(frame: Frame) -> bool:
    if frame.HasField("proof"):
        frame.proof.hashes[0] = flipped(frame.proof.hashes[0])
    return True


def too_few_hashes(frame: Frame) -> bool:
    if frame.HasField("proof"):
        del frame.proof.hashes[-1]
    return True


def refusal(frame: Frame) -> bool:
    if frame.HasField("proof"):
        frame.error.code = frames_pb2.Error.CODE_INVALID_REQUEST
        frame.error.message = "no"
    return True


@pytest.mark.parametrize("lie", [wrong_hash, too_few_hashes, refusal])
async def test_growth_that_is_not_proved_is_noticed(fork: Fork, caplog, lie) -> None:
    async with LyingProxy(fork.true.port) as proxy:
        client = await hubaudit.connect(proxy.address, hub="lab", verifier_key=fork.true.vkey)
        proxy.lie = lie
        await client.append([{"n": n} for n in range(5)])
        with pytest.raises(errors.TamperedLogError) as caught:
            await client.checkpoint(25)
        assert (caught.value.remembered.size, caught.value.shown.size) == (20, 25)
        assert (await shouts(client, caplog)) is caught.value
        await client.close()


def silence(frame: Frame) -> bool:
    return not frame.HasField("proof")


def excuse(frame: Frame) -> bool:
    if frame.HasField("proof"):
        frame.error.code = frames_pb2.Error.CODE_INTERNAL
        frame.error.message = "something went wrong"
    return True


@pytest.mark.parametrize("lie", [silence, excuse])
async def test_growth_that_the_server_does_not_speak_of_is_not_believed(fork: Fork, lie) -> None:
    async with LyingProxy(fork.true.port) as proxy:
        client = await hubaudit.connect(proxy.address, hub="lab", verifier_key=fork.true.vkey, deadline=3)
        proxy.lie = lie
        async with await hubaudit.connect(fork.true.address, hub="lab") as other:
            await other.append({"n": 1})
            await other.checkpoint(21)
        proxy.cut()
        # The new connection is not used: nothing is stored by it, and nothing read.
        with pytest.raises(errors.AppendPending):
            await client.append({"n": 2})
        assert client.verified_checkpoint.size == 20 and not client.connected
        proxy.lie = None
        await client.append({"n": 3}, deadline=60)
        assert (await client.checkpoint(23)).size == 23 == client.verified_checkpoint.size
        await client.close()


async def test_an_old_checkpoint_is_no_answer(fork: Fork, caplog) -> None:
    async with LyingProxy(fork.true.port) as proxy:
        client = await hubaudit.connect(proxy.address, hub="lab", verifier_key=fork.true.vkey)
        old = client.verified_checkpoint
        await client.append({"n": 1}, proven=True)

        def lie(frame: Frame) -> bool:
            if frame.HasField("checkpoint"):
                frame.checkpoint.note = old.note
            return True

        proxy.lie = lie
        with pytest.raises(errors.TamperedLogError, match="had 21 records and now says that it has 20"):
            await client.checkpoint()
        await shouts(client, caplog)
        await client.close()


def wrong_proof(frame: Frame) -> bool:
    for at in range(len(frame.appended.proofs)):
        frame.appended.proofs[at] = flipped(frame.appended.proofs[at])
    return wrong_hash(frame)


def odd_proof(frame: Frame) -> bool:
    for at in range(len(frame.appended.proofs)):
        frame.appended.proofs[at] += b"."
    if frame.HasField("proof"):
        frame.proof.hashes.append(b".")
    return True


def other_header(frame: Frame) -> bool:
    return changed_record(frame, lambda record: setattr(record.header, "received_at", record.header.received_at + 1))


def other_body(frame: Frame) -> bool:
    return changed_record(frame, lambda record: setattr(record.body.custom, "json", b'{"n": 2}'))


def other_position(frame: Frame) -> bool:
    return changed_record(frame, lambda record: setattr(record.header, "sequence", record.header.sequence - 1))


def changed_record(frame: Frame, change: Callable[[record_pb2.Record], None]) -> bool:
    if frame.HasField("records"):
        for record in frame.records.batch.records:
            change(record)
    return True


def no_record(frame: Frame) -> bool:
    return not frame.HasField("records")


@pytest.mark.parametrize(
    ("lie", "wanted"),
    [
        (wrong_proof, errors.EvidenceError),
        (odd_proof, errors.EvidenceError),
        (other_header, errors.EvidenceError),
        (other_position, errors.EvidenceError),
        (other_body, errors.DataDamaged),
        (no_record, errors.ProtocolError),
    ],
)
async def test_no_receipt_is_given_for_what_is_not_proved(fork: Fork, lie, wanted: type[Exception]) -> None:
    async with LyingProxy(fork.true.port) as proxy, await hubaudit.connect(proxy.address, hub="lab") as client:
        proxy.lie = lie
        with pytest.raises(wanted):
            await client.append({"n": 1}, proven=True)
        with pytest.raises(wanted):
            await client.prove(20)
        proxy.lie = None
        (await client.prove(20)).verify(fork.true.vkey)


async def test_records_that_are_stored_but_not_proven_at_once_get_their_receipts_later(fork: Fork) -> None:
    def lie(frame: Frame) -> bool:
        # As a server answers that could sign nothing at that moment.
        if frame.HasField("appended"):
            frame.appended.ClearField("proofs")
            frame.appended.ClearField("checkpoint")
        return True

    async with LyingProxy(fork.true.port) as proxy, await hubaudit.connect(proxy.address, hub="lab") as client:
        proxy.lie = lie
        answer = await client.append([{"n": 1}, {"n": 2}], proven=True)
        assert [receipt.sequence for receipt in answer.receipts] == [20, 21]
        for receipt in answer.receipts:
            receipt.verify(fork.true.vkey)
