"""The health agent against real backends: they fail, hang, die and come back, and it says so in time."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import trio

from discovery.settings import HealthSettings
from healthcheck.agent import HealthAgent
from healthcheck.model import Health, Target, Transition, Verdict
from tests.backends import Backend, start_backend

SETTINGS = HealthSettings(interval=0.2, timeout=0.3, healthy_threshold=2, unhealthy_threshold=2)
DEADLINE = 10.0


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("users-1") as backend:
        yield backend


class Watch:
    """An agent, and a way to wait for its transitions."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.results: list[tuple[Target, Verdict]] = []
        self.agent = HealthAgent(
            self.transitions.append,
            lambda target, verdict: self.results.append((target, verdict)),
            lambda trouble: None,
        )

    async def wait_transitions(self, count: int) -> Transition:
        with trio.fail_after(DEADLINE):
            while len(self.transitions) < count:
                await trio.sleep(0.005)
        return self.transitions[count - 1]


async def test_healthy_then_503_then_healthy(backend: Backend, nursery: trio.Nursery) -> None:
    watch = Watch()
    target = Target("users", backend.address)
    nursery.start_soon(watch.agent.run)
    watch.agent.reconcile({target: SETTINGS})
    up = await watch.wait_transitions(1)
    assert (up.previous, up.health) == (Health.UNKNOWN, Health.HEALTHY)
    backend.set_health(503)
    out = await watch.wait_transitions(2)
    assert (out.previous, out.health) == (Health.HEALTHY, Health.UNHEALTHY)
    assert re.fullmatch(r"503 in \d+ ms", out.detail)
    backend.set_health(200)
    back = await watch.wait_transitions(3)
    assert (back.previous, back.health) == (Health.UNHEALTHY, Health.HEALTHY)
    assert re.fullmatch(r"200 in \d+ ms", back.detail)
    assert up.at < out.at < back.at
    assert [verdict.ok for _, verdict in watch.results[:1]] == [True]


async def test_a_backend_that_hangs_times_out_and_one_that_died_refuses(
    backend: Backend, nursery: trio.Nursery
) -> None:
    watch = Watch()
    nursery.start_soon(watch.agent.run)
    watch.agent.reconcile({Target("users", backend.address): SETTINGS})
    await watch.wait_transitions(1)
    backend.stop_signal()
    hung = await watch.wait_transitions(2)
    assert (hung.health, hung.detail) == (Health.UNHEALTHY, "timed out after 0.3 s")
    backend.cont()
    assert (await watch.wait_transitions(3)).health is Health.HEALTHY
    backend.kill()
    died = await watch.wait_transitions(4)
    assert (died.health, died.detail) == (Health.UNHEALTHY, "connection refused")
    backend.restart()
    assert (await watch.wait_transitions(5)).health is Health.HEALTHY


async def test_two_hundred_hanging_targets_take_one_timeout_and_hide_nobody(
    backend: Backend, nursery: trio.Nursery
) -> None:
    """Every one of 200 targets is the same stopped process, known as another service; one answers."""
    watch = Watch()
    settings = HealthSettings(interval=30.0, timeout=1.0, unhealthy_threshold=1)
    with start_backend("users-2") as well:
        hanging = {Target(f"s{number}", backend.address): settings for number in range(200)}
        answering = Target("users", well.address)
        backend.stop_signal()
        nursery.start_soon(watch.agent.run)
        began = trio.current_time()
        watch.agent.reconcile({**hanging, answering: settings})
        first = await watch.wait_transitions(1)
        assert (first.target, first.health) == (answering, Health.HEALTHY)
        await watch.wait_transitions(201)
        assert 1.0 <= trio.current_time() - began < 3.0
    assert {transition.detail for transition in watch.transitions[1:]} == {"timed out after 1.0 s"}
    assert all(watch.agent.health(target) is Health.UNHEALTHY for target in hanging)


async def test_two_thousand_targets_are_all_admitted_by_their_first_probe(
    backend: Backend, nursery: trio.Nursery
) -> None:
    """A burst of first probes does not make its own timeouts."""
    watch = Watch()
    settings = HealthSettings(interval=60.0, timeout=10.0)  # one backend answers them all
    nursery.start_soon(watch.agent.run)
    watch.agent.reconcile({Target(f"s{number}", backend.address): settings for number in range(2000)})
    with trio.fail_after(30):
        while len(watch.results) < 2000:
            await trio.sleep(0.01)
    assert all(verdict.ok for _, verdict in watch.results)
    assert {transition.health for transition in watch.transitions} == {Health.HEALTHY}
    assert backend.stats()["health_checks"] >= 2000
