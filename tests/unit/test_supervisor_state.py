"""What the registry remembers of instances: transitions, flaps, drains, holds; and that a service fails open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from discovery.model import Standing
from discovery.settings import HealthSettings, OutlierSettings, ProbeType
from gateway.admin.facts import NotKnown
from gateway.snapshot.model import Standby
from gateway.supervisor.damping import FIRST, FREE
from gateway.supervisor.history import LENGTH, Change
from gateway.supervisor.service import FailOpen
from healthcheck.model import Health, Target, Verdict
from tests.registry_bench import ONE, TWO, Bench, consul_service, static_service

WEB = Target("web", ONE.address)


def well(*, consul: bool = False) -> Bench:
    """Two instances that take traffic."""
    bench = Bench(consul_service() if consul else static_service())
    bench.answer(ONE, TWO, source="consul" if consul else "static")
    bench.build()
    for each in (ONE, TWO):
        bench.turn(Health.HEALTHY, each)
    bench.build()
    bench.news()
    return bench


def flap(bench: Bench, times: int) -> None:
    """Fall and recover within a second, by the probes."""
    for _ in range(times):
        for health in (Health.UNHEALTHY, Health.HEALTHY):
            bench.now += 0.5
            bench.turn(health)
            bench.build()


def test_every_transition_is_told_with_its_decider_and_kept() -> None:
    bench = Bench(consul_service())
    bench.answer(ONE, source="consul")
    bench.build()
    bench.now = 2.0
    bench.registry.apply_verdict(WEB, Verdict(True, "200 in 3 ms", 0.0), bench.now)
    bench.turn(Health.HEALTHY)
    bench.build()
    bench.now = 3.0
    bench.answer(replace(ONE, standing=Standing.CRITICAL, detail="check 'web' is critical: 500"), source="consul")
    bench.build()
    bench.answer(ONE, source="consul")
    bench.build()
    told = [each for each in bench.news() if isinstance(each, Change)]
    assert {each.target for each in told} == {WEB}
    assert [(e.facts.before, e.facts.after, e.facts.who, e.facts.detail) for e in told] == [
        ("absent", "not_probed", "consul", "listed by consul"),
        ("not_probed", "eligible", "probe", "healthy"),
        ("eligible", "critical", "consul", "check 'web' is critical: 500"),
        ("critical", "eligible", "consul", "Consul's checks pass"),
    ]
    assert tuple(each.facts for each in told) == bench.facts().history
    assert [each.facts.at for each in told] == [1000.0, 1002.0, 1003.0, 1003.0]
    assert bench.facts().flaps == 1


def test_history_is_bounded_and_survives_reloads_weights_and_a_short_absence() -> None:
    bench = well()
    flap(bench, 2)
    before = bench.facts().history
    bench.configure(static_service(balance="random"))
    bench.answer(replace(ONE, weight=9), TWO)
    bench.build()
    assert bench.facts().history == before
    bench.answer(TWO)
    bench.build()
    bench.now += 60.0
    bench.answer(ONE, TWO)
    bench.build()
    assert bench.facts().history[: len(before)] == before
    assert [each.after for each in bench.facts().history[len(before) :]] == ["absent", "not_probed"]
    assert bench.facts().flaps == 2
    for weight in range(LENGTH):
        bench.answer(replace(ONE, weight=weight % 2), TWO)
        bench.turn(Health.HEALTHY)
        bench.build()
    assert len(bench.facts().history) == LENGTH


def test_a_flapping_instance_is_held_back_and_says_until_when() -> None:
    bench = well()
    flap(bench, FREE)
    assert bench.standbys()[ONE.address] is Standby.ELIGIBLE
    flap(bench, 1)
    facts = bench.facts()
    assert (facts.eligible, facts.reason, facts.health, facts.flaps) == (False, "held", "healthy", FREE + 1)
    assert facts.until == 1000.0 + bench.now - 0.5 + FIRST
    assert facts.detail == "flapped 4 times; held until 00:16:48Z"
    assert bench.path()[-1] == ("held", "probe", "probes_passed")
    bench.now = bench.registry.next_change()
    bench.build()
    assert bench.standbys()[ONE.address] is Standby.ELIGIBLE
    assert bench.path()[-1] == ("eligible", "damping", "hold_over")


def test_consul_takes_a_held_instance_out_and_its_passing_does_not_bring_it_back_sooner() -> None:
    bench = well(consul=True)
    flap(bench, FREE + 1)
    bench.answer(replace(ONE, standing=Standing.CRITICAL), TWO, source="consul")
    bench.build()
    assert bench.standbys()[ONE.address] is Standby.CRITICAL
    bench.answer(ONE, TWO, source="consul")
    bench.build()
    assert bench.standbys()[ONE.address] is Standby.HELD


def test_the_last_instance_is_not_held() -> None:
    bench = well()
    bench.turn(Health.UNHEALTHY, TWO)
    flap(bench, FREE + 3)
    assert bench.standbys() == {ONE.address: Standby.ELIGIBLE, TWO.address: Standby.UNHEALTHY}
    assert "used all the same" in bench.facts().detail


def test_an_instance_that_is_new_is_admitted_by_its_first_success_whatever_the_others_did() -> None:
    bench = well()
    flap(bench, FREE + 1)
    bench.answer(ONE, TWO, replace(TWO, port=81))
    bench.build()
    bench.turn(Health.HEALTHY, replace(TWO, port=81))
    bench.build()
    assert bench.standbys() == {
        ONE.address: Standby.HELD,
        TWO.address: Standby.ELIGIBLE,
        "10.0.0.2:81": Standby.ELIGIBLE,
    }


def test_an_operators_drain_survives_everything_until_it_is_ended() -> None:
    bench = well(consul=True)
    assert bench.registry.drain("web", ONE.address, "alice", 5.0)
    assert not bench.registry.drain("web", ONE.address, "bob", 6.0)
    bench.build()
    assert bench.standbys()[ONE.address] is Standby.DRAINING
    assert bench.facts().detail == "drained by alice"
    bench.configure(replace(consul_service(), balance="random"))
    bench.answer(TWO, source="consul")
    bench.build()
    (drain,) = bench.registry.service_facts(lambda _cell: 4)[0].drains
    assert (drain.address, drain.by, drain.since, drain.is_listed, drain.in_flight) == (
        ONE.address,
        "alice",
        1005.0,
        False,
        4,
    )
    bench.now = 9000.0  # its history is forgotten by now, its drain is not
    bench.answer(ONE, TWO, source="consul")
    bench.build()
    bench.turn(Health.HEALTHY)
    bench.build()
    assert bench.standbys()[ONE.address] is Standby.DRAINING
    assert bench.registry.undrain("web", ONE.address, "bob")
    assert not bench.registry.undrain("web", ONE.address, "bob")
    bench.build()
    assert bench.standbys()[ONE.address] is Standby.ELIGIBLE
    assert bench.facts().history[-1].detail == "undrained by bob"
    assert bench.path()[-1] == ("eligible", "operator", "undrained")


def test_what_left_can_be_undrained_and_comes_back_undrained() -> None:
    bench = well()
    bench.registry.drain("web", ONE.address, "alice", 5.0)
    bench.answer(TWO)
    bench.build()
    assert bench.registry.undrain("web", ONE.address, "alice")
    assert bench.registry.service_facts(lambda _cell: 0)[0].drains == ()
    bench.answer(ONE, TWO)
    bench.build()
    assert bench.standbys()[ONE.address] is Standby.NOT_PROBED


def test_undraining_lets_an_instance_off_its_flaps() -> None:
    bench = well()
    flap(bench, FREE + 1)
    bench.registry.drain("web", ONE.address, "alice", bench.now)
    bench.build()
    bench.registry.undrain("web", ONE.address, "alice")
    bench.build()
    assert bench.standbys()[ONE.address] is Standby.ELIGIBLE


@pytest.mark.parametrize(
    ("service", "address", "kind", "known"),
    [("nope", ONE.address, "service", ("web",)), ("web", "10.9.9.9:1", "instance", (ONE.address, TWO.address))],
)
def test_what_does_not_exist_cannot_be_drained(service: str, address: str, kind: str, known: tuple[str, ...]) -> None:
    bench = well()
    with pytest.raises(NotKnown) as drained:
        bench.registry.drain(service, address, "alice", 0.0)
    with pytest.raises(NotKnown) as undrained:
        bench.registry.undrain(service, address, "alice")
    for error in (drained.value, undrained.value):
        assert (error.kind, error.known) == (kind, known)


def test_an_ejection_is_told_in_the_workers_words_and_ends_by_itself() -> None:
    bench = well()
    cell = bench.service().instances[0].cell
    bench.registry.explain_ejection(WEB, "status 503, failure 5 in a row (worker 1)", is_over=False)
    bench.registry.apply_ejections({cell: 30.0})
    bench.build()
    facts = bench.facts()
    assert (facts.reason, facts.until) == ("ejected", 1030.0)
    assert facts.detail == "status 503, failure 5 in a row (worker 1); until 00:17:10Z"
    assert bench.path()[-1] == ("ejected", "outlier", "ejected")
    assert bench.registry.is_ejected(WEB)
    bench.now = bench.registry.next_change()
    assert bench.now == 30.0
    bench.build()
    assert bench.path()[-1] == ("eligible", "outlier", "ejection_over")
    assert facts.flaps == 0, "ejections have a growing time of their own"


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("a probe succeeded: 200 in 2 ms (worker 1)", ("eligible", "probe", "ejection_refuted")),
        ("", ("eligible", "outlier", "ejection_lost")),
    ],
)
def test_an_ejection_that_ends_early_says_by_whom(words: str, path: tuple[str, str, str]) -> None:
    bench = well()
    cell = bench.service().instances[0].cell
    bench.registry.explain_ejection(WEB, "connect_refused (worker 1)", is_over=False)
    bench.registry.apply_ejections({cell: 30.0})
    bench.build()
    if words:
        bench.registry.explain_ejection(WEB, words, is_over=True)
    bench.registry.apply_ejections({})
    bench.build()
    assert bench.path()[-1] == path
    assert words in bench.facts().history[-1].detail


def test_failing_open_is_told_and_is_a_problem_while_it_lasts() -> None:
    bench = Bench(static_service(fail_open_below=60))
    bench.answer(ONE, TWO)
    bench.build()
    for each in (ONE, TWO):
        bench.turn(Health.HEALTHY, each)
    bench.build()
    bench.news()
    bench.turn(Health.UNHEALTHY)
    bench.build()
    assert bench.standbys() == {ONE.address: Standby.FAIL_OPEN, TWO.address: Standby.ELIGIBLE}
    (open_,) = [each for each in bench.news() if isinstance(each, FailOpen)]
    assert (open_.service, open_.is_open) == ("web", True)
    assert [problem.message for problem in bench.registry.problems] == [open_.message]
    assert "fail_open_below = 60 %" in open_.message
    assert bench.registry.service_facts(lambda _cell: 0)[0].is_failing_open
    assert bench.path()[-1] == ("fail_open", "probe", "probes_failed")
    bench.turn(Health.HEALTHY)
    bench.build()
    assert [each.is_open for each in bench.news() if isinstance(each, FailOpen)] == [False]
    assert bench.registry.problems == ()


def test_slow_start_begins_anew_whenever_an_instance_begins_to_take_traffic() -> None:
    bench = Bench(static_service(slow_start=10.0, outlier=OutlierSettings(max_ejected_percent=50)))
    bench.answer(ONE, TWO)
    bench.build()
    for each in (ONE, TWO):
        bench.turn(Health.HEALTHY, each)
    bench.now = 1.0
    bench.build()
    assert [each.weight for each in bench.service().instances] == [pytest.approx(0.1)] * 2
    bench.now = 100.0
    bench.build()
    bench.registry.drain("web", ONE.address, "alice", bench.now)
    bench.build()
    bench.registry.undrain("web", ONE.address, "alice")
    bench.build()
    assert [each.weight for each in bench.service().instances] == [pytest.approx(0.1), 1.0]


def test_an_unchecked_instance_comes_eligible() -> None:
    bench = Bench(static_service(health=HealthSettings(type=ProbeType.NONE)))
    bench.answer(ONE)
    bench.build()
    assert bench.path() == [("eligible", "file", "came")]
