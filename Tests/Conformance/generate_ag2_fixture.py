"""Makes Tests/Fixtures/ag2_events.json: what AG2's own AuditLog writes for every call of ag2_calls.py.

Each item has
  name           what is special about it
  event_hex      the encoded hubaudit.v1.Event that reports the same
  expected_line  the line AG2 wrote, without its line end; null where AG2 wrote none
  uses_clock     the event has no time of its own: `at` of the line is 2026-01-02T03:04:05.678901Z, which the receiver's clock
                 has to say (Unix time in ns: 1767323045678901000)

Run it with ag2==1.2.1 and this repository's Python package: python Tests/Conformance/generate_ag2_fixture.py [FILE]
"""

import asyncio
import json
from pathlib import Path
import sys

from ag2.knowledge import MemoryKnowledgeStore
from ag2.network.hub.audit import AuditLog
from ag2.network.hub.layout import audit_path

from ag2_calls import CALLS, CLOCK, Call

FIXTURE = Path(__file__).resolve().parent.parent / "Fixtures" / "ag2_events.json"


async def line_of(call: Call) -> str | None:
    """The line that AG2 writes for `call`, or None."""
    store = MemoryKnowledgeStore()
    await getattr(AuditLog(store, clock=lambda: CLOCK), call.method)(*call.args)
    text = await store.read(audit_path())
    if not text:
        return None
    assert text.endswith("\n") and text.count("\n") == 1, f"{call.name}: AG2 wrote more than one line"
    return text[:-1]


async def fixture() -> str:
    items = []
    for call in CALLS:
        line = await line_of(call)
        assert line is None or not call.is_observed, call.name
        items.append({
            "name": call.name,
            "event_hex": call.event.SerializeToString(deterministic=True).hex(),
            "expected_line": line,
            "ignored": call.is_observed,
            "uses_clock": line is not None and call.uses_clock,
        })
    return "[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURE
    target.write_text(asyncio.run(fixture()))
    print(f"{target}: {len(CALLS)} items")
