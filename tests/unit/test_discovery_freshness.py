"""Many watches make one state: fresh once all have answered, stale while any fails."""

from __future__ import annotations

from discovery.consul_sd.freshness import REFRESH, Freshness
from discovery.source import SourceState


def fresh(at: float, error: str = "") -> SourceState:
    return SourceState("consul", stale=False, stale_since=None, last_success=at, error=error)


def stale(since: float, success: float | None, error: str) -> SourceState:
    return SourceState("consul", stale=True, stale_since=since, last_success=success, error=error)


def both_fresh() -> Freshness:
    freshness = Freshness("consul")
    for name in ("a", "b"):
        freshness.add(name)
    freshness.succeeded("a", 1.0)
    assert freshness.state() is None
    freshness.succeeded("b", 2.0)
    assert freshness.state() == fresh(2.0)
    return freshness


def test_a_later_success_is_no_news_for_a_while() -> None:
    freshness = both_fresh()
    freshness.succeeded("a", 2.0 + REFRESH / 2)
    assert freshness.state() is None
    freshness.succeeded("a", 2.0 + REFRESH)
    assert freshness.state() == fresh(2.0 + REFRESH)


def test_stale_from_the_first_failure_until_none_fails() -> None:
    freshness = both_fresh()
    freshness.failed("a", 3.0, "refused")
    assert freshness.state() == stale(3.0, 2.0, "refused")
    freshness.failed("b", 4.0, "refused")
    freshness.failed("a", 5.0, "refused")
    assert freshness.state() is None
    freshness.succeeded("a", 6.0)
    assert freshness.state() is None  # b still fails: stale since 3.0 as before
    freshness.succeeded("b", 7.0)
    assert freshness.state() == fresh(7.0)


def test_a_failure_before_the_first_answer_is_told() -> None:
    freshness = Freshness("consul")
    freshness.add("a")
    freshness.failed("a", 1.0, "refused")
    assert freshness.state() == stale(1.0, None, "refused")


def test_a_doubtful_answer_is_stale_though_it_is_used() -> None:
    freshness = both_fresh()
    freshness.succeeded("a", 3.0, doubt="no leader")
    freshness.succeeded("a", 4.0, doubt="no leader")
    assert freshness.state() == stale(3.0, 2.0, "no leader")


def test_a_watch_that_is_dropped_no_longer_counts() -> None:
    freshness = both_fresh()
    freshness.failed("a", 3.0, "refused")
    freshness.drop("a")
    freshness.failed("a", 4.0, "refused")
    freshness.succeeded("a", 4.0)
    assert freshness.state("note") == fresh(2.0, "note")


def test_a_new_watch_does_not_make_a_fresh_source_stale() -> None:
    freshness = both_fresh()
    freshness.add("c")
    assert freshness.state() is None


def test_a_restored_view_is_stale_since_its_last_success_until_every_watch_has_answered() -> None:
    freshness = Freshness("consul")
    freshness.restore(5.0)
    freshness.add("a")
    freshness.add("b")
    state = freshness.state()
    assert state is not None
    assert (state.stale, state.stale_since, state.last_success, state.is_restored) == (True, 5.0, 5.0, True)
    assert "before the gateway's restart" in state.error
    freshness.failed("a", 100.0, "refused")
    state = freshness.state()
    assert state is not None
    assert (state.stale_since, state.error, state.is_restored) == (5.0, "refused", True)
    freshness.succeeded("b", 101.0)
    freshness.succeeded("a", 102.0)
    assert freshness.state() == fresh(102.0)
    freshness.failed("a", 103.0, "refused")
    assert freshness.state() == stale(103.0, 102.0, "refused")
