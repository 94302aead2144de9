"""A process that stands still is not its instances' fault: what the agent makes of answers and silence then."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from discovery.settings import HealthSettings
from healthcheck.lateness import BEAT, GRACE, Lateness
from healthcheck.model import Health
from tests.health_lab import ONE, Lab, broke, refused

SETTINGS = HealthSettings(interval=5.0, timeout=2.0, healthy_threshold=2, unhealthy_threshold=1)


async def stand_still(clock: trio.testing.MockClock, seconds: float) -> None:
    """Nothing runs for so long; then everything that can."""
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def run_for(clock: trio.testing.MockClock, seconds: float) -> None:
    """Time passes as it should."""
    for _ in range(round(seconds / BEAT * 10)):
        await stand_still(clock, BEAT / 10)


async def test_silence_while_standing_still_is_asked_again_soon_but_not_for_ever(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    lab = Lab(takes=60.0)
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    for number in range(3):
        await trio.testing.wait_all_tasks_blocked()
        assert (len(lab.sent), lab.results) == (number + 1, [])
        await stand_still(mock_clock, 3.0)
        await run_for(mock_clock, 1.2)  # a fast interval
    assert lab.results == [(ONE, False)]
    assert lab.story() == ["9001 unknown->unhealthy: timed out after 2.0 s"]


async def test_silence_while_running_counts(nursery: trio.Nursery, mock_clock: trio.testing.MockClock) -> None:
    lab = Lab(takes=60.0)
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    await run_for(mock_clock, 2.1)
    assert lab.results == [(ONE, False)]


async def test_an_answer_that_waited_while_standing_still_is_an_answer(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    lab = Lab(takes=1.0)
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    await trio.testing.wait_all_tasks_blocked()
    await stand_still(mock_clock, 30.0)  # long past its time limit
    assert lab.results == [(ONE, True)]
    assert lab.agent.health(ONE) is Health.HEALTHY


async def test_a_connection_that_broke_while_standing_still_says_nothing(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    """An instance that closes on a client who said nothing for 30 s is well."""
    lab = Lab(takes=1.0)
    lab.answers[ONE.address] = broke
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    await trio.testing.wait_all_tasks_blocked()
    await stand_still(mock_clock, 30.0)
    assert lab.results == []
    await run_for(mock_clock, 2.2)
    assert lab.results == [(ONE, False)]  # nor did it say anything when there was time


async def test_a_refusal_counts_however_late(nursery: trio.Nursery, mock_clock: trio.testing.MockClock) -> None:
    lab = Lab(takes=2.0)
    lab.answers[ONE.address] = refused
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: replace(SETTINGS, unhealthy_threshold=3)})
    await trio.testing.wait_all_tasks_blocked()
    await stand_still(mock_clock, 3.0)
    assert lab.results == [(ONE, False)]


async def test_probes_that_could_not_be_sent_in_time_are_sent_late_and_count(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    lab = Lab(takes=0.0)
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    await trio.testing.wait_all_tasks_blocked()
    await stand_still(mock_clock, 60.0)
    assert lab.times(ONE) == [0.0, 60.0]
    assert lab.results == [(ONE, True), (ONE, True)]


def test_what_was_woken_late_is_lost() -> None:
    lateness = Lateness()
    lateness.woke(10.0, 9.5)  # by an event
    lateness.woke(10.0, 10.0 + GRACE / 2)
    assert lateness.lost == 0.0
    lateness.woke(10.0, 12.0)
    lateness.woke(15.0, 15.5)
    assert lateness.lost == pytest.approx(2.5)
