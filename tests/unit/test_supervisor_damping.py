"""How long a flapping instance is held, and how that is forgotten."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.supervisor.damping import FIRST, FORGIVE, FREE, LONGEST, Damping, hold_seconds


def test_the_first_flaps_cost_nothing_and_each_further_one_twice_as_much_up_to_a_bound() -> None:
    holds = [hold_seconds(flaps) for flaps in range(FREE + 9)]
    assert holds == [0.0, 0.0, 0.0, 0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert hold_seconds(10**6) == LONGEST


def test_who_does_not_flap_is_never_held() -> None:
    damping = Damping()
    assert not damping.is_held(0.0)
    for fall in range(100):
        damping.flap(fall * (FORGIVE + 1.0))
        assert not damping.is_held(fall * (FORGIVE + 1.0))
    assert damping.held_until == -math.inf


def test_a_hold_counts_from_the_fall() -> None:
    damping = Damping()
    for _ in range(FREE):
        damping.flap(100.0)
    damping.flap(101.0)
    assert damping.is_held(101.0 + FIRST - 0.01)
    assert not damping.is_held(101.0 + FIRST)


def test_flaps_while_held_count_and_prolong_it() -> None:
    damping = Damping()
    for _ in range(FREE + 1):
        damping.flap(0.0)
    assert damping.held_until == FIRST
    damping.flap(1.0)
    assert damping.held_until == 1.0 + 2 * FIRST


def test_time_without_a_flap_forgives_one_after_the_other_once_it_is_not_held() -> None:
    damping = Damping()
    for _ in range(FREE + 1):
        damping.flap(0.0)
    since = damping.held_until
    counts = [damping.flaps(since + seconds) for seconds in (0.0, FORGIVE - 0.1, FORGIVE, 2 * FORGIVE, 99 * FORGIVE)]
    assert counts == [4, 4, 3, 2, 0]


@given(st.lists(st.floats(min_value=0.0, max_value=400.0), min_size=1, max_size=40))
def test_laws_of_every_sequence_of_flaps(gaps: list[float]) -> None:
    damping, now = Damping(), 0.0
    before = -math.inf
    for gap in gaps:
        now += gap
        counted = damping.flaps(now)
        damping.flap(now)
        assert damping.flaps(now) == counted + 1
        assert damping.held_until >= before, "a flap never shortens a hold"
        assert damping.held_until <= now + LONGEST
        assert damping.is_held(now) is (damping.held_until > now)
        assert damping.held_until >= now + hold_seconds(counted + 1) or counted < FREE
        before = damping.held_until
    assert damping.flaps(now + LONGEST + FORGIVE * len(gaps)) == 0


@pytest.mark.parametrize("period", [1.0, 5.0, 20.0])
def test_a_steady_flapper_is_out_longer_each_time(period: float) -> None:
    """It falls again as soon as it has been back for `period` seconds."""
    damping, now = Damping(), 0.0
    holds = []
    for _ in range(9):
        damping.flap(now)
        holds.append(max(0.0, damping.held_until - now))
        now = max(now, damping.held_until) + period
    assert holds == sorted(holds)
    assert holds[-1] > holds[-2] > holds[-3] > 0.0
