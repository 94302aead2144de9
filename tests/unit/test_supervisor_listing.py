"""The answers of several sources as one list of instances."""

from __future__ import annotations

from discovery.model import Instance, Origin, OriginKind, ServiceSpec, StaticTarget
from discovery.source import Answer, SourceState
from gateway.supervisor.listing import Listing, users

FILE = Origin(OriginKind.FILE, "gateway.toml services[0]")
SPEC = ServiceSpec(
    "users", FILE, consul="web", failover=("dc2", "dc3"), targets=(StaticTarget("10.0.0.1", 80, weight=5),)
)


def consul(number: int, datacenter: str, weight: int = 1) -> Instance:
    return Instance(f"10.0.0.{number}", 80, weight=weight, id=f"web-{number}", datacenter=datacenter)


def listing() -> Listing:
    known = Listing()
    known.apply(Answer("static", "users", (Instance("10.0.0.1", 80, weight=5),)))
    known.apply(Answer("consul", "web", (consul(1, "dc1"), consul(2, "dc1"))))
    known.apply(Answer("consul dc3", "web", (consul(3, "dc3"), consul(2, "dc3"))))
    return known


def test_each_address_is_one_instance_of_the_nearest_datacenter() -> None:
    listed = listing().listed(SPEC)
    assert {address: (each.tier, each.origin, each.instance.weight) for address, each in listed.items()} == {
        "10.0.0.1:80": (0, "file, consul dc1", 5),
        "10.0.0.2:80": (0, "consul dc1", 1),
        "10.0.0.3:80": (2, "consul dc3", 1),
    }


def test_a_tier_without_an_answer_is_unknown_unless_its_source_fails() -> None:
    known = listing()
    assert known.unanswered(SPEC, {}) == {1}
    failing = SourceState("consul dc2", stale=True, stale_since=1.0, last_success=None)
    assert known.unanswered(SPEC, {"consul dc2": failing}) == frozenset()
    known.apply(Answer("consul dc2", "web", ()))
    assert known.unanswered(SPEC, {}) == frozenset()


def test_an_answer_concerns_the_services_that_ask_its_datacenter() -> None:
    other = ServiceSpec("other", FILE, consul="web", datacenter="dc2")
    for source, expected in (("consul", ["users"]), ("consul dc2", ["users", "other"]), ("consul dc9", [])):
        assert users(Answer(source, "web", ()), [SPEC, other]) == expected
    assert users(Answer("static", "users", ()), [SPEC]) == ["users"]


def test_a_source_that_ended_takes_its_instances_with_it() -> None:
    known = listing()
    assert known.forget("consul dc3") == ("web",)
    assert sorted(known.listed(SPEC)) == ["10.0.0.1:80", "10.0.0.2:80"]
    assert not known.apply(Answer("consul", "web", (consul(1, "dc1"), consul(2, "dc1"))))
