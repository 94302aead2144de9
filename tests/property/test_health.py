"""What is known of an instance changes by its own probes alone: the tracker by itself, and the agent under churn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.settings import HealthSettings
from healthcheck.agent import HealthAgent
from healthcheck.model import Health, Target
from healthcheck.tracker import Tracker
from tests.health_lab import Lab, lacking, passed, refused

TARGETS = [Target("s", f"10.0.0.{number}:80") for number in range(1, 7)]
BASE = HealthSettings(interval=5.0, timeout=2.0)

RESULT = st.sampled_from(["+", "-"])
THRESHOLDS = st.tuples(st.integers(1, 4), st.integers(1, 4))  # rise, fall


@given(st.lists(st.one_of(RESULT, THRESHOLDS), max_size=80))
@settings(deadline=None)
def test_the_tracker_is_what_the_rules_say(steps: list[str | tuple[int, int]]) -> None:
    """The rules once more, from the whole history each time: thresholds in force count, whenever they came."""
    tracker = Tracker(BASE)
    history = ""
    rise, fall = BASE.healthy_threshold, BASE.unhealthy_threshold
    expected = Health.UNKNOWN
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            rise, fall = step
            tracker.settings = replace(BASE, healthy_threshold=rise, unhealthy_threshold=fall)
            assert tracker.health is expected  # thresholds alone move nothing
            continue
        history += step
        before = expected
        if step == "+" and (expected is Health.UNKNOWN or history.endswith("+" * rise)):
            expected = Health.HEALTHY
        elif history.endswith("-" * fall):
            expected = Health.UNHEALTHY
        told = tracker.observe(step == "+", float(number))
        assert tracker.health is expected
        assert told is (None if expected is before else expected)
        run = len(history) - len(history.rstrip(step))
        assert (tracker.successes, tracker.failures) == ((run, 0) if step == "+" else (0, run))


NUMBER = st.integers(0, len(TARGETS) - 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), NUMBER, st.sampled_from([passed, refused, lacking])),
        st.tuples(st.just("targets"), st.sets(NUMBER), st.none()),
        st.tuples(st.just("thresholds"), NUMBER, THRESHOLDS),
        st.tuples(st.just("interval"), NUMBER, st.sampled_from([1.0, 5.0, 60.0])),
        st.tuples(st.just("path"), NUMBER, st.sampled_from(["/a", "/b"])),
        st.tuples(st.just("wait"), st.floats(0.01, 12.0), st.none()),
    ),
    max_size=40,
)


def known(agent: HealthAgent) -> dict[Target, tuple[Health, bool]]:
    return {target: (agent.health(target), agent.last(target) is not None) for target in TARGETS}


async def churn(steps: list[tuple[str, Any, Any]]) -> None:
    lab = Lab()
    wanted = dict.fromkeys(TARGETS, BASE)
    since: dict[Target, float] = dict.fromkeys(TARGETS, 0.0)  # when the target or its settings came
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.agent.run)
        lab.agent.reconcile(wanted)
        for what, which, how in [*steps, ("wait", 0.5, None)]:
            if what == "wait":
                await trio.sleep(which)
                continue
            if what == "answer":
                lab.answers[TARGETS[which].address] = how
                continue
            before, old = known(lab.agent), wanted
            wanted = changed(wanted, what, which, how)
            lab.agent.reconcile(wanted)
            after = known(lab.agent)
            for target in TARGETS:
                if target in old and target in wanted:
                    assert after[target] == before[target]
                if old.get(target) != wanted.get(target):
                    since[target] = trio.current_time() - began
                if target not in wanted:
                    assert after[target] == (Health.UNKNOWN, False)
        for target, each in wanted.items():  # each is probed as often as promised, whatever became of the others
            times = [since[target], *(time for time in lab.times(target) if time >= since[target])]
            ends = [*times[1:], trio.current_time() - began]
            gaps = [end - start for start, end in zip(times, ends, strict=True)]
            assert max(gaps) <= each.interval * 1.1 + 0.02
        nursery.cancel_scope.cancel()


def changed(
    wanted: dict[Target, HealthSettings], what: str, which: object, how: object
) -> dict[Target, HealthSettings]:
    """The targets after one step."""
    if what == "targets":
        assert isinstance(which, set)
        return {TARGETS[number]: wanted.get(TARGETS[number], BASE) for number in sorted(which)}
    assert isinstance(which, int)
    target = TARGETS[which]
    each = wanted.get(target)
    if each is None:
        return dict(wanted)
    match how:
        case (int(rise), int(fall)):
            return {**wanted, target: replace(each, healthy_threshold=rise, unhealthy_threshold=fall)}
        case float():
            return {**wanted, target: replace(each, interval=how)}
        case str():
            return {**wanted, target: replace(each, path=how)}
        case _:
            raise AssertionError(how)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_churn_resets_nothing_and_delays_nobody(steps: list[tuple[str, Any, Any]]) -> None:
    trio.run(churn, steps, clock=trio.testing.MockClock(autojump_threshold=0.0))
