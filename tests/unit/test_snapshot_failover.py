"""Which datacenter is in use: the nearest with an eligible instance, and never by accident at the start."""

from __future__ import annotations

import pytest

from discovery.model import Standing
from gateway.snapshot.failover import Choice, choose, resolve_tiers
from gateway.snapshot.model import Standby
from gateway.snapshot.resolve import InstanceFacts, ServiceRules
from healthcheck.model import Health

RULES = ServiceRules(fail_open_below=0, slow_start=0.0, max_ejected_percent=50)


def instance(health: Health = Health.HEALTHY, standing: Standing = Standing.PASSING) -> InstanceFacts:
    return InstanceFacts(standing, False, 1, health, False, False, False, 0.0)


WELL, ILL, NEW = instance(), instance(Health.UNHEALTHY), instance(Health.UNKNOWN)
CRITICAL = instance(standing=Standing.CRITICAL)


def decide(*tiers: list[InstanceFacts], rules: ServiceRules = RULES, is_settled: bool = True) -> Choice:
    facts = [each for tier in tiers for each in tier]
    numbers = [number for number, tier in enumerate(tiers) for _ in tier]
    return resolve_tiers(facts, numbers, rules, 100.0, is_settled=is_settled)


def standbys(choice: Choice) -> list[str]:
    return [each.standby.slug for each in choice.resolution.instances]


@pytest.mark.parametrize(
    ("tiers", "in_use", "expected"),
    [
        ([[WELL], [WELL]], 0, ["eligible", "reserve"]),
        ([[ILL], [WELL]], 1, ["unhealthy", "eligible"]),
        ([[ILL, WELL], [WELL]], 0, ["unhealthy", "eligible", "reserve"]),
        ([[CRITICAL], [ILL], [WELL]], 2, ["critical", "unhealthy", "eligible"]),
        ([[CRITICAL], [WELL], [WELL]], 1, ["critical", "eligible", "reserve"]),
        ([[], [WELL]], 1, ["eligible"]),
        ([[ILL], [ILL]], 0, ["unhealthy", "unhealthy"]),
        ([[NEW], [WELL]], 1, ["not_probed", "eligible"]),
    ],
)
def test_the_nearest_datacenter_with_an_eligible_instance_is_in_use(
    tiers: list[list[InstanceFacts]], in_use: int, expected: list[str]
) -> None:
    choice = decide(*tiers)
    assert (choice.tier, standbys(choice)) == (in_use, expected)
    eligible = [each.eligible for each in choice.resolution.instances]
    assert eligible == [each == "eligible" for each in expected]


def test_what_is_held_in_reserve_takes_no_traffic_and_keeps_its_weight() -> None:
    reserve = decide([WELL], [WELL]).resolution.instances[1]
    assert (reserve.eligible, reserve.weight, reserve.standby) == (False, 1.0, Standby.RESERVE)


def test_another_datacenters_healthy_instance_is_better_than_failing_open() -> None:
    rules = ServiceRules(fail_open_below=50, slow_start=0.0, max_ejected_percent=50)
    assert standbys(decide([ILL], [WELL], rules=rules)) == ["unhealthy", "eligible"]
    assert standbys(decide([ILL], [ILL], rules=rules)) == ["fail_open", "unhealthy"]


def test_a_new_service_waits_for_a_nearer_datacenter_that_is_not_known_yet() -> None:
    waiting = decide([NEW], [WELL], is_settled=False)
    assert (waiting.tier, waiting.is_settled, standbys(waiting)) == (0, False, ["not_probed", "reserve"])
    unanswered = resolve_tiers([WELL], [1], RULES, 100.0, unanswered=frozenset({0}), is_settled=False)
    assert (unanswered.tier, unanswered.is_settled) == (0, False)
    known = decide([ILL], [WELL], is_settled=False)
    assert (known.tier, known.is_settled) == (1, True)


def test_without_any_eligible_instance_the_service_stays_at_home_and_unsettled() -> None:
    assert choose([False, False], [True, True], is_settled=False) == (0, False)
    assert choose([False, False], [False, False], is_settled=True) == (0, True)
