"""A record that looks like one of AG2's own, and is not quite, comes back as it was: 300,000 of them, drawn by lot.

HUBAUDIT_SEED plays the printed seed of a failure again; HUBAUDIT_RECORDS says how many.
"""

import json
import os
import random

from hubaudit._ag2_events import typed_event
from hubaudit.ag2 import HubAuditLog
from near_records import near_record, near_records
from server import Server

RECORDS = int(os.environ.get("HUBAUDIT_RECORDS", "300000"))
SEED = int(os.environ.get("HUBAUDIT_SEED") or random.SystemRandom().randrange(2**32))

_line = json.JSONEncoder(default=str, sort_keys=True).encode


async def test_records_near_the_typed_shapes_come_back_equal(server: Server) -> None:
    print(f"HUBAUDIT_SEED={SEED}")
    async with await HubAuditLog.connect(server.address, hub="lab", mode="queued", queue_events=RECORDS, queue_bytes=1 << 30) as log:
        typed = 0
        for number, record in enumerate(near_records(SEED, RECORDS)):
            await log.append(record)
            typed += typed_event(record) is not None
            if number % 10_000 == 0:
                await log.flush(120)
        await log.flush(120)
        assert (log.pending, log.lost) == (0, 0)
        number = 0
        again = near_records(SEED, RECORDS)
        async for got in log.records():
            record = next(again)
            # As text, where 1, 1.0 and true are not equal; a reader of AG2's file gets what its line parses to.
            assert _line(got) == _line(json.loads(_line(record))), f"record {number} of HUBAUDIT_SEED={SEED}: {record!r}"
            number += 1
    assert number == RECORDS
    # The lots fall on both sides.
    assert RECORDS / 5 < typed < RECORDS * 4 / 5, typed


def test_a_record_that_is_no_plain_dict_has_no_typed_event() -> None:
    class Named(dict):
        def items(self):
            return [("kind", "another")]

    record = near_record(random.Random(1)) | {"kind": "rule_set"}
    assert typed_event(Named(at="2026", kind="rule_set", agent_id="a", version=1)) is None, record
