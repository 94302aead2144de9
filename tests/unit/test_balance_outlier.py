"""When an instance is left alone because of what real attempts met."""

from __future__ import annotations

import pytest

from gateway.balance.instance import LiveInstance
from gateway.balance.outlier import CONNECT_AVOID, OutlierDetector, may_eject


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


@pytest.mark.parametrize(
    ("total", "ejected", "percent", "allowed"),
    [
        (1, 0, 100, False),
        (2, 0, 50, True),
        (2, 0, 49, False),
        (2, 1, 100, False),
        (3, 0, 50, True),
        (3, 1, 50, False),
        (3, 1, 67, True),
        (10, 4, 50, True),
        (10, 5, 50, False),
        (10, 0, 0, False),
    ],
)
def test_how_much_of_a_service_may_be_ejected(total: int, ejected: int, percent: int, allowed: bool) -> None:
    assert may_eject(total, ejected, percent) is allowed
