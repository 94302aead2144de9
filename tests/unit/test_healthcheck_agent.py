"""The agent's timing and bookkeeping, with probes that are scripted and a clock that jumps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from discovery.settings import HealthSettings, ProbeType
from healthcheck.agent import HealthAgent, default_in_flight
from healthcheck.model import Health, Target, Transition
from tests.health_lab import ONE, TWO, Lab, lacking, passed, refused

SETTINGS = HealthSettings(interval=5.0, timeout=2.0, healthy_threshold=2, unhealthy_threshold=3)


async def test_first_probes_are_sent_at_once_and_admit(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    nursery.start_soon(lab.agent.run)
    await trio.sleep(1.0)
    lab.agent.reconcile({ONE: SETTINGS, TWO: SETTINGS})
    assert lab.agent.health(ONE) is Health.UNKNOWN
    assert lab.agent.last(ONE) is None
    await trio.sleep(0.02)
    assert lab.times(ONE) == lab.times(TWO) == [1.0]
    assert sorted(lab.story()) == [
        "9001 unknown->healthy: 200 in 10 ms",
        "9002 unknown->healthy: 200 in 10 ms",
    ]
    assert lab.agent.health(ONE) is Health.HEALTHY
    last = lab.agent.last(ONE)
    assert last is not None
    assert (last.ok, last.detail) == (True, "200 in 10 ms")
    assert last.duration == pytest.approx(0.01)
    assert repr(lab.agent) == "<HealthAgent 2 targets>"


async def test_reconcile_before_run_counts(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    lab = Lab()
    lab.agent.reconcile({ONE: SETTINGS})
    nursery.start_soon(lab.agent.run)
    await trio.sleep(0.02)
    assert lab.agent.health(ONE) is Health.HEALTHY


async def test_gaps_count_from_start_to_start(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    lab = Lab(takes=1.9)
    lab.agent.reconcile({ONE: SETTINGS})
    nursery.start_soon(lab.agent.run)
    await trio.sleep(60.0)
    first, *gaps = [b - a for a, b in zip(lab.times(ONE), lab.times(ONE)[1:], strict=False)]
    assert 1.9 <= first <= 5.0  # not before the first has ended
    assert len(gaps) >= 9
    assert all(4.5 <= gap <= 5.5 for gap in gaps)


async def test_a_probe_slower_than_the_interval_is_followed_at_once(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab(takes=3.0)
    lab.agent.reconcile({ONE: replace(SETTINGS, interval=1.0, timeout=5.0)})
    nursery.start_soon(lab.agent.run)
    await trio.sleep(10.0)
    assert lab.times(ONE) == [0.0, 3.0, 6.0, 9.0]
    assert lab.network.most_in_flight == 1


async def test_a_failing_instance_is_out_within_interval_and_two_fast_probes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    lab.agent.reconcile({ONE: SETTINGS})
    nursery.start_soon(lab.agent.run)
    await trio.sleep(10.0)
    lab.answers[ONE.address] = refused
    broke = trio.current_time()
    while len(lab.transitions) < 2:
        await trio.sleep(0.1)
    assert lab.story()[1] == "9001 healthy->unhealthy: connection refused"
    assert lab.transitions[1].at - broke <= 5.5 + 2 * 1.1 + 0.1
    lab.answers[ONE.address] = passed
    while len(lab.transitions) < 3:
        await trio.sleep(0.1)
    assert lab.story()[2] == "9001 unhealthy->healthy: 200 in 10 ms"
    gap = lab.times(ONE)[-1] - lab.times(ONE)[-2]
    assert 0.9 <= gap <= 1.1  # the second success was looked for at interval / 5


async def test_probes_in_flight_are_bounded_and_nobody_waits_forever(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab(takes=0.5, max_in_flight=10)
    targets = {Target("s", f"10.0.0.1:{port}"): SETTINGS for port in range(1, 96)}
    lab.agent.reconcile(targets)
    nursery.start_soon(lab.agent.run)
    await trio.sleep(5.01)
    assert lab.network.most_in_flight == 10
    assert {address for address, _, _ in lab.sent} == {target.address for target in targets}


async def test_kept_targets_keep_what_is_known_through_changes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    nursery.start_soon(lab.agent.run)
    lab.answers[TWO.address] = refused
    lab.agent.reconcile({ONE: SETTINGS, TWO: SETTINGS})
    await trio.sleep(10.0)
    assert (lab.agent.health(ONE), lab.agent.health(TWO)) == (Health.HEALTHY, Health.UNHEALTHY)
    told = len(lab.transitions)
    changed = replace(SETTINGS, interval=60.0, healthy_threshold=5)
    lab.agent.reconcile({ONE: changed, TWO: replace(changed, path="/other")})
    assert (lab.agent.health(ONE), lab.agent.health(TWO)) == (Health.HEALTHY, Health.UNHEALTHY)
    sent = len(lab.sent)
    await trio.sleep(1.0)
    assert [(address, path) for address, path, _ in lab.sent[sent:]] == [(TWO.address, "/other")]  # asked at once
    assert len(lab.transitions) == told


async def test_a_shorter_interval_takes_effect_at_once(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: replace(SETTINGS, interval=3600.0)})
    await trio.sleep(2.0)
    assert len(lab.sent) == 1
    lab.agent.reconcile({ONE: replace(SETTINGS, interval=1.0)})
    await trio.sleep(1.2)
    assert len(lab.sent) >= 2


async def test_an_answer_to_an_old_question_is_dropped(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab(takes=1.0)
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    await trio.sleep(0.5)
    lab.agent.reconcile({ONE: replace(SETTINGS, path="/other")})
    await trio.sleep(0.75)
    assert lab.results == []
    await trio.sleep(0.5)
    assert [(path, time) for _, path, time in lab.sent[:2]] == [("/health", 0.0), ("/other", 0.5)]
    assert lab.results == [(ONE, True)]


async def test_a_target_that_goes_is_forgotten(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    lab = Lab(takes=1.0)
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS, TWO: SETTINGS})
    await trio.sleep(0.5)
    lab.agent.reconcile({TWO: SETTINGS})
    await trio.sleep(30.0)
    assert len(lab.times(ONE)) == 1
    assert ONE not in {target for target, _ in lab.results}
    assert lab.agent.health(ONE) is Health.UNKNOWN
    lab.agent.reconcile({ONE: SETTINGS, TWO: SETTINGS})
    await trio.sleep(1.1)
    assert lab.agent.health(ONE) is Health.HEALTHY


async def test_type_none_is_told_at_once_and_sends_nothing(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    none = replace(SETTINGS, type=ProbeType.NONE)
    lab.agent.reconcile({ONE: none})
    assert lab.story() == ["9001 unknown->unchecked: not checked: health type is none"]
    lab.agent.reconcile({ONE: none})
    nursery.start_soon(lab.agent.run)
    await trio.sleep(60.0)
    assert (lab.sent, len(lab.transitions)) == ([], 1)
    lab.agent.reconcile({ONE: SETTINGS})
    assert lab.agent.health(ONE) is Health.UNCHECKED
    await trio.sleep(1.0)
    assert lab.agent.health(ONE) is Health.HEALTHY
    lab.agent.reconcile({ONE: none})
    assert lab.agent.health(ONE) is Health.UNCHECKED


async def test_none_while_the_first_probe_is_only_just_starting(autojump_clock: trio.testing.MockClock) -> None:
    lab = Lab()
    lab.agent.reconcile({ONE: SETTINGS})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.agent.run)
        for _ in range(10):  # whatever the step the scheduler is at
            await trio.lowlevel.checkpoint()
            lab.agent.reconcile({ONE: replace(SETTINGS, type=ProbeType.NONE)})
            await trio.lowlevel.checkpoint()
            lab.agent.reconcile({ONE: SETTINGS})
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()
    assert lab.agent.health(ONE) is Health.HEALTHY


async def test_only_those_that_may_have_changed_are_looked_at(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    lab.agent.reconcile({TWO: SETTINGS}, [TWO])  # that ONE has gone is not among what is to be looked at
    await trio.sleep(0.02)
    assert (lab.agent.health(ONE), lab.agent.health(TWO)) == (Health.HEALTHY, Health.HEALTHY)
    lab.agent.reconcile({TWO: SETTINGS}, [ONE])
    assert (lab.agent.health(ONE), lab.agent.health(TWO)) == (Health.UNKNOWN, Health.HEALTHY)
    lab.agent.reconcile({TWO: SETTINGS}, [ONE])  # twice is once


async def test_a_callback_may_reconcile(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    lab = Lab()
    agent: HealthAgent

    def remove(transition: Transition) -> None:
        lab.transitions.append(transition)
        agent.reconcile({TWO: SETTINGS})

    agent = lab.make(remove)
    agent.reconcile({ONE: SETTINGS})
    nursery.start_soon(agent.run)
    await trio.sleep(30.0)
    assert [transition.target for transition in lab.transitions] == [ONE, TWO]
    assert len(lab.times(ONE)) == 1
    assert len(lab.times(TWO)) > 4


async def test_what_this_machine_could_not_send_says_nothing(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    await trio.sleep(10.0)
    lab.answers[ONE.address] = lacking
    before = len(lab.results)
    await trio.sleep(60.0)
    assert len(lab.results) == before
    assert lab.agent.health(ONE) is Health.HEALTHY
    last = lab.agent.last(ONE)
    assert last is not None
    assert last.detail.startswith("not sent: too many open files")
    assert lab.troubles == ["1 of 1 instances cannot be probed: not sent: too many open files on the gateway's machine"]
    lab.answers[ONE.address] = passed
    await trio.sleep(6.0)
    assert lab.troubles[1:] == [""]


def spread(lab: Lab, since: int, until: int) -> tuple[int, int]:
    """The least and the most probes sent in any second."""
    seconds = [int(time) for _, _, time in lab.sent if since <= time < until]
    counts = [seconds.count(second) for second in range(since, until)]
    return min(counts), max(counts)


@pytest.mark.parametrize("before", [None, 1.0, 60.0])
async def test_probes_of_many_targets_are_soon_spread_over_the_interval(
    before: float | None, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """New ones, and those whose interval has changed, all together."""
    lab = Lab(takes=0.0, max_in_flight=1000)
    targets = [Target("s", f"10.0.0.1:{port}") for port in range(1, 501)]
    nursery.start_soon(lab.agent.run)
    if before:
        lab.agent.reconcile(dict.fromkeys(targets, replace(SETTINGS, interval=before)))
        await trio.sleep(0.5)
    lab.agent.reconcile(dict.fromkeys(targets, SETTINGS))
    await trio.sleep(30.0)
    least, most = spread(lab, 10, 30)
    assert least >= 60  # 100 are the share of a second
    assert most <= 150


async def test_a_fault_in_a_callback_is_not_swallowed(autojump_clock: trio.testing.MockClock) -> None:
    def broken(transition: Transition) -> None:
        raise RuntimeError("a fault of the supervisor")

    lab = Lab()
    agent = lab.make(broken)
    agent.reconcile({ONE: SETTINGS})
    with pytest.raises(RuntimeError, match="a fault of the supervisor"):
        await agent.run()
    assert lab.network.is_closed


def test_the_bound_on_probes_leaves_descriptors_for_others() -> None:
    assert 1 <= default_in_flight() <= 4000
