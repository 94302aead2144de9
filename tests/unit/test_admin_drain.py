"""Draining through the admin interface, and what it says of instances' histories."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from gateway.admin import handlers, status
from gateway.admin.facts import DrainFacts, TransitionFacts
from gateway.admin.process import Usage
from gateway.admin.server import BODY_BYTES
from tests.unit.fake_gateway import STARTED, FakeFacade, instance, make_facts, make_ledger

PROBLEM = "application/problem+json"
ASKED = {"service": "users", "instance": "10.0.0.1:9001", "by": "alice"}


async def test_a_drain_and_its_end_tell_the_generation_from_which_they_hold(http: httpx.AsyncClient) -> None:
    expected = {"service": "users", "instance": "10.0.0.1:9001", "draining": True, "changed": True, "generation": 43}
    assert (await http.post("/api/drain", json=ASKED)).json() == expected
    again = (await http.post("/api/drain", json=ASKED)).json()
    assert (again["changed"], again["draining"]) == (False, True)
    end = (await http.post("/api/undrain", json=ASKED)).json()
    assert (end["changed"], end["draining"]) == (True, False)


@pytest.mark.parametrize("path", ["/api/drain", "/api/undrain"])
@pytest.mark.parametrize(
    ("changes", "reason", "known"),
    [
        ({"service": "nope"}, "no_such_service", {"services": ["users", "orders"]}),
        (
            {"instance": "10.9.9.9:1"},
            "no_such_instance",
            {"instances": ["10.0.0.1:9001", "10.0.0.2:9001", "10.0.0.3:9001"]},
        ),
    ],
)
async def test_what_does_not_exist_is_a_problem_that_says_what_does(
    http: httpx.AsyncClient, path: str, changes: dict[str, str], reason: str, known: dict[str, list[str]]
) -> None:
    response = await http.post(path, json={**ASKED, **changes})
    assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
    body = response.json()
    assert body["reason"] == reason
    (key,) = known
    assert body[key] == known[key]
    assert all(each in body["detail"] for each in known[key])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", 400),
        (b"service=users", 400),
        (b"\xff", 400),
        (b"[]", 400),
        (b'{"service": "users"}', 400),
        (b'{"service": "users", "instance": 1}', 400),
        (b'{"service": "users", "instance": "10.0.0.1:9001", "by": null}', 400),
        (b"[" * 60_000, 400),
        (b" " * (BODY_BYTES + 1), 413),
    ],
)
async def test_what_is_not_understood_is_a_problem(
    http: httpx.AsyncClient, facade: FakeFacade, content: bytes, code: int
) -> None:
    response = await http.post("/api/drain", content=content)
    assert (response.status_code, response.headers["content-type"]) == (code, PROBLEM)
    assert facade.present.generation == 42


async def test_no_web_page_may_drain(http: httpx.AsyncClient, facade: FakeFacade) -> None:
    response = await http.post("/api/drain", json=ASKED, headers={"Origin": "https://evil.example"})
    assert (response.status_code, facade.present.generation) == (403, 42)


def test_who_drains_is_the_interface_if_nobody_says() -> None:
    facade = FakeFacade()
    assert handlers.drain(facade, {"service": "users", "instance": "10.0.0.1:9001"}).status == 200
    assert facade.present.services[0].drains[0].by == "the admin interface"


def test_status_tells_history_flaps_drains_and_what_ends_by_itself() -> None:
    facts = make_facts()
    fell = TransitionFacts(STARTED + 5.0, "eligible", "unhealthy", "probes_failed", "probe", "connection refused")
    held = instance("10.0.0.1:9001", 1, reason="held", flaps=4, until=STARTED + 90.0, history=(fell,))
    drain = DrainFacts("10.0.0.7:9001", STARTED + 60.0, "alice", is_listed=False, in_flight=2)
    users = replace(facts.services[0], instances=(held,), drains=(drain,), is_failing_open=True)
    facts = replace(facts, services=(users,))
    for body in (
        status.status(facts, make_ledger(), usage=lambda _pid: Usage(0, 0.0), now=STARTED),
        status.services(facts, make_ledger()),
    ):
        (service,) = body["services"]
        (shown,) = service["instances"]
        assert (shown["flaps"], shown["until"]) == (4, "2026-09-21T14:14:50.000Z")
        assert shown["history"] == [
            {
                "at": "2026-09-21T14:13:25.000Z",
                "from": "eligible",
                "to": "unhealthy",
                "reason": "probes_failed",
                "who": "probe",
                "detail": "connection refused",
            }
        ]
        assert service["failing_open"] is True
        assert service["drains"] == [
            {
                "address": "10.0.0.7:9001",
                "since": "2026-09-21T14:14:20.000Z",
                "by": "alice",
                "listed": False,
                "in_flight": 2,
            }
        ]
