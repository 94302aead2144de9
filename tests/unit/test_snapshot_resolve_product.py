"""The decision table over the whole product of its inputs, said a second time as a chain of conditions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from discovery.model import Standing
from gateway.snapshot.model import Standby
from gateway.snapshot.resolve import InstanceFacts, ServiceRules, resolve
from healthcheck.model import Health

NOW = 1000.0
WELL = InstanceFacts(Standing.PASSING, False, 1, Health.HEALTHY, False, False, False, 0.0)
SICK = InstanceFacts(Standing.PASSING, False, 1, Health.UNHEALTHY, False, False, False, 0.0)
CLOSED = ServiceRules(fail_open_below=0, slow_start=0.0, max_ejected_percent=50)
OPEN = ServiceRules(fail_open_below=100, slow_start=0.0, max_ejected_percent=50)
SOMEONES_WILL = {Standby.MAINTENANCE, Standby.CRITICAL, Standby.DRAINING, Standby.ZERO_WEIGHT}
BOTH = (False, True)


def every() -> Iterator[InstanceFacts]:
    """Standing x gone from the answer x weight x health x drain x ejection x hold."""
    for standing, provisional, weight, health, draining, ejected, held in product(
        Standing, BOTH, (0, 1, 7), Health, BOTH, BOTH, BOTH
    ):
        yield InstanceFacts(standing, provisional, weight, health, draining, ejected, held, 0.0)


def expected(facts: InstanceFacts) -> Standby:
    """The table, as sentences."""
    if facts.standing is Standing.MAINTENANCE:
        return Standby.MAINTENANCE
    if facts.standing is Standing.CRITICAL:
        return Standby.CRITICAL
    if facts.draining:
        return Standby.DRAINING
    if facts.weight == 0:
        return Standby.ZERO_WEIGHT
    if facts.health is Health.UNKNOWN:
        return Standby.NOT_PROBED
    if facts.health is Health.UNHEALTHY:
        return Standby.UNHEALTHY
    if facts.ejected:
        return Standby.EJECTED
    if facts.held:
        return Standby.HELD
    return Standby.PROVISIONAL if facts.provisional else Standby.ELIGIBLE


def test_the_product_is_whole() -> None:
    assert len(list(every())) == 4 * 2 * 3 * 4 * 2 * 2 * 2
    assert {expected(facts) for facts in every()} == set(Standby) - {Standby.FAIL_OPEN, Standby.RESERVE}


def test_beside_well_instances_the_reason_is_the_tables_and_says_who_takes_traffic() -> None:
    """Three well ones: an ejection or a hold is within the cap."""
    for facts in every():
        result = resolve((facts, WELL, WELL, WELL), CLOSED, NOW).instances[0]
        assert result.standby is result.row is expected(facts), facts
        assert result.eligible is (result.standby in {Standby.ELIGIBLE, Standby.PROVISIONAL}), facts
        assert result.weight == facts.weight


def test_alone_it_is_neither_ejected_nor_held() -> None:
    for facts in every():
        reason = expected(facts)
        result = resolve((facts,), CLOSED, NOW).instances[0]
        assert result.row is reason, facts
        if reason in {Standby.EJECTED, Standby.HELD}:
            assert result.standby is (Standby.PROVISIONAL if facts.provisional else Standby.ELIGIBLE), facts
        else:
            assert result.standby is reason, facts


def test_failing_open_uses_what_is_unwell_and_never_what_somebody_took_out() -> None:
    for facts in every():
        reason = expected(facts)
        result = resolve((facts, SICK, SICK), OPEN, NOW).instances[0]
        is_gone = facts.provisional and facts.health in {Health.UNKNOWN, Health.UNHEALTHY}
        if reason in SOMEONES_WILL or is_gone:
            assert (result.eligible, result.standby) == (False, reason), facts
        else:
            assert result.eligible, facts
            if reason in {Standby.NOT_PROBED, Standby.UNHEALTHY}:
                assert result.standby is Standby.FAIL_OPEN, facts


def test_of_two_nothing_that_is_ineligible_by_itself_takes_traffic() -> None:
    """Every pair, without failing open: only an ejection or a hold may be waived, for want of another."""
    singles = [*every()]
    firsts = {expected(facts): facts for facts in singles}.values()  # one of each reason is enough on one side
    for one, other in product(firsts, singles):
        resolution = resolve((one, other), CLOSED, NOW)
        for facts, result in zip((one, other), resolution.instances, strict=True):
            reason = expected(facts)
            assert result.row is reason
            if result.eligible and reason not in {Standby.ELIGIBLE, Standby.PROVISIONAL}:
                assert reason in {Standby.EJECTED, Standby.HELD}, (one, other)
        if any(result.row in {Standby.EJECTED, Standby.HELD} for result in resolution.instances):
            assert any(result.eligible for result in resolution.instances), (one, other)
        assert resolution.next_change == math.inf
        assert resolve((one, other), CLOSED, NOW) == resolution


def test_the_order_of_instances_changes_no_reason_but_which_ejection_is_waived() -> None:
    singles = list({expected(facts): facts for facts in every()}.values())
    waived = {Standby.EJECTED, Standby.HELD}
    for one, other, rules in product(singles, singles, (CLOSED, OPEN)):
        if expected(one) in waived and expected(other) in waived:
            continue
        first = resolve((one, other), rules, NOW).instances
        second = resolve((other, one), rules, NOW).instances
        assert first == second[::-1], (one, other)
