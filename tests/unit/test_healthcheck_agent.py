"""The agent's timing and bookkeeping, with probes that are scripted and a clock that jumps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
import trio
import trio.testing

from discovery.settings import HealthSettings, ProbeType
from healthcheck.agent import HealthAgent, Probe
from healthcheck.dial import ProbeNotSent
from healthcheck.lateness import Lateness
from healthcheck.model import Health, Target, Transition, Verdict

SETTINGS = HealthSettings(interval=5.0, timeout=2.0, healthy_threshold=2, unhealthy_threshold=3)
ONE = Target("users", "127.0.0.1:9001")
TWO = Target("users", "127.0.0.1:9002")

Script = Callable[[], Verdict]


class Lab:
    """An agent whose probes answer as `answers` says, and what it told. Times are trio's, from the start."""

    def __init__(self, *, takes: float = 0.01, max_in_flight: int = 100) -> None:
        self.began = trio.current_time()
        self.takes = takes
        self.answers: dict[str, Script] = {}
        self.sent: list[tuple[str, str, float]] = []  # address, path, time
        self.transitions: list[Transition] = []
        self.results: list[tuple[Target, bool]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.agent = HealthAgent(
            self.transitions.append,
            lambda target, verdict: self.results.append((target, verdict.ok)),
            build=self.build,
            rng=Random(1),
            wall=trio.current_time,
            max_in_flight=max_in_flight,
        )

    def build(self, address: str, settings: HealthSettings) -> Probe | None:
        if settings.type is ProbeType.NONE:
            return None

        async def probe() -> Verdict:
            self.sent.append((address, settings.path, trio.current_time() - self.began))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            try:
                await trio.sleep(self.takes)
            finally:
                self.in_flight -= 1
            return self.answers.get(address, passed)()

        return probe

    def times(self, target: Target) -> list[float]:
        return [time for address, _, time in self.sent if address == target.address]

    def story(self) -> list[str]:
        return [f"{t.target.address[-4:]} {t.previous}->{t.health}: {t.detail}" for t in self.transitions]


def passed() -> Verdict:
    return Verdict(ok=True, detail="200 in 3 ms", duration=0.003)


def failed() -> Verdict:
    return Verdict(ok=False, detail="connection refused", duration=0.001)


def timed_out() -> Verdict:
    return Verdict(ok=False, detail="timed out after 2.0 s", duration=2.0)


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
        "9001 unknown->healthy: 200 in 3 ms",
        "9002 unknown->healthy: 200 in 3 ms",
    ]
    assert lab.agent.health(ONE) is Health.HEALTHY
    assert lab.agent.last(ONE) == passed()
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
    assert 2.5 <= first <= 5.0
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
    assert lab.most_in_flight == 1


async def test_a_failing_instance_is_out_within_interval_and_two_fast_probes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    lab.agent.reconcile({ONE: SETTINGS})
    nursery.start_soon(lab.agent.run)
    await trio.sleep(10.0)
    lab.answers[ONE.address] = failed
    broke = trio.current_time()
    while len(lab.transitions) < 2:
        await trio.sleep(0.1)
    assert lab.story()[1] == "9001 healthy->unhealthy: connection refused"
    assert lab.transitions[1].at - broke <= 5.5 + 2 * 1.1 + 0.1
    lab.answers[ONE.address] = passed
    while len(lab.transitions) < 3:
        await trio.sleep(0.1)
    assert lab.story()[2] == "9001 unhealthy->healthy: 200 in 3 ms"
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
    assert lab.most_in_flight == 10
    assert {address for address, _, _ in lab.sent} == {target.address for target in targets}


async def test_kept_targets_keep_what_is_known_through_changes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    lab = Lab()
    nursery.start_soon(lab.agent.run)
    lab.answers[TWO.address] = failed
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
    assert [(path, time) for _, path, time in lab.sent] == [("/health", 0.0), ("/other", 0.5)]
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


async def test_a_callback_may_reconcile(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    lab = Lab()
    agent: HealthAgent

    def remove(transition: Transition) -> None:
        lab.transitions.append(transition)
        agent.reconcile({TWO: SETTINGS})

    agent = HealthAgent(remove, lambda target, verdict: None, build=lab.build)
    agent.reconcile({ONE: SETTINGS})
    nursery.start_soon(agent.run)
    await trio.sleep(30.0)
    assert [transition.target for transition in lab.transitions] == [ONE, TWO]
    assert len(lab.times(ONE)) == 1
    assert len(lab.times(TWO)) > 4


async def test_what_this_machine_could_not_send_says_nothing(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    def lacking() -> Verdict:
        raise ProbeNotSent("not sent: too many open files on the gateway's machine")

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


async def test_timeouts_of_a_process_that_stood_still_are_let_pass_but_not_for_ever(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    lab = Lab(takes=2.0)
    lab.answers[ONE.address] = timed_out
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: replace(SETTINGS, unhealthy_threshold=1)})
    for number in range(3):
        await trio.testing.wait_all_tasks_blocked()
        assert (len(lab.sent), lab.results) == (number + 1, [])
        mock_clock.jump(3.0)  # one long standstill: the beat and the timeout are both late
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1.2)  # a fast interval
    assert lab.results == [(ONE, False)]
    assert lab.agent.health(ONE) is Health.UNHEALTHY


async def test_a_refusal_counts_however_late(nursery: trio.Nursery, mock_clock: trio.testing.MockClock) -> None:
    lab = Lab(takes=2.0)
    lab.answers[ONE.address] = failed
    nursery.start_soon(lab.agent.run)
    lab.agent.reconcile({ONE: SETTINGS})
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(3.0)
    await trio.testing.wait_all_tasks_blocked()
    assert lab.results == [(ONE, False)]


async def test_a_fault_in_a_callback_is_not_swallowed(autojump_clock: trio.testing.MockClock) -> None:
    def broken(transition: Transition) -> None:
        raise RuntimeError("a fault of the supervisor")

    agent = HealthAgent(broken, lambda target, verdict: None, build=Lab().build)
    agent.reconcile({ONE: SETTINGS})
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="a fault of the supervisor")):
        await agent.run()


async def test_lateness_is_the_time_the_loop_stood_still(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    lateness = Lateness()
    assert lateness.lost(trio.current_time()) == 0.0
    nursery.start_soon(lateness.run)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(2.0)
    assert lateness.lost(trio.current_time()) == pytest.approx(1.9)  # before the beat itself has woken
    await trio.testing.wait_all_tasks_blocked()
    assert lateness.lost(trio.current_time()) == pytest.approx(1.9)
