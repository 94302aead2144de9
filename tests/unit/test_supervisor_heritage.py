"""`gateway.supervisor.heritage`: what a gateway that is replaced leaves to its successor's registry."""

from __future__ import annotations

import json

import pytest

from discovery.settings import HealthSettings, ProbeType
from gateway.snapshot.model import Standby
from gateway.supervisor.heritage import LASTS, Heritage, decode, encode
from healthcheck.model import Health, Target, Verdict
from tests.registry_bench import ONE, TWO, Bench, static_service

WEB = Target("web", ONE.address)
OTHER = Target("web", TWO.address)


def left() -> Bench:
    """A gateway with a past: one instance well after falls, the other drained."""
    bench = Bench(static_service())
    bench.now = 100.0
    bench.answer(ONE, TWO)
    bench.build()
    for health in (Health.HEALTHY, Health.UNHEALTHY, Health.HEALTHY):
        bench.now += 1.0
        bench.registry.apply_verdict(WEB, Verdict(health is Health.HEALTHY, "so it is", 0.0), bench.now)
        bench.turn(health, ONE)
        bench.build()
    bench.turn(Health.HEALTHY, TWO)
    bench.registry.drain("web", TWO.address, "ann", bench.now)
    bench.build()
    return bench


def bequeathed(bench: Bench) -> Heritage:
    return decode(encode(bench.registry.bequeath(bench.now)))


def successor(heritage: Heritage, now: float, settings: HealthSettings | None = None) -> Bench:
    bench = Bench(static_service(health=settings or HealthSettings()))
    bench.now = now
    bench.registry.inherit(heritage)
    bench.answer(ONE, TWO)
    bench.build()
    return bench


def test_a_successor_knows_health_history_and_drains_from_the_first_snapshot_on() -> None:
    before = left()
    after = successor(bequeathed(before), before.now + 1.0)
    assert after.standbys() == {ONE.address: Standby.ELIGIBLE, TWO.address: Standby.DRAINING}
    assert after.news() == []  # nothing became of anybody
    assert after.facts() == before.facts()
    assert after.registry.health(WEB) is Health.HEALTHY
    assert not any(member.is_unjudged for _, member in after.registry.members())
    assert after.registry.undrain("web", TWO.address, "bob")
    after.build()
    assert after.standbys()[TWO.address] is Standby.ELIGIBLE


def test_what_was_drained_and_undrained_meanwhile_holds() -> None:
    before = left()
    after = successor(bequeathed(before), before.now)
    before.registry.undrain("web", TWO.address, "bob")
    before.registry.drain("web", ONE.address, "bob", before.now)
    after.registry.inherit(bequeathed(before))
    after.build()
    assert after.standbys() == {ONE.address: Standby.DRAINING, TWO.address: Standby.ELIGIBLE}


def test_an_instance_that_is_listed_too_late_is_probed_first() -> None:
    before = left()
    after = successor(bequeathed(before), before.now + LASTS + 1.0)
    assert after.standbys()[ONE.address] is Standby.NOT_PROBED
    assert all(member.is_unjudged for _, member in after.registry.members())


def test_an_instance_that_is_not_to_be_probed_any_more_counts_as_such() -> None:
    before = left()
    after = successor(bequeathed(before), before.now, HealthSettings(type=ProbeType.NONE))
    assert after.registry.health(WEB) is Health.UNCHECKED


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"version": 2}', b'{"version": 1, "at": 0, "heirlooms": [1]}']
)
def test_what_is_no_heritage_of_this_version_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"(?i)expect|version"):
        decode(content)


def test_a_field_too_many_is_refused_and_not_guessed_at() -> None:
    fields = json.loads(encode(left().registry.bequeath(0.0)))
    fields["heirlooms"][0][2]["mood"] = "fine"
    with pytest.raises(ValueError, match="mood"):
        decode(json.dumps(fields).encode())
