"""Thresholds: what a run of probe results makes of a target."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.settings import HealthSettings
from healthcheck.model import Health
from healthcheck.tracker import TRANSITIONS, Event, Tracker

SETTINGS = HealthSettings(healthy_threshold=2, unhealthy_threshold=3)


def run(results: str, tracker: Tracker | None = None) -> str:
    """Feed "+" and "-"; the health after each as one letter: ? unknown, H, U, n unchecked."""
    letters = {Health.UNKNOWN: "?", Health.HEALTHY: "H", Health.UNHEALTHY: "U", Health.UNCHECKED: "n"}
    tracker = tracker or Tracker(SETTINGS)
    told = ""
    for now, result in enumerate(results):
        tracker.observe(result == "+", float(now))
        told += letters[tracker.health]
    return told


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        pytest.param("+", "H", id="the first success admits at once"),
        pytest.param("--+", "??H", id="so does a success after failures below the threshold"),
        pytest.param("---", "??U", id="a new instance is unhealthy only at the threshold"),
        pytest.param("---+", "??UU", id="once unhealthy, one success is not enough"),
        pytest.param("---++", "??UUH", id="healthy_threshold successes in a row are"),
        pytest.param("---+-++", "??UUUUH", id="a failure starts the run of successes anew"),
        pytest.param("+--+---", "HHHHHHU", id="a success starts the run of failures anew"),
    ],
)
def test_thresholds(results: str, expected: str) -> None:
    assert run(results) == expected


def test_observe_tells_of_a_change_once_and_keeps_its_time() -> None:
    tracker = Tracker(SETTINGS)
    assert tracker.observe(True, 5.0) is Health.HEALTHY
    assert tracker.observe(True, 6.0) is None
    assert tracker.since == 5.0
    assert [tracker.observe(False, now) for now in (7.0, 8.0, 9.0, 10.0)] == [None, None, Health.UNHEALTHY, None]
    assert tracker.since == 9.0
    assert repr(tracker) == "<Tracker unhealthy +0 -4>"


def test_settling_is_a_run_that_contradicts_the_health() -> None:
    tracker = Tracker(SETTINGS)
    told = []
    for result in "-+----+-++":
        tracker.observe(result == "+", 0.0)
        told.append(tracker.is_settling)
    #                ?-    H+     H-    H--   U---   U----  U+    U-     U+    H++
    assert told == [True, False, True, True, False, False, True, False, True, False]


def test_thresholds_may_change_without_losing_the_count() -> None:
    tracker = Tracker(SETTINGS)
    assert run("+--", tracker) == "HHH"
    tracker.settings = HealthSettings(unhealthy_threshold=10)
    assert run("-", tracker) == "H"
    tracker.settings = HealthSettings(unhealthy_threshold=2)
    assert run("-", tracker) == "U"


def test_switching_checks_on_keeps_the_traffic_until_they_fail() -> None:
    tracker = Tracker(SETTINGS)
    assert tracker.exempt(1.0) is Health.UNCHECKED
    assert tracker.exempt(2.0) is None
    assert run("---", tracker) == "nnU"
    assert tracker.exempt(3.0) is Health.UNCHECKED
    assert run("+", tracker) == "H"


def test_the_table_is_total() -> None:
    for health, event in itertools.product(Health, Event):
        assert TRANSITIONS[health][event] in Health


@given(
    results=st.text("+-", max_size=60),
    rise=st.integers(1, 5),
    fall=st.integers(1, 5),
)
def test_health_agrees_with_the_latest_run(results: str, rise: int, fall: int) -> None:
    tracker = Tracker(HealthSettings(healthy_threshold=rise, unhealthy_threshold=fall))
    run(results, tracker)
    if "+" not in results:
        expected = Health.UNHEALTHY if len(results) >= fall else Health.UNKNOWN
        assert tracker.health is expected
    if results.endswith("+" * rise):
        assert tracker.health is Health.HEALTHY
    if results.endswith("-" * fall):
        assert tracker.health is Health.UNHEALTHY
    assert min(tracker.successes, tracker.failures) == 0
