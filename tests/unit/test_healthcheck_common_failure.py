"""Nearly everything fails at once: when that is said, and when it is taken back."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.settings import HealthSettings
from healthcheck.common_failure import MIN_TARGETS, SHARE, CommonFailure
from healthcheck.model import Health, Target
from tests.health_lab import Lab, passed, refused

RECENT = 7.5


def targets(count: int) -> list[Target]:
    return [Target("s", f"10.0.0.{number}:80") for number in range(1, count + 1)]


def after_success(count: int) -> CommonFailure:
    common = CommonFailure()
    for target in targets(count):
        common.observe(target, ok=True, now=0.0, recent=RECENT)
    return common


def fail(common: CommonFailure, some: list[Target], now: float = 10.0) -> None:
    for target in some:
        common.observe(target, ok=False, now=now, recent=RECENT)


@pytest.mark.parametrize(
    ("known", "failing", "is_common"),
    [(10, 8, True), (10, 7, False), (3, 3, True), (2, 2, False), (1, 1, False), (4, 3, False), (100, 80, True)],
)
def test_four_fifths_and_at_least_three(known: int, failing: int, is_common: bool) -> None:
    common = after_success(known)
    fail(common, targets(known)[:failing])
    assert common.is_on is is_common


def test_the_text_says_how_many_and_what_to_suspect() -> None:
    common = after_success(5)
    assert common.text == ""
    fail(common, targets(5))
    assert common.text == (
        "5 of 5 instances (5 addresses) began to fail their health checks at once: the gateway's own network is the "
        "likelier cause, check it first"
    )


def test_failures_one_by_one_are_no_common_failure() -> None:
    common = after_success(10)
    for number, target in enumerate(targets(10)):
        fail(common, [target], now=10.0 + 3.0 * number)
        assert not common.is_on


def test_what_never_passed_says_nothing_and_hides_nothing() -> None:
    common = after_success(10)
    fail(common, targets(40)[10:])
    assert repr(common) == "<CommonFailure 0 of 0, 10 passing>"
    fail(common, targets(10))
    assert repr(common) == "<CommonFailure 10 of 10, 0 passing>"


@pytest.mark.parametrize(("long_ago", "is_common"), [(2, True), (3, False)])
def test_what_failed_long_ago_is_no_part_of_it(long_ago: int, is_common: bool) -> None:
    common = after_success(10)
    fail(common, targets(10)[:long_ago], now=10.0)
    fail(common, targets(10)[long_ago:], now=100.0)
    assert common.is_on is is_common


def test_it_is_over_when_half_are_back_or_gone() -> None:
    common = after_success(10)
    fail(common, targets(10))
    for target in targets(10)[:5]:
        common.observe(target, ok=True, now=20.0, recent=RECENT)
    assert common.text
    common.observe(targets(10)[5], ok=True, now=20.0, recent=RECENT)
    assert not common.text


def test_it_is_over_when_all_of_it_are_gone() -> None:
    common = after_success(4)
    fail(common, targets(4))
    for target in targets(4):
        assert common.text
        common.forget(target)
    assert not common.text


@given(st.lists(st.tuples(st.integers(0, 11), st.sampled_from(["+", "-", "gone"]), st.floats(0.0, 3.0)), max_size=200))
@settings(deadline=None)
def test_it_never_begins_with_less_and_its_numbers_stay_true(steps: list[tuple[int, str, float]]) -> None:
    common, known, now = CommonFailure(), targets(12), 0.0
    last: dict[Target, bool] = {}
    for number, what, later in steps:
        now += later
        was_on, target = common.is_on, known[number]
        if what == "gone":
            common.forget(target)
            last.pop(target, None)
        else:
            common.observe(target, ok=what == "+", now=now, recent=RECENT)
            if what == "+" or target in last:  # what never passed is not counted
                last[target] = what == "+"
        failing = sum(not ok for ok in last.values())
        if common.is_on and not was_on:
            assert what == "-"
            assert failing >= MIN_TARGETS
            assert failing >= SHARE * len(last)
        if not failing:
            assert not common.is_on
        assert common.is_on is bool(common.text)


async def test_the_agent_says_it_once_and_takes_it_back(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    settings = {target: HealthSettings() for target in targets(20)}
    lab.agent.reconcile(settings)
    nursery.start_soon(lab.agent.run)
    await trio.sleep(20.0)
    assert lab.troubles == []
    lab.answers.update({target.address: refused for target in settings})
    broke = trio.current_time()
    while not lab.troubles:
        await trio.sleep(0.1)
    assert trio.current_time() - broke <= 5.5 + 0.2  # within one interval
    await trio.sleep(20.0)
    assert lab.troubles == [lab.troubles[0]]
    assert lab.agent.trouble.startswith("20 of 20 instances")
    assert all(lab.agent.health(target) is Health.UNHEALTHY for target in settings)  # said, not excused
    lab.answers.update({target.address: passed for target in settings})
    await trio.sleep(12.0)
    assert lab.troubles[1:] == [""]
    assert lab.agent.trouble == ""


async def test_a_target_that_goes_takes_its_part_with_it(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    lab.agent.reconcile({target: HealthSettings() for target in targets(3)})
    nursery.start_soon(lab.agent.run)
    await trio.sleep(10.0)
    lab.answers.update({target.address: refused for target in targets(3)})
    await trio.sleep(10.0)
    assert lab.agent.trouble
    lab.agent.reconcile({})
    assert [bool(trouble) for trouble in lab.troubles] == [True, False]
