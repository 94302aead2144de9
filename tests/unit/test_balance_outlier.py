"""When an instance is left alone because of what real attempts met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.balance.instance import LiveInstance
from gateway.balance.outlier import CONNECT_AVOID, LONGEST, OutlierDetector


class Judged:
    """An instance with a detector that ejects on 3 failures for 10 s, and a caller that applies it."""

    def __init__(self, *, applied: bool = True) -> None:
        self.instance = LiveInstance("users", "10.0.0.1", 80, 0, 0, 1)
        self.detector = OutlierDetector(3, 10.0)
        self.applied = applied

    def see(self, *outcomes: bool, now: float, connect_failed: bool = False) -> list[float]:
        told = []
        for ok in outcomes:
            duration = self.detector.record(self.instance, ok, now, connect_failed)
            if duration and self.applied:
                self.instance.ejected_until = now + duration
            told.append(duration)
        return told


def test_failures_in_a_row_eject() -> None:
    assert Judged().see(False, False, False, now=1.0) == [0.0, 0.0, 10.0]


def test_a_success_starts_the_row_anew() -> None:
    assert Judged().see(False, False, True, False, False, now=1.0) == [0.0] * 5


def test_attempts_begun_before_the_ejection_say_nothing_new() -> None:
    judged = Judged()
    judged.see(False, False, False, now=1.0)
    assert judged.see(False, True, False, now=10.9) == [0.0, 0.0, 0.0]
    assert judged.see(False, now=11.0) == [20.0]


def test_on_probation_one_success_opens() -> None:
    judged = Judged()
    judged.see(False, False, False, now=1.0)
    assert judged.see(True, False, False, now=11.0) == [0.0, 0.0, 0.0]
    assert judged.see(False, now=12.0) == [20.0]


def test_ejections_grow_to_a_bound_and_quiet_periods_shorten_them() -> None:
    judged = Judged()
    now = 0.0
    durations = []
    judged.see(False, False, now=now)
    for _ in range(32):
        durations += judged.see(False, now=now)
        now = judged.instance.ejected_until
    assert durations[:3] == [10.0, 20.0, 30.0]
    assert durations[-3:] == [300.0, 300.0, 300.0]
    assert judged.instance.eject_count == 32
    assert judged.see(False, now=now + 305.0) == [30.0]  # 32 - 30 quiet periods + 1


def test_a_refused_connect_is_avoided_for_a_moment_and_counts() -> None:
    judged = Judged()
    assert judged.see(False, False, False, now=1.0, connect_failed=True) == [CONNECT_AVOID, CONNECT_AVOID, 10.0]


def test_an_ejection_that_was_not_applied_does_not_count() -> None:
    judged = Judged(applied=False)
    assert judged.see(*[False] * 6, now=1.0) == [0.0, 0.0, 10.0, 10.0, 10.0, 10.0]
    judged.applied = True
    assert judged.see(False, False, now=2.0) == [10.0, 0.0]
    assert judged.see(False, now=12.0) == [20.0]


def test_without_a_threshold_nothing_is_ejected() -> None:
    judged = Judged()
    judged.detector = OutlierDetector(0, 10.0)
    assert judged.see(*[False] * 9, now=1.0) == [0.0] * 9
    assert judged.see(False, now=1.0, connect_failed=True) == [CONNECT_AVOID]


def test_another_workers_ejection_is_taken_over_with_its_number_and_its_probation() -> None:
    judged = Judged()
    judged.detector.adopt(judged.instance, 2, 21.0)
    assert judged.see(False, False, now=20.9) == [0.0, 0.0], "it is out already"
    assert judged.see(False, now=21.0) == [30.0], "one failure is enough, and it is the third ejection"


def test_after_another_workers_ejection_a_success_opens() -> None:
    judged = Judged()
    judged.detector.adopt(judged.instance, 1, 11.0)
    assert judged.see(True, False, False, now=11.0) == [0.0, 0.0, 0.0]


def test_an_ejection_may_end_before_its_time_and_still_counts() -> None:
    judged = Judged()
    judged.see(False, False, False, now=1.0)
    judged.detector.release(judged.instance, 3.0)
    assert judged.see(False, now=3.0) == [20.0]


def test_ending_what_is_not_in_force_changes_nothing() -> None:
    judged = Judged(applied=False)
    judged.see(False, False, False, now=1.0)
    judged.detector.release(judged.instance, 3.0)
    assert judged.instance.sentenced_until == 11.0


@pytest.mark.parametrize(
    ("outcomes", "of_connects"),
    [
        ((True, True, True), True),
        ((False, True, True), False),
        ((True, True, False), False),
    ],
)
def test_a_row_is_of_connects_when_every_failure_was_one(outcomes: tuple[bool, ...], of_connects: bool) -> None:
    judged = Judged()
    for connect_failed in outcomes:
        judged.see(False, now=1.0, connect_failed=connect_failed)
    assert judged.instance.is_row_of_connects is of_connects
    assert judged.instance.sentenced_until == 11.0
    judged.see(False, now=11.0, connect_failed=True)
    assert judged.instance.is_row_of_connects is of_connects, "probation goes on with the row"
    judged.see(True, now=31.0)
    judged.see(False, now=31.0, connect_failed=True)
    assert judged.instance.is_row_of_connects, "a success starts the row anew"


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(min_value=0.0, max_value=400.0)), max_size=60))
def test_laws_of_every_sequence_of_attempts(attempts: list[tuple[bool, bool, float]]) -> None:
    judged, now = Judged(), 0.0
    for ok, connect_failed, gap in attempts:
        now += gap
        was_ejected = now < judged.instance.sentenced_until
        (seconds,) = judged.see(ok, now=now, connect_failed=connect_failed)
        assert 0.0 <= seconds <= LONGEST
        if ok or was_ejected:
            assert seconds == 0.0
        elif seconds > CONNECT_AVOID:
            assert seconds == min(LONGEST, 10.0 * judged.instance.eject_count)
            assert judged.instance.sentenced_until == now + seconds
        else:
            assert seconds == (CONNECT_AVOID if connect_failed else 0.0)
