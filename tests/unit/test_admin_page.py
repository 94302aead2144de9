"""What the page shows, in which order, and how much of it; how curves are drawn; what its paths answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import trio

from gateway.admin.facts import DrainFacts, Facts, ServiceFacts
from gateway.admin.page import render
from gateway.admin.page.charts import chart, nice_top, thin
from gateway.admin.page.view import (
    ALL_INSTANCES,
    INSTANCE_BUDGET,
    PER_PAGE,
    PER_SERVICE,
    Query,
    View,
    instance_tone,
    service_tone,
    view,
)
from gateway.admin.process import Usage
from gateway.admin.server import serve
from tests.unit.fake_gateway import STARTED, FakeFacade, instance, make_facts, route

ROOT = Path(__file__).parent.parent.parent


def seen(facts: Facts, query: Query = Query()) -> View:  # noqa: B008 (frozen)
    facade = FakeFacade(present=facts)
    return view(
        facts, facade.ledger, facade.series, facade.access, query, lambda _pid: Usage(41_000_000, 0.0), STARTED + 100.0
    )


def many(services: int, instances: int, *, sick: int = -1) -> Facts:
    """So many services with so many instances each, all well but those of one service."""
    made = tuple(
        ServiceFacts(
            f"service-{number}",
            "file: gateway.toml",
            "random",
            "",
            tuple(
                instance(
                    f"10.{number // 256}.{number % 256}.{each}:80",
                    1 + number * instances + each,
                    eligible=number != sick,
                    reason="unhealthy" if number == sick else "eligible",
                )
                for each in range(instances)
            ),
        )
        for number in range(services)
    )
    return replace(
        make_facts(), services=made, routes=tuple(route(f"/{n}/*", f"service-{n}", n + 1) for n in range(services))
    )


@pytest.mark.parametrize(
    ("changes", "tone"),
    [
        ({}, "good"),
        ({"reason": "provisional"}, "warn"),
        ({"eligible": False, "reason": "unhealthy"}, "bad"),
        ({"eligible": False, "reason": "ejected"}, "bad"),
        ({"eligible": False, "reason": "draining"}, "off"),
        ({"eligible": False, "reason": "not_probed"}, "warn"),
    ],
)
def test_the_tone_of_an_instance(changes: dict[str, object], tone: str) -> None:
    assert instance_tone(instance("10.0.0.1:1", 1, **changes)) == tone


def test_the_tone_of_a_service() -> None:
    well, sick = instance("a:1", 1), instance("b:1", 2, eligible=False, reason="unhealthy")
    service = ServiceFacts("users", "", "random", "", (well, well))
    assert service_tone(service) == ("good", "2 of 2 take traffic")
    assert service_tone(replace(service, instances=(well, sick))) == ("warn", "1 of 2 take traffic")
    assert service_tone(replace(service, instances=(sick,))) == ("bad", "none takes traffic")
    assert service_tone(replace(service, instances=())) == ("bad", "no instances")
    assert service_tone(replace(service, is_failing_open=True)) == ("bad", "fails open, 2 of 2 take traffic")


def test_trouble_comes_first_and_one_page_is_bounded() -> None:
    facts = many(500, 10, sick=321)
    first = seen(facts).services
    assert (first.found, first.total, first.troubled, first.page, first.pages) == (500, 500, 1, 1, 10)
    assert [each.facts.name for each in first.shown[:2]] == ["service-321", "service-0"]
    assert len(first.shown) == PER_PAGE
    assert sum(len(each.instances) for each in first.shown) == INSTANCE_BUDGET
    assert (len(first.shown[-1].instances), first.shown[-1].hidden) == (0, 10)
    assert seen(facts, Query(page=99)).services.page == 10
    assert [each.facts.name for each in seen(facts, Query(page=10)).services.shown][-1] == "service-499"


def test_a_service_on_its_own_page_has_its_instances_and_charts() -> None:
    facts = many(2, 30)
    both = seen(facts)
    assert [(len(each.instances), each.hidden) for each in both.services.shown] == [(PER_SERVICE, 10)] * 2
    alone = seen(facts, Query(service="service-1"))
    (service,) = alone.services.shown
    assert (len(service.instances), service.hidden, len(service.charts)) == (30, 0, 3)
    assert [each["service"] for each in alone.routes] == ["service-1"]
    assert (
        len(seen(many(1, ALL_INSTANCES + 5), Query(service="service-0")).services.shown[0].instances) == ALL_INSTANCES
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("USERS", ["users"]),
        ("10.0.0.9", ["orders"]),
        ("unhealthy", ["users"]),
        ("shop.example", ["orders"]),
        ("users.internal", ["users"]),
        ("nothing", []),
    ],
)
def test_the_filter_looks_at_names_addresses_reasons_and_routes(text: str, found: list[str]) -> None:
    assert [each.facts.name for each in seen(make_facts(), Query(text)).services.shown] == found


def test_the_page_says_what_the_status_says() -> None:
    drained = DrainFacts("10.9.9.9:1", STARTED, "alice", is_listed=False, in_flight=0)
    facts = make_facts()
    services = (replace(facts.services[0], drains=(drained,)), *facts.services[1:])
    html = render.page(seen(replace(facts, services=services, ready=False, not_ready=("worker 1 is starting",))))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))
    for said in (
        "not ready",
        "worker 1 is starting",
        "connection refused",
        "10.9.9.9:1 is drained",
        "consul stale for 55s (last answer 56s ago): connection refused",
        "auth= is not supported",
        "shop.example.com/orders/*",
        "41 MB",
        "1m 40s",
    ):
        assert said in text, said
    assert "style=" not in html  # the policy allows none
    assert 'data-summary="Gateway not ready. 2 of 2 services need a look. 1 problem."' in html


def test_curves_end_at_the_right_and_break_where_nothing_is_known() -> None:
    drawn = chart([("main", "x", [0.0, 5.0, None, 10.0])], points=601, samples=601, least_top=1.0)
    (line,) = drawn.lines
    assert drawn.top == 10.0
    assert line.path == "M597.0 100.0L598.0 50.0M600.0 0.0h0.1"
    assert line.values == "0 5 - 10"
    assert chart([("main", "x", [])], points=10, samples=10, least_top=1.0).lines[0].path == ""
    assert thin([1.0, 2.0, 4.0, None, None], 2, end=5) == [1.5, 4.0, None]
    assert thin([2.0, 4.0, None, None, 6.0], 2, end=6) == [4.0, 6.0]
    assert [nice_top(value) for value in (0.0, 0.9, 1.0, 11.0, 97.0, 130.0)] == [1.0, 1.0, 1.0, 15.0, 100.0, 150.0]


async def test_what_the_paths_answer() -> None:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, FakeFacade(), "127.0.0.1:0")
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
            page = await client.get("/")
            assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
            for name in re.findall(r'(?:src|href)="(/assets/[^"]*)"', page.text):
                found = await client.get(name)
                assert (found.status_code, "immutable" in found.headers["cache-control"]) == (200, True), name
            live = await client.get("/live", params={"q": "users", "page": "many"})
            assert live.text.strip().startswith('<div id="live"')
            assert "10.0.0.9" not in live.text
            assert (await client.get("/assets/page.html")).status_code == 404
            series = await client.get("/api/series", params={"service": "*", "seconds": "x"})
            assert (series.json()["services"], series.json()["ends_at"]) == ([], None)
            assert (await client.post("/")).status_code == 405
        nursery.cancel_scope.cancel()


def test_templates_and_assets_are_shipped(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "GW_COMPILE": "0"}, check=True, capture_output=True)
    page = Path("gateway/admin/page")
    wanted = {each.relative_to(ROOT) for kind in ("templates", "assets") for each in (ROOT / page / kind).iterdir()}
    assert len(wanted) >= 9
    assert {each.relative_to(tmp_path) for each in (tmp_path / page).rglob("*.*") if each.suffix != ".py"} == wanted
