"""Who takes traffic and why: the decision table, the ejection cap, failing open and slow start."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from discovery.model import Standing
from gateway.snapshot.model import Standby
from gateway.snapshot.resolve import TABLE, InstanceFacts, ServiceRules, resolve, slow_start_share
from healthcheck.model import Health

WELL = InstanceFacts(
    standing=Standing.PASSING,
    provisional=False,
    weight=1,
    health=Health.HEALTHY,
    draining=False,
    ejected=False,
    held=False,
    admitted_at=0.0,
)
SICK = replace(WELL, health=Health.UNHEALTHY)
NEW = replace(WELL, health=Health.UNKNOWN)
EJECTED = replace(WELL, ejected=True)
HELD = replace(WELL, held=True)
DRAINING = replace(WELL, draining=True)
CRITICAL = replace(WELL, standing=Standing.CRITICAL)
MAINTENANCE = replace(WELL, standing=Standing.MAINTENANCE)
WEIGHTLESS = replace(WELL, weight=0)
PROVISIONAL = replace(WELL, provisional=True)
RULES = ServiceRules(fail_open_below=0, slow_start=0.0, max_ejected_percent=50)
OPEN_BELOW_50 = replace(RULES, fail_open_below=50)
NOW = 1000.0


def standbys(*facts: InstanceFacts, rules: ServiceRules = RULES) -> str:
    """The slugs, in order, as one text; an instance that takes traffic is marked with a plus."""
    return " ".join(("+" if each.eligible else "") + each.standby.slug for each in resolve(facts, rules, NOW).instances)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (WELL, "+eligible"),
        (replace(WELL, standing=Standing.WARNING), "+eligible"),
        (replace(WELL, health=Health.UNCHECKED), "+eligible"),
        (PROVISIONAL, "+provisional"),
        (replace(PROVISIONAL, health=Health.UNCHECKED), "+provisional"),
        (replace(PROVISIONAL, health=Health.UNHEALTHY), "unhealthy"),
        (replace(PROVISIONAL, health=Health.UNKNOWN), "not_probed"),
        (NEW, "not_probed"),
        (SICK, "unhealthy"),
        (CRITICAL, "critical"),
        (MAINTENANCE, "maintenance"),
        (DRAINING, "draining"),
        (WEIGHTLESS, "zero_weight"),
        (replace(SICK, draining=True), "draining"),
        (replace(SICK, standing=Standing.CRITICAL), "critical"),
        (replace(DRAINING, standing=Standing.MAINTENANCE), "maintenance"),
        (replace(SICK, ejected=True), "unhealthy"),
        (replace(SICK, held=True), "unhealthy"),
    ],
)
def test_one_instance_alone(facts: InstanceFacts, expected: str) -> None:
    assert standbys(facts) == expected


def test_every_reason_has_one_row_but_those_that_one_instance_alone_cannot_tell() -> None:
    rows = [standby for standby, _ in TABLE]
    assert sorted(rows) == sorted(set(Standby) - {Standby.FAIL_OPEN, Standby.RESERVE})


def test_a_service_without_instances_resolves_to_nothing() -> None:
    resolution = resolve((), OPEN_BELOW_50, NOW)
    assert resolution.instances == ()
    assert resolution.next_change == math.inf


@pytest.mark.parametrize(
    ("instances", "ejected", "percent", "out"),
    [
        (1, 1, 100, 0),  # never the last one
        (2, 1, 50, 1),
        (2, 2, 50, 1),
        (2, 1, 49, 0),  # rounded down
        (3, 3, 50, 1),
        (3, 3, 67, 2),
        (3, 3, 100, 2),
        (4, 3, 50, 2),
        (10, 10, 50, 5),
        (10, 10, 0, 0),
        (10, 4, 50, 4),
    ],
)
def test_the_ejection_cap(instances: int, ejected: int, percent: int, out: int) -> None:
    facts = [EJECTED] * ejected + [WELL] * (instances - ejected)
    result = resolve(facts, replace(RULES, max_ejected_percent=percent), NOW).instances
    assert [each.standby for each in result] == [Standby.EJECTED] * out + [Standby.ELIGIBLE] * (instances - out)


def test_the_last_instance_that_could_take_traffic_is_not_ejected() -> None:
    """Though three of four would be within 75 percent, the others are out for other reasons."""
    generous = replace(RULES, max_ejected_percent=75)
    assert standbys(EJECTED, SICK, DRAINING, CRITICAL, rules=generous) == "+eligible unhealthy draining critical"
    assert standbys(EJECTED, EJECTED, SICK, DRAINING, rules=generous) == "ejected +eligible unhealthy draining"


@pytest.mark.parametrize(
    ("facts", "percent", "expected"),
    [
        ((HELD,), 100, "+eligible"),  # never the last one
        ((HELD, HELD), 50, "held +eligible"),
        ((WELL, HELD), 50, "+eligible held"),
        ((WELL, HELD), 49, "+eligible +eligible"),
        ((HELD, EJECTED, WELL, WELL), 50, "held ejected +eligible +eligible"),
        ((HELD, EJECTED, WELL), 50, "+eligible ejected +eligible"),  # holds give way first
        ((HELD, HELD, SICK), 100, "held +eligible unhealthy"),
        ((HELD, WELL, SICK, SICK, SICK), 49, "+eligible +eligible unhealthy unhealthy unhealthy"),  # of 2, not of 5
        ((replace(EJECTED, held=True), WELL), 50, "ejected +eligible"),
        ((replace(EJECTED, held=True), EJECTED, WELL), 50, "ejected +eligible +eligible"),
    ],
)
def test_holds_and_ejections_share_the_cap(facts: tuple[InstanceFacts, ...], percent: int, expected: str) -> None:
    assert standbys(*facts, rules=replace(RULES, max_ejected_percent=percent)) == expected


def test_a_provisional_instance_whose_ejection_is_not_honoured_stays_provisional() -> None:
    assert standbys(replace(PROVISIONAL, ejected=True)) == "+provisional"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((WELL, SICK), "+eligible unhealthy"),  # exactly half is not below half
        ((WELL, SICK, SICK), "+eligible +fail_open +fail_open"),
        ((SICK, SICK), "+fail_open +fail_open"),
        ((SICK,), "+fail_open"),
        ((SICK, SICK, SICK, NEW), "+fail_open +fail_open +fail_open +fail_open"),
        ((WELL, SICK, CRITICAL), "+eligible +fail_open critical"),  # what is critical is missing
        ((WELL, SICK, DRAINING, MAINTENANCE, WEIGHTLESS), "+eligible unhealthy draining maintenance zero_weight"),
        ((SICK, DRAINING, MAINTENANCE, WEIGHTLESS), "+fail_open draining maintenance zero_weight"),
        ((CRITICAL, CRITICAL), "critical critical"),
        ((NEW, NEW), "not_probed not_probed"),  # a start is no trouble
        ((WELL, NEW, NEW, NEW), "+eligible not_probed not_probed not_probed"),
        ((SICK, SICK, PROVISIONAL), "+fail_open +fail_open +provisional"),
        ((WELL, replace(PROVISIONAL, health=Health.UNHEALTHY), SICK), "+eligible unhealthy unhealthy"),
        ((SICK, replace(PROVISIONAL, health=Health.UNHEALTHY)), "+fail_open unhealthy"),
        ((WELL, HELD, SICK, SICK), "+eligible +fail_open +fail_open +fail_open"),
        ((WELL, EJECTED, SICK, SICK), "+eligible +fail_open +fail_open +fail_open"),
    ],
)
def test_failing_open(facts: tuple[InstanceFacts, ...], expected: str) -> None:
    assert standbys(*facts, rules=OPEN_BELOW_50) == expected
    assert resolve(facts, OPEN_BELOW_50, NOW).is_failing_open is ("fail_open" in expected)


def test_fail_open_is_off_at_0_percent() -> None:
    assert standbys(SICK, SICK) == "unhealthy unhealthy"


@pytest.mark.parametrize(
    ("age", "share", "next_change"),
    [
        (0.0, 0.1, 1.0),
        (0.99, 0.1, 1.0),
        (1.0, 0.19, 2.0),
        (5.5, 0.55, 6.0),
        (9.0, 0.91, 10.0),
        (10.0, 1.0, math.inf),
        (1e9, 1.0, math.inf),
        (-3.0, 0.1, 1.0),  # the clock is a little behind
    ],
)
def test_slow_start_grows_in_steps_of_a_second(age: float, share: float, next_change: float) -> None:
    got, change = slow_start_share(100.0, 10.0, 100.0 + age)
    assert got == pytest.approx(share)
    assert change == pytest.approx(100.0 + next_change)


def test_without_slow_start_the_weight_is_whole_at_once() -> None:
    assert slow_start_share(NOW, 0.0, NOW) == (1.0, math.inf)


def test_slow_start_holds_for_those_that_take_traffic_because_they_are_well() -> None:
    young = replace(WELL, weight=10, admitted_at=NOW)
    facts = (young, replace(WELL, weight=4), replace(young, draining=True), replace(young, provisional=True))
    resolution = resolve(facts, replace(RULES, slow_start=20.0), NOW)
    assert [each.weight for each in resolution.instances] == [1.0, 4.0, 10.0, 1.0]
    assert resolution.next_change == NOW + 1.0
    assert resolve(facts[1:3], replace(RULES, slow_start=20.0), NOW).next_change == math.inf
    open_below_all = replace(RULES, slow_start=20.0, fail_open_below=100)
    assert resolve([replace(SICK, weight=10, admitted_at=NOW)], open_below_all, NOW).instances[0].weight == 10.0


def test_the_next_change_is_the_earliest() -> None:
    facts = [replace(WELL, admitted_at=NOW - age) for age in (0.5, 3.25, 100.0)]
    assert resolve(facts, replace(RULES, slow_start=10.0), NOW).next_change == NOW + 0.5
