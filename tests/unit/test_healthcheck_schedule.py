"""When probes are due."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthcheck.schedule import fast_interval, next_start

intervals = st.floats(0.1, 3600.0)
seeds = st.integers(0, 1000)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [(5.0, 1.0), (10.0, 2.0), (2.5, 0.5), (1.0, 0.5), (0.5, 0.5), (0.2, 0.2)],
)
def test_fast_interval_is_a_fifth_within_bounds(interval: float, expected: float) -> None:
    assert fast_interval(interval) == expected


@given(interval=intervals, seed=seeds)
def test_jitter_is_ten_percent_from_the_start_of_the_previous_probe(interval: float, seed: int) -> None:
    gap = next_start(100.0, interval, Random(seed), is_first=False, is_settling=False) - 100.0
    assert 0.9 * interval - 1e-6 <= gap <= 1.1 * interval + 1e-6


@given(interval=intervals, seed=seeds)
def test_the_second_probe_is_spread_and_never_late(interval: float, seed: int) -> None:
    gap = next_start(100.0, interval, Random(seed), is_first=True, is_settling=False) - 100.0
    assert 0.0 <= gap <= interval + 1e-6


@given(interval=intervals, seed=seeds, is_first=st.booleans())
def test_between_thresholds_probes_are_faster(interval: float, seed: int, is_first: bool) -> None:
    gap = next_start(100.0, interval, Random(seed), is_first=is_first, is_settling=True) - 100.0
    fast = fast_interval(interval)
    assert 0.9 * fast - 1e-6 <= gap <= 1.1 * fast + 1e-6


def test_the_same_seed_gives_the_same_times() -> None:
    def times() -> list[float]:
        rng = Random(7)
        return [next_start(0.0, 5.0, rng, is_first=False, is_settling=False) for _ in range(5)]

    assert times() == times()
    assert len(set(times())) == 5
