"""`gateway.supervisor.registry` with several datacenters: who takes traffic, what is told, what is logged."""

from __future__ import annotations

from dataclasses import replace

from structlog.testing import capture_logs

from discovery.model import Instance, Origin, OriginKind, Problem, ServiceSpec
from discovery.source import SourceProblems, SourceState, TaggedService
from gateway.snapshot.model import Standby
from gateway.supervisor.notices import Notices
from gateway.supervisor.service import Move
from healthcheck.model import Health
from tests.registry_bench import FILE, ONE, TAG, TWO, Bench, route

NEAR = replace(ONE, datacenter="dc1", id="near")
FAR = replace(TWO, datacenter="dc2", id="far")
SPEC = ServiceSpec("web", FILE, consul="web", failover=("dc2",))


def bench() -> Bench:
    stage = Bench(SPEC)
    stage.answer(NEAR, source="consul")
    stage.answer(FAR, source="consul dc2")
    stage.build()
    stage.turn(Health.HEALTHY, FAR)
    stage.build()
    return stage


def moves(stage: Bench) -> list[Move]:
    return [each for each in stage.news() if isinstance(each, Move)]


def in_use(stage: Bench) -> str:
    (facts,) = stage.registry.service_facts(lambda _cell: 0)
    return facts.datacenter


def test_it_starts_at_home_moves_away_and_comes_back() -> None:
    stage = bench()
    assert stage.standbys() == {NEAR.address: Standby.NOT_PROBED, FAR.address: Standby.RESERVE}
    stage.turn(Health.HEALTHY, NEAR)
    stage.build()
    assert stage.standbys() == {NEAR.address: Standby.ELIGIBLE, FAR.address: Standby.RESERVE}
    assert (in_use(stage), moves(stage)) == ("dc1", [])

    stage.turn(Health.UNHEALTHY, NEAR)
    stage.build()
    assert stage.standbys() == {NEAR.address: Standby.UNHEALTHY, FAR.address: Standby.ELIGIBLE}
    assert in_use(stage) == "dc2"
    assert moves(stage) == [Move("web", "dc1", "dc2", is_home=False)]

    stage.turn(Health.HEALTHY, NEAR)
    stage.build()
    assert in_use(stage) == "dc1"
    assert moves(stage) == [Move("web", "dc2", "dc1", is_home=True)]
    assert moves(stage) == []


def test_the_reserve_is_probed_all_the_time_and_says_why_it_takes_no_traffic() -> None:
    stage = bench()
    assert {target.address for target in stage.registry.targets} == {NEAR.address, FAR.address}
    stage.turn(Health.HEALTHY, NEAR)
    stage.build()
    (facts,) = stage.registry.service_facts(lambda _cell: 0)
    assert facts.failover == ("dc2",)
    far = next(each for each in facts.instances if each.address == FAR.address)
    assert (far.origin, far.datacenter, far.reason, far.eligible) == ("consul dc2", "dc2", "reserve", False)
    assert far.detail == "well, and not used while a nearer datacenter has an eligible instance"


def test_a_home_that_cannot_be_asked_is_not_waited_for() -> None:
    stage = Bench(SPEC)
    stage.answer(FAR, source="consul dc2")
    stage.build()
    stage.turn(Health.HEALTHY, FAR)
    stage.build()
    assert stage.standbys() == {FAR.address: Standby.RESERVE}
    stage.registry.apply_event(SourceState("consul", stale=True, stale_since=1.0, last_success=None, error="no leader"))
    stage.build()
    assert stage.standbys() == {FAR.address: Standby.ELIGIBLE}


def test_tags_may_ask_for_failover() -> None:
    stage = Bench()
    tagged = TaggedService("consul", "web", (route(origin=TAG),), (("failover", "dc2,dc3"),), ())
    stage.registry.apply_event(tagged)
    stage.build()
    assert stage.registry.declare()["web"].failover == ("dc2", "dc3")


def test_a_source_that_ended_takes_its_instances_and_problems_with_it() -> None:
    stage = bench()
    problem = Problem(Origin(OriginKind.CONSUL, "permissions"), "the token lacks node:read")
    stage.registry.apply_event(SourceProblems("consul dc2", (problem,)))
    assert stage.registry.problems == (problem,)
    stage.registry.forget_source("consul dc2")
    stage.build()
    assert set(stage.standbys()) == {NEAR.address}
    assert not stage.registry.problems


def test_problems_and_moves_are_logged_once() -> None:
    notices = Notices()
    bad = Problem(Origin(OriginKind.KV, "gw/routes/a"), "path: is required")
    with capture_logs() as lines:
        notices.review([bad])
        notices.review([bad])
        notices.review([])
        notices.report([Move("web", "dc1", "dc2", is_home=False), Move("web", "dc2", "dc1", is_home=True)])
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", "problem"),
        ("info", "problem is gone"),
        ("warning", "service fails over: no eligible instance in a nearer datacenter"),
        ("info", "service is back in its own datacenter"),
    ]
    assert (lines[0]["origin"], lines[0]["message"]) == ("kv: gw/routes/a", "path: is required")


def test_an_instance_without_consul_has_no_datacenter() -> None:
    stage = Bench(replace(SPEC, consul="", failover=()))
    stage.answer(Instance("10.0.0.9", 80))
    stage.build()
    assert in_use(stage) == ""
