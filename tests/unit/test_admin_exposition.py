"""What is written quickly is what prometheus-client writes by itself, whatever came before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.registry import CollectorRegistry

from gateway.admin import families, metrics
from gateway.admin.exposition import FORMATS, NUMBERS, Exposition, GatewayCollector, Measured
from gateway.admin.facts import Facts
from gateway.shm.ledger import Ledger
from tests.unit.fake_gateway import STARTED, count, figures, instance, make_facts, make_ledger, route

TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
NASTY = ('say "%s"', "a\\nb\\\\n", "100%", "%(service)s", "\u2028\x85\r", "# HELP", "übung", "a b\nc 1")


def measured(facts: Facts, ledger: Ledger) -> list[Measured]:
    return metrics.measure(metrics.read_ledger(facts, figures(facts), ledger, STARTED + 0.25), lambda pid: None)


def by_the_library(each: list[Measured], accept: str) -> str:
    registry = CollectorRegistry()
    registry.register(GatewayCollector(each))
    encode, _ = choose_encoder(accept)
    return encode(registry).decode()


def nasty() -> Facts:
    """Names that have to be escaped, or could be taken for something else."""
    facts = make_facts()
    services = [
        replace(facts.services[0], name=name, instances=(instance(f"{name}:80", at + 1),))
        for at, name in enumerate(NASTY)
    ]
    routes = [route(f"/{name}/*", name, at + 1) for at, name in enumerate(NASTY)]
    return replace(facts, services=tuple(services), routes=tuple(routes))


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS, ""])
@pytest.mark.parametrize("facts", [make_facts(), nasty()], ids=["plain", "nasty"])
def test_it_is_what_the_library_writes(accept: str, facts: Facts) -> None:
    ledger, exposition = make_ledger(), Exposition()
    for step in range(4):
        for at in range(step * 3):
            count(ledger, at % 2, 1 + at % 5, 1 + at % 3, code=200 + at, seconds=0.0007 * 3**at)
        each = measured(facts, ledger)
        body, _ = exposition.render(each, accept)
        assert body.decode() == by_the_library(each, accept)


def test_numbers_of_every_size_are_the_librarys() -> None:
    exposition = Exposition()
    for value in (0, 1, True, 0.1, 1e-9, 999_999, 1_000_000, 1_234_567, 10**9, 2**53, 1e21, float("inf")):
        each = [Measured((families.UPTIME,), [((), (value,))])]
        assert exposition.render(each, "")[0].decode() == by_the_library(each, "")


def test_more_numbers_than_are_kept_are_the_librarys_too() -> None:
    rows = [((f"service-{at}",), (at, at / 8, at % 2)) for at in range(NUMBERS)]
    each = [Measured((families.INSTANCES, families.ELIGIBLE_INSTANCES, families.FAILING_OPEN), rows)]
    exposition = Exposition()
    for _ in range(2):
        assert exposition.render(each, "")[0].decode() == by_the_library(each, "")


def test_what_comes_and_goes_is_followed() -> None:
    ledger, exposition = make_ledger(), Exposition()
    full = make_facts()
    half = replace(full, services=full.services[:1], routes=full.routes[:1], workers=full.workers[:1])
    for facts in (half, full, half, replace(full, services=(), routes=()), full):
        each = measured(facts, ledger)
        assert exposition.render(each, TEXT)[0].decode() == by_the_library(each, TEXT)
    body, _ = exposition.render(measured(half, ledger), TEXT)
    assert b"orders" not in body


def test_formats_do_not_mix_and_are_not_kept_for_ever() -> None:
    ledger, exposition = make_ledger(), Exposition()
    each = measured(make_facts(), ledger)
    asked = [f"application/openmetrics-text;version=1.{minor}.0" for minor in range(FORMATS + 2)]
    for accept in (TEXT, *asked, TEXT):
        body, media_type = exposition.render(each, accept)
        assert body.decode() == by_the_library(each, accept)
        assert media_type.startswith(accept.split(";")[0])


def test_openmetrics_is_spoken_when_asked_for() -> None:
    ledger = make_ledger()
    count(ledger, 0, 1, 1)
    accept = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"
    body, media_type = Exposition().render(measured(make_facts(), ledger), accept)
    assert media_type.startswith("application/openmetrics-text")
    found = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
    assert {family.name for family in found} >= {"gw_requests", "gw_build_info"}
