"""The queue of deadlines: late by a tick at most, never early, never twice, never lost."""

from __future__ import annotations

import pytest

from gateway.proxy.deadlines import NEVER, TICK, Alarm, Deadlines, Timed


class Noted:
    """A deadline that writes down when it was called."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.timed = Alarm(self.calls.append)


def pass_time(deadlines: Deadlines, start: float, end: float, step: float = 0.01) -> None:
    now = start
    while now <= end:
        if deadlines.next_at() <= now:
            deadlines.expire(now)
        now += step


@pytest.mark.parametrize("at", [100.0, 100.01, 100.05, 100.049999, 103.7, 1e6 + 0.3])
def test_a_deadline_fires_once_at_most_a_tick_late_and_never_early(at: float) -> None:
    deadlines, noted = Deadlines(), Noted()
    timed = noted.timed
    deadlines.arm(timed, at)
    pass_time(deadlines, at - 1, at + 1)
    assert len(noted.calls) == 1
    assert at <= noted.calls[0] <= at + TICK + 0.011
    assert (timed.deadline, deadlines.next_at()) == (NEVER, NEVER)


@pytest.mark.parametrize(("first", "second"), [(100.5, 101.5), (101.5, 100.5), (100.5, 100.52)])
def test_a_deadline_that_is_moved_fires_at_its_new_time_alone(first: float, second: float) -> None:
    deadlines, noted = Deadlines(), Noted()
    timed = noted.timed
    deadlines.arm(timed, first)
    deadlines.arm(timed, second)
    pass_time(deadlines, 100.0, 103.0)
    assert len(noted.calls) == 1
    assert second <= noted.calls[0] <= second + TICK + 0.011


def test_a_deadline_taken_back_does_not_fire() -> None:
    deadlines, put_off, forgotten = Deadlines(), Noted(), Noted()
    deadlines.arm(put_off.timed, 100.5)
    deadlines.arm(forgotten.timed, 100.5)
    deadlines.arm(put_off.timed, NEVER)
    deadlines.forget(forgotten.timed)
    deadlines.forget(forgotten.timed)
    pass_time(deadlines, 100.0, 102.0)
    assert put_off.calls == forgotten.calls == []
    deadlines.arm(put_off.timed, 103.0)
    pass_time(deadlines, 102.0, 104.0)
    assert len(put_off.calls) == 1


def test_a_forgotten_deadline_leaves_nothing_behind() -> None:
    deadlines = Deadlines()
    for at in range(1000):
        timed = Timed()
        deadlines.arm(timed, 100.0 + at * 0.01)
        deadlines.forget(timed)
    assert deadlines.next_at() == NEVER


def test_a_deadline_may_be_armed_from_within_its_own_call() -> None:
    deadlines = Deadlines()
    calls: list[float] = []
    delays = [0.0, 1.0, -1.0]

    def ring(now: float) -> None:
        calls.append(now)
        if delays:
            deadlines.arm(timed, now + delays.pop(0))

    timed = Alarm(ring)
    deadlines.arm(timed, 100.0)
    pass_time(deadlines, 99.0, 103.0)
    assert len(calls) == 4


def fail(now: float) -> None:
    raise ZeroDivisionError


def test_a_deadline_that_raises_costs_no_other_one_its_call() -> None:
    deadlines, others = Deadlines(), [Noted() for _ in range(20)]
    timed = [each.timed for each in others]
    for each in (*timed[:10], Alarm(fail), *timed[10:]):
        deadlines.arm(each, 100.0)
    with pytest.raises(ZeroDivisionError):
        deadlines.expire(101.0)
    deadlines.expire(101.0)
    assert [len(noted.calls) for noted in others] == [1] * 20


def test_all_deadlines_are_postponed_alike_and_none_is_lost() -> None:
    deadlines, noted, forgotten = Deadlines(), [Noted() for _ in range(50)], Noted()
    for number, each in enumerate(noted):
        deadlines.arm(each.timed, 100.0 + number * 0.013)
        deadlines.arm(each.timed, 100.0 + number * 0.017)  # later than its entry
    deadlines.arm(forgotten.timed, 100.2)
    deadlines.postpone(7.123)
    deadlines.forget(forgotten.timed)
    pass_time(deadlines, 100.0, 110.0)
    for number, each in enumerate(noted):
        at = 107.123 + number * 0.017
        assert len(each.calls) == 1
        assert at <= each.calls[0] <= at + TICK + 0.011
    assert forgotten.calls == []
    assert deadlines.next_at() == NEVER
