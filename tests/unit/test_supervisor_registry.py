"""`gateway.supervisor.registry`: what comes in, and the snapshot that comes out of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from discovery.model import Standing
from discovery.settings import HealthSettings, ProbeType
from discovery.source import SourceState, TaggedService
from gateway.snapshot.model import Standby
from healthcheck.model import Health, Target, Verdict
from tests.registry_bench import FILE, ONE, SETTINGS, TAG, TWO, Bench, consul_service, route, static_service


def test_an_instance_takes_traffic_once_a_probe_has_succeeded() -> None:
    bench = Bench(static_service())
    bench.answer(ONE)
    bench.build()
    assert bench.standbys() == {"10.0.0.1:80": Standby.NOT_PROBED}
    assert bench.registry.targets == {Target("web", "10.0.0.1:80"): HealthSettings()}
    bench.turn(Health.HEALTHY)
    bench.build()
    assert bench.standbys() == {"10.0.0.1:80": Standby.ELIGIBLE}
    bench.turn(Health.UNHEALTHY)
    bench.build()
    assert bench.standbys() == {"10.0.0.1:80": Standby.UNHEALTHY}


def test_nothing_new_is_no_snapshot() -> None:
    bench = Bench(static_service(), routes=(route(),))
    bench.answer(ONE)
    assert bench.build() is not None
    assert bench.build() is None
    bench.answer(ONE)
    bench.configure(static_service(), routes=(route(),))
    bench.registry.apply_event(SourceState("static", False, None, 5.0))
    bench.registry.apply_verdict(Target("web", ONE.address), Verdict(True, "200 in 1 ms", 0.001), bench.now)
    assert bench.build() is None


def test_only_what_changed_gets_a_new_version() -> None:
    bench = Bench(static_service("web"), static_service("api"), routes=(route(),))
    bench.answer(ONE, service="web")
    bench.answer(ONE, service="api")
    bench.build()
    before = bench.latest
    assert before is not None
    bench.turn(Health.HEALTHY, service="api")
    after = bench.build()
    assert after is not None
    assert after.services[0] is before.services[0]
    assert after.services[1].version > before.services[1].version
    assert (after.routes_version, after.settings_version) == (before.routes_version, before.settings_version)


def test_health_survives_a_reload_and_a_change_of_the_instance() -> None:
    bench = Bench(static_service())
    bench.answer(ONE)
    bench.build()
    bench.turn(Health.HEALTHY)
    bench.build()
    bench.configure(static_service(balance="random", health=HealthSettings(interval=1.0)))
    bench.answer(replace(ONE, weight=7))
    bench.build()
    (instance,) = bench.service().instances
    assert (instance.standby, instance.weight, bench.service().balance) == (Standby.ELIGIBLE, 7.0, "random")
    assert bench.registry.targets[Target("web", ONE.address)].interval == 1.0


def test_an_instance_that_left_is_gone_at_once_and_is_probed_no_more() -> None:
    bench = Bench(consul_service())
    bench.answer(ONE, TWO, source="consul")
    bench.build()
    assert len(bench.registry.take_retargeted()) == 2
    bench.answer(TWO, source="consul")
    bench.build()
    assert list(bench.standbys()) == [TWO.address]
    assert list(bench.registry.targets) == [Target("web", TWO.address)]
    assert list(bench.registry.take_retargeted()) == [Target("web", ONE.address)]


def test_an_address_in_file_and_consul_is_one_with_the_files_weight_and_consuls_standing() -> None:
    bench = Bench(static_service(consul="web"))
    bench.answer(replace(ONE, weight=3))
    bench.answer(replace(ONE, standing=Standing.CRITICAL, detail="check 'web' is critical"), TWO, source="consul")
    bench.build()
    first, second = bench.service().instances
    assert (first.address, first.standby) == (ONE.address, Standby.CRITICAL)
    assert second.address == TWO.address
    facts = bench.registry.service_facts(lambda _cell: 0)[0].instances[0]
    assert (facts.weight, facts.reason, facts.detail) == (3.0, "critical", "check 'web' is critical")


def test_a_service_without_probes_takes_traffic_from_the_start() -> None:
    bench = Bench(static_service(health=HealthSettings(type=ProbeType.NONE)))
    bench.answer(ONE)
    bench.build()
    assert bench.standbys() == {ONE.address: Standby.ELIGIBLE}


def test_a_service_that_is_gone_leaves_the_snapshot() -> None:
    bench = Bench(static_service("web"), static_service("api"))
    bench.answer(ONE)
    bench.build()
    bench.configure(static_service("api"))
    built = bench.build()
    assert built is not None
    assert [service.name for service in built.services] == ["api"]
    assert bench.registry.targets == {}


def test_tags_make_services_and_routes_of_their_own() -> None:
    bench = Bench()
    tagged = TaggedService("consul", "web", (route(origin=TAG),), (("balance", "random"),), ())
    bench.registry.apply_event(tagged)
    bench.answer(replace(ONE, health=(("path", "/ping"),)), source="consul")
    built = bench.build()
    assert built is not None
    assert [(each.path, each.service) for each in built.routes] == [("/web/*", "web")]
    assert bench.service().balance == "random"
    assert bench.registry.targets[Target("web", ONE.address)].path == "/ping"
    assert bench.registry.service_facts(lambda _cell: 0)[0].origin == "tag: service web"
    bench.registry.apply_event(TaggedService("consul", "web", (), (), ()))
    built = bench.build()
    assert built is not None
    assert (built.routes, built.services) == ((), ())


def test_an_instances_own_tags_change_its_probes_alone_and_reset_nothing() -> None:
    bench = Bench(consul_service())
    bench.answer(ONE, TWO, source="consul")
    bench.build()
    bench.turn(Health.HEALTHY)
    bench.build()
    first, second = Target("web", ONE.address), Target("web", TWO.address)
    before = bench.registry.targets[second]
    tagged = replace(ONE, health=(("path", "/ping"), ("interval", 1.0)))
    bench.answer(tagged, TWO, source="consul")
    bench.build()
    assert bench.registry.targets == {first: HealthSettings(path="/ping", interval=1.0), second: HealthSettings()}
    assert bench.registry.targets[second] is before
    assert bench.standbys() == {ONE.address: Standby.ELIGIBLE, TWO.address: Standby.NOT_PROBED}
    bench.registry.take_retargeted()
    bench.answer(replace(tagged, weight=9), TWO, source="consul")
    bench.configure(replace(consul_service(), health=HealthSettings(timeout=1.0)))
    bench.build()
    assert bench.registry.targets[first] == HealthSettings(path="/ping", interval=1.0, timeout=1.0)
    assert list(bench.registry.take_retargeted()) == [first, second]
    assert bench.standbys()[ONE.address] is Standby.ELIGIBLE


def test_an_instance_that_asks_not_to_be_probed_takes_traffic() -> None:
    bench = Bench(consul_service())
    bench.answer(replace(ONE, health=(("type", ProbeType.NONE),)), TWO, source="consul")
    bench.build()
    assert bench.standbys() == {ONE.address: Standby.ELIGIBLE, TWO.address: Standby.NOT_PROBED}


def test_tags_use_the_files_service_of_that_consul_name() -> None:
    bench = Bench(consul_service("users", consul="web"), routes=(route("/users/*", "users"),))
    bench.registry.apply_event(TaggedService("consul", "web", (route(origin=TAG),), (("balance", "random"),), ()))
    built = bench.build()
    assert built is not None
    assert [(each.path, each.service) for each in built.routes] == [("/users/*", "users"), ("/web/*", "users")]
    assert bench.service("users").balance == "least_connections"


def test_the_file_wins_over_tags_and_the_loser_is_a_problem() -> None:
    bench = Bench(consul_service("users", consul=""), routes=(route("/web/*", "users"),))
    bench.registry.apply_event(TaggedService("consul", "web", (route(origin=TAG),), (), ()))
    bench.build()
    assert bench.latest is not None
    assert [each.service for each in bench.latest.routes] == ["users"]
    (problem,) = bench.registry.problems
    assert problem.origin == TAG
    assert "already taken" in problem.message


def test_a_files_service_that_is_not_in_consul_does_not_get_the_tags_of_its_namesake() -> None:
    bench = Bench(static_service("web"))
    bench.registry.apply_event(TaggedService("consul", "web", (route(origin=TAG),), (), ()))
    bench.answer(TWO, source="consul")
    bench.build()
    assert bench.latest is not None
    assert bench.latest.routes == ()
    assert bench.standbys() == {}
    assert 'consul = "web"' in bench.registry.problems[0].message


def test_an_option_that_is_not_understood_costs_itself_alone() -> None:
    bench = Bench()
    options = (("balance", "wishful"), ("connect_timeout", "2"), ("nonsense", "1"))
    bench.registry.apply_event(TaggedService("consul", "web", (route(origin=TAG),), options, ()))
    bench.build()
    assert (bench.service().balance, bench.service().connect_timeout) == ("least_connections", 2.0)
    assert [("wishful" in p.message, "nonsense" in p.message) for p in bench.registry.problems] == [
        (True, False),
        (False, True),
    ]


def test_readiness_is_part_of_the_settings_and_survives_a_reload() -> None:
    bench = Bench()
    assert bench.registry.set_ready(True)
    assert not bench.registry.set_ready(True)
    built = bench.build()
    assert built is not None
    assert built.settings.ready
    bench.registry.apply_config((), (), replace(SETTINGS, name="other"))
    built = bench.build()
    assert built is not None
    assert (built.settings.ready, built.settings.name) == (True, "other")


def test_slow_start_changes_weights_as_time_passes() -> None:
    bench = Bench(static_service(slow_start=10.0))
    bench.answer(replace(ONE, weight=10))
    bench.build()
    bench.turn(Health.HEALTHY)
    weights: list[float] = []
    while not weights or bench.registry.next_change() < float("inf"):
        bench.build()
        weights.append(bench.service().instances[0].weight)
        bench.now = min(bench.registry.next_change(), 100.0)
    assert weights[0] == pytest.approx(1.0)
    assert weights == sorted(weights)
    assert weights[-1] == 10.0
    assert bench.build() is None


def test_what_a_worker_ejects_is_out_for_all() -> None:
    bench = Bench(static_service())
    bench.answer(ONE, TWO)
    bench.build()
    for each in (ONE, TWO):
        bench.turn(Health.HEALTHY, each)
    bench.build()
    cell = bench.service().instances[1].cell
    assert bench.registry.apply_ejections({cell: 30.0})
    assert not bench.registry.apply_ejections({cell: 30.0})
    bench.build()
    assert bench.standbys() == {ONE.address: Standby.ELIGIBLE, TWO.address: Standby.EJECTED}
    assert bench.registry.apply_ejections({})
    bench.build()
    assert bench.standbys() == {ONE.address: Standby.ELIGIBLE, TWO.address: Standby.ELIGIBLE}


def test_cells_are_freed_only_when_no_worker_can_still_write_to_them() -> None:
    bench = Bench(static_service(), routes=(route(), route("/other")))
    bench.answer(ONE, TWO)
    bench.build()
    cell = bench.service().instances[0].cell
    used = bench.generation
    bench.answer(TWO)
    bench.configure(static_service(), routes=(route(),))
    bench.build()
    assert bench.registry.release_cells(used, lambda _cell: 0) == ([], [])
    assert bench.registry.release_cells(bench.generation, lambda _cell: 1) == ([], [2])
    assert bench.registry.release_cells(bench.generation, lambda _cell: 0) == ([cell], [])
    assert bench.registry.release_cells(bench.generation, lambda _cell: 0) == ([], [])


def test_an_instance_that_returns_in_time_has_its_cell_back_and_is_probed_anew() -> None:
    bench = Bench(static_service())
    bench.answer(ONE)
    bench.build()
    bench.turn(Health.HEALTHY)
    bench.build()
    cell = bench.service().instances[0].cell
    bench.answer()
    bench.build()
    bench.answer(ONE)
    bench.build()
    assert bench.service().instances[0].cell == cell
    assert bench.standbys() == {ONE.address: Standby.NOT_PROBED}
    assert bench.registry.release_cells(bench.generation, lambda _cell: 0) == ([], [])


def test_too_few_cells_cost_the_instance_that_has_none_and_are_a_problem() -> None:
    bench = Bench(static_service(), instance_cells=1)
    bench.answer(ONE, TWO)
    bench.build()
    assert list(bench.standbys()) == [ONE.address]
    assert TWO.address in bench.registry.problems[0].message
    bench.answer(ONE)
    bench.build()
    assert bench.registry.problems == ()


def test_a_transition_of_an_instance_that_left_is_nothing() -> None:
    bench = Bench(static_service())
    bench.turn(Health.HEALTHY)
    bench.registry.apply_verdict(Target("web", ONE.address), Verdict(True, "", 0.0), bench.now)
    assert bench.build() is None


def test_facts_tell_reasons_and_since_when_in_unix_time() -> None:
    bench = Bench(static_service(), routes=(route(),))
    bench.answer(replace(ONE, name="web.internal"))
    bench.now = 5.0
    bench.build()
    bench.now = 7.0
    bench.registry.apply_verdict(Target("web", ONE.address), Verdict(False, "connection refused", 0.0), bench.now)
    bench.registry.apply_verdict(Target("web", ONE.address), Verdict(True, "200 in 3 ms", 0.003), bench.now)
    bench.turn(Health.HEALTHY)
    bench.now = 8.0
    bench.build()
    (service,) = bench.registry.service_facts(lambda _cell: 0)
    (instance,) = service.instances
    assert (service.name, service.origin, service.balance) == ("web", str(FILE), "least_connections")
    assert instance.last_probe is not None
    assert (instance.last_probe.detail, instance.last_probe.seconds) == ("200 in 3 ms", 0.003)
    assert instance.last_probe.at == 1007.0
    assert (instance.health, instance.reason, instance.name) == ("healthy", "eligible", "web.internal")
    assert (instance.checks_ok, instance.checks_failed, instance.since) == (1, 1, 1008.0)
    (fact,) = bench.registry.route_facts()
    assert (fact.cell, fact.path, fact.origin) == (1, "/web/*", str(FILE))
