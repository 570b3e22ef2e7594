"""Where a read begins and ends: times as text, as datetime, as a number."""

from datetime import datetime, timedelta, timezone

import hubaudit
from hubaudit.selection import make_start, unix_nanoseconds
import pytest
from server import Server

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01t01:00:01+01:00", SECOND),
        ("1970-01-01 01:00+0100", 0),
        ("1969-12-31T23:00:00.000000001-01:00", 1),
        ("2026-01-02T03:04:05.678901234Z", 1_767_323_045_678_901_234),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * SECOND),
    ],
)
def test_iso_text_is_a_time_to_the_nanosecond(text: str, wanted: int) -> None:
    assert unix_nanoseconds(text) == wanted
    assert make_start(text).time == wanted


@pytest.mark.parametrize(
    "text",
    ["", "today", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05.0000000001Z", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
     "2026-01-02T24:00:01Z", "1969-12-31T23:59:59Z", "2600-01-01T00:00:00Z", "2026-01-02T03:04:05Z\n", "２026-01-02T03:04:05Z"],
)  # fmt: skip
def test_what_is_no_point_in_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        unix_nanoseconds(text)
    with pytest.raises(ValueError, match="earliest"):
        make_start(text)


@pytest.mark.parametrize("time", [datetime(2026, 1, 1), True, 1.5, -1, 2**64, datetime(1960, 1, 1, tzinfo=timezone.utc)])
def test_other_values_that_are_no_point_in_time_are_refused(time: object) -> None:
    with pytest.raises(ValueError, match="time"):
        unix_nanoseconds(time)  # type: ignore[arg-type]


async def test_text_and_datetime_select_the_same_records(server: Server) -> None:
    async with await hubaudit.connect(server.address, hub="lab") as client:
        for number in range(3):
            await client.append({"n": number})
        records = [record async for record in client.read()]
        second = records[1].received_at
        text = f"{datetime.fromtimestamp(second // SECOND, timezone.utc):%Y-%m-%dT%H:%M:%S}.{second % SECOND:09}Z"
        for selected in (client.read(since=second), client.read(since=text), client.read(text)):
            assert [record.sequence async for record in selected] == [1, 2]
        assert [record.sequence async for record in client.read(until=text)] == [0]
        later = records[2].received_time + timedelta(microseconds=1)
        assert [record.sequence async for record in client.read(since=later)] == []
        assert [record.sequence async for record in client.read(since=later.isoformat())] == []
