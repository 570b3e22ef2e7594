"""The validators themselves: a history that keeps every promise passes, and each violation planted in it is found by the right one."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from history import Append, Event, Frame, Hello, History, LogRecord, Session
from promises import VALIDATORS, violations


def event(token: str, kind: str | None = "moved") -> Event:
    return Event(token, kind, f"text of {token}" if kind else None)


def record(sequence: int, token: str, kind: str = "moved", number: int | None = None, agent: str = "a0") -> LogRecord:
    name = token.partition("/")[0]
    return LogRecord(sequence, 1000 + sequence // 2, "north", name if number else None, number, kind, token, f"text of {token}",
                     f"digest {sequence}", [agent])


def frame(at: int, *sequences: int, next: int | None = None, state: str | None = None) -> Frame:
    return Frame(at, [(sequence, f"digest {sequence}") for sequence in sequences], next, state)


def correct() -> History:
    """p numbers its events (its third makes no record) and loses a connection; q does not, and its last append is lost with one."""
    p, q = ("p.0", 1, "north", "p"), ("q.0", 1, "north", None)
    resent = [event("p/3", None), event("p/4"), event("p/5")]
    return History(
        appends=[
            Append(*p, 1, [event("p/1"), event("p/2")], 10, 20, [0, 1]),
            Append(*p, 3, resent, 30),
            Append(*p, 3, resent, 50, 60, [None, 4, 5], duplicates=3),
            Append(*p, 6, [event("p/6")], 70, 80, [7]),
            Append(*q, None, [event("q/1", "shut"), event("q/2")], 12, 22, [2, 3]),
            Append(*q, None, [event("q/3", "shut")], 62, 72, [6]),
            Append(*q, None, [event("q/4")], 74),
            Append(*q, None, [event("q/5"), event("q/6")], 90, 95, refused="OVERLOADED"),
        ],
        hellos=[Hello("p.0", "north", "p", 1, 1, 5), Hello("p.0", "north", "p", 3, 6, 45)],
        subscribers={
            "all": [
                Session("all.0", {"earliest": True}, {}, 1, [frame(25, 0, 1, 2, next=3), frame(26, next=3, state="CAUGHT_UP"), frame(27, 3, next=4)]),
                Session("all.1", {"after": 3}, {}, 40, [frame(61, 4, 5, next=6), frame(81, 6, 7, 8, next=9)]),
            ],
            "late": [Session("late.0", {"latest": True}, {}, 55, [frame(56, next=6, state="CAUGHT_UP"), frame(81, 6, 7)], "DRAINING")],
            "shut": [
                Session("shut.0", {"sequence": 0}, {"kinds": ["shut"]}, 1, [frame(25, 2, next=4), frame(45, next=5, state="PROGRESS")]),
                Session("shut.0", {"sequence": 5}, {"kinds": ["shut"]}, 46, [frame(75, 6, next=7), frame(96, next=9, state="PROGRESS")]),
            ],
            "some": [Session("some.0", {"latest": True}, {"agents": ["a1"]}, 30, [frame(55, 5, next=6), frame(81, 8)])],
        },
        log=[
            record(0, "p/1", number=1), record(1, "p/2", number=2), record(2, "q/1", "shut"), record(3, "q/2"), record(4, "p/4", number=4, agent="a1"),
            record(5, "p/5", number=5, agent="a1"), record(6, "q/3", "shut"), record(7, "p/6", number=6), record(8, "q/4", agent="a1"),
        ],
    )


def sessions(history: History, name: str) -> list[Session]:
    return history.subscribers[name]


def disorder_a_push(h: History) -> None:
    sessions(h, "some")[0].frames = [frame(96, 8, next=9), frame(97, 5)]


def reorder_times(h: History) -> None:
    h.log[5].received_at = 900


def number_the_log_wrongly(h: History) -> None:
    h.log[7].sequence = 8


def repeat_within_a_session(h: History) -> None:
    sessions(h, "all")[0].frames[0].records.append((2, "digest 2"))


def repeat_after_a_resume(h: History) -> None:
    sessions(h, "some").append(Session("some.0", {"after": 7}, {"agents": ["a1"]}, 90, [frame(96, 8)]))


def miss_a_record(h: History) -> None:
    del sessions(h, "all")[1].frames[1].records[1]


def miss_the_first_after_a_latest(h: History) -> None:
    del sessions(h, "late")[0].frames[1].records[0]


def tell_a_position_too_far(h: History) -> None:
    sessions(h, "all")[1].frames[1].next = 10


def lose_an_acknowledged_record(h: History) -> None:
    h.appends[6].answered_at, h.appends[6].sequences = 99, [9]


def store_another_text(h: History) -> None:
    h.log[3].text = "text of q/"


def store_under_another_hub(h: History) -> None:
    h.log[6].hub = "south"


def deliver_other_bytes(h: History) -> None:
    sessions(h, "shut")[0].frames[0].records = [(2, "digest of others")]


def deliver_what_a_crash_removed(h: History) -> None:
    sessions(h, "all")[1].frames.append(frame(98, 9, next=10))


def resume_too_early(h: History) -> None:
    sessions(h, "all")[1].start = {"after": 4}


def resume_too_late(h: History) -> None:
    sessions(h, "all")[1].start = {"after": 2}


def begin_late(h: History) -> None:
    del sessions(h, "all")[0].frames[0].records[0]


def refuse_a_resume(h: History) -> None:
    sessions(h, "all").append(Session("all.2", {"after": 8}, {}, 90, ended="INVALID_REQUEST"))


def leave_out_a_match(h: History) -> None:
    sessions(h, "shut")[1].frames[0].records.clear()


def skip_a_match_at_a_resume(h: History) -> None:
    sessions(h, "shut")[0].frames[0].records.clear()
    sessions(h, "shut")[0].frames[0].next = 1
    sessions(h, "shut")[0].frames[1].next = 3


def send_what_does_not_match(h: History) -> None:
    sessions(h, "shut")[1].frames[1].records.append((7, "digest 7"))


def store_a_numbered_event_twice(h: History) -> None:
    h.log.append(record(9, "p/6", number=6))


def store_numbers_in_disorder(h: History) -> None:
    h.log[4].number, h.log[5].number = 5, 4


def leave_out_a_number_below_an_acknowledged_one(h: History) -> None:
    h.appends.append(Append("p.0", 1, "north", "p", 7, [event("p/7")], 91))
    h.appends.append(Append("p.0", 1, "north", "p", 8, [event("p/8", None)], 92, 93, [None]))


def claim_that_a_missing_number_is_done(h: History) -> None:
    h.appends.append(Append("p.0", 1, "north", "p", 7, [event("p/7")], 91))
    h.hellos.append(Hello("p.0", "north", "p", 7, 8, 94))


def forget_what_was_answered(h: History) -> None:
    h.hellos[1].expected = 2


def answer_a_resend_with_another_sequence(h: History) -> None:
    h.appends.append(Append("p.0", 2, "north", "p", 1, [event("p/1")], 96, 97, [1], duplicates=1))


def answer_a_recorded_event_as_ignored(h: History) -> None:
    h.appends[2].sequences = [None, None, 5]


def store_a_refused_append(h: History) -> None:
    h.log += [record(9, "q/5"), record(10, "q/6")]


def store_what_nobody_sent(h: History) -> None:
    h.log.append(record(9, "z/1"))


def store_half_an_append(h: History) -> None:
    h.appends[7].refused = h.appends[7].answered_at = None
    h.log.append(record(9, "q/5"))


def put_a_record_between_those_of_an_append(h: History) -> None:
    h.appends[7].refused = h.appends[7].answered_at = None
    h.appends.append(Append("r.0", 1, "north", None, None, [event("r/1")], 91))
    h.log += [record(9, "q/5"), record(10, "r/1"), record(11, "q/6")]


def store_appends_of_a_connection_in_disorder(h: History) -> None:
    h.appends[6], h.appends[5] = h.appends[5], h.appends[6]
    h.appends[5].sent_at = 61


def acknowledge_a_later_place_first(h: History) -> None:
    h.appends[5].sent_at = 85


def deliver_before_the_send_of_what_comes_before(h: History) -> None:
    sessions(h, "all")[1].frames[1].at = 65
    h.appends[3].sent_at = 66


PLANTED: dict[Callable[[History], None], set[str]] = {
    disorder_a_push: {"ordered"},
    reorder_times: {"ordered"},
    number_the_log_wrongly: {"ordered"},
    repeat_within_a_session: {"unique"},
    repeat_after_a_resume: {"unique"},
    miss_a_record: {"gapless"},
    miss_the_first_after_a_latest: {"gapless"},
    tell_a_position_too_far: {"gapless"},
    lose_an_acknowledged_record: {"durable"},
    store_another_text: {"durable"},
    store_under_another_hub: {"durable"},
    deliver_other_bytes: {"durable"},
    deliver_what_a_crash_removed: {"durable"},
    resume_too_early: {"resumable"},
    resume_too_late: {"resumable"},
    begin_late: {"resumable"},
    refuse_a_resume: {"resumable"},
    leave_out_a_match: {"filtered"},
    skip_a_match_at_a_resume: {"filtered"},
    send_what_does_not_match: {"filtered"},
    store_a_numbered_event_twice: {"exactly_once"},
    store_numbers_in_disorder: {"exactly_once"},
    leave_out_a_number_below_an_acknowledged_one: {"exactly_once"},
    claim_that_a_missing_number_is_done: {"exactly_once"},
    forget_what_was_answered: {"exactly_once"},
    answer_a_resend_with_another_sequence: {"exactly_once", "durable"},
    answer_a_recorded_event_as_ignored: {"exactly_once"},
    store_a_refused_append: {"exactly_once"},
    store_what_nobody_sent: {"exactly_once"},
    store_half_an_append: {"whole"},
    put_a_record_between_those_of_an_append: {"whole"},
    store_appends_of_a_connection_in_disorder: {"sent_order"},
    acknowledge_a_later_place_first: {"real_time"},
    deliver_before_the_send_of_what_comes_before: {"real_time"},
}


def test_a_history_that_keeps_every_promise_passes() -> None:
    assert violations(correct()) == []


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_violation_is_found_by_the_right_validator(plant: Callable[[History], None]) -> None:
    history = copy.deepcopy(correct())
    plant(history)
    found = {sentence.partition(":")[0] for sentence in violations(history)}
    assert found == PLANTED[plant]


def test_every_validator_has_a_violation_planted_for_it() -> None:
    assert {validator.__name__ for validator in VALIDATORS} == set.union(*PLANTED.values())
