"""What holds for any service whatever its instances and settings."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from discovery.model import Standing
from gateway.snapshot.model import Standby
from gateway.snapshot.resolve import InstanceFacts, ServiceRules, resolve, slow_start_share
from healthcheck.model import Health

percents = st.integers(min_value=0, max_value=100)
instances = st.builds(
    InstanceFacts,
    standing=st.sampled_from(Standing),
    provisional=st.booleans(),
    weight=st.integers(min_value=0, max_value=100),
    health=st.sampled_from(Health),
    draining=st.booleans(),
    ejected=st.booleans(),
    held=st.booleans(),
    admitted_at=st.floats(min_value=0, max_value=2e9),
)
rules = st.builds(
    ServiceRules,
    fail_open_below=percents,
    slow_start=st.floats(min_value=0, max_value=600),
    max_ejected_percent=percents,
)
moments = st.floats(min_value=0, max_value=2e9)


@given(st.lists(instances, max_size=12), rules, moments)
def test_laws_of_every_resolution(facts: list[InstanceFacts], rules: ServiceRules, now: float) -> None:
    resolution = resolve(facts, rules, now)
    results = list(zip(facts, resolution.instances, strict=True))
    for each, result in results:
        taken_out = (
            each.standing in {Standing.CRITICAL, Standing.MAINTENANCE} or each.draining or not each.weight
        )  # fmt: skip
        gone = each.provisional and each.health in {Health.UNKNOWN, Health.UNHEALTHY}
        if taken_out or gone:
            assert not result.eligible
        if not rules.fail_open_below and each.health in {Health.UNKNOWN, Health.UNHEALTHY}:
            assert not result.eligible
        assert result.eligible is (result.standby in {Standby.ELIGIBLE, Standby.PROVISIONAL, Standby.FAIL_OPEN})
        assert each.weight * 0.1 <= result.weight + 1e-9
        assert result.weight <= each.weight
    out = sum(result.standby in {Standby.EJECTED, Standby.HELD} for _, result in results)
    able = sum(result.row in {Standby.EJECTED, Standby.HELD} or result.eligible for _, result in results)
    assert out <= able * rules.max_ejected_percent / 100
    if out:
        assert any(result.eligible for _, result in results)
    assert resolution.next_change > now
    assert resolve(facts, rules, now) == resolution


@given(moments, st.floats(min_value=0.01, max_value=600))
def test_a_slow_start_ends_whole_after_few_growing_steps(admitted_at: float, slow_start: float) -> None:
    now, share, steps = admitted_at, 0.0, 0
    while now != math.inf:
        grown, later = slow_start_share(admitted_at, slow_start, now)
        assert grown > share
        assert later > now
        now, share, steps = later, grown, steps + 1
    assert share == 1.0
    assert steps <= max(12, slow_start + 2)
