"""Explaining, progress and the configuration in force through the admin interface."""

from __future__ import annotations

import httpx
import pytest

from gateway.admin import handlers
from gateway.shm import layout
from tests.unit.fake_gateway import FakeFacade

PROBLEM = "application/problem+json"


async def test_a_request_is_explained(http: httpx.AsyncClient) -> None:
    asked = {"method": "GET", "url": "/users/7", "headers": [["Host", "a.example"]], "client": "192.0.2.7"}
    response = await http.post("/api/explain", json=asked)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    told = response.json()
    assert (told["host"], told["client"], told["outcome"]) == ("a.example", "192.0.2.7", "forwarded")
    (route,) = told["routes"]
    assert [(each["candidate"], each["reason"]) for each in route["instances"]] == [
        (False, "draining"),
        (True, "eligible"),
    ]


async def test_headers_may_be_a_table_and_the_method_left_out(http: httpx.AsyncClient) -> None:
    told = (await http.post("/api/explain", json={"url": "/", "headers": {"Host": "a.example"}})).json()
    assert (told["host"], told["method"]) == ("a.example", "GET")


@pytest.mark.parametrize(
    "asked",
    [
        [],
        {},
        {"url": 1},
        {"url": "/", "method": None},
        {"url": "/", "headers": "X: y"},
        {"url": "/", "headers": [["X"]]},
        {"url": "/", "headers": [["X", 1]]},
        {"url": "/", "client": 7},
    ],
)
async def test_what_is_no_question_is_a_problem_with_an_example(http: httpx.AsyncClient, asked: object) -> None:
    response = await http.post("/api/explain", json=asked)
    assert (response.status_code, response.headers["content-type"]) == (400, PROBLEM)
    assert '"url": "/users/7"' in response.json()["detail"]


async def test_what_is_no_request_is_a_problem_with_the_reason_that_clients_get(http: httpx.AsyncClient) -> None:
    response = await http.post("/api/explain", json={"url": "/", "headers": [["Host", "a"], ["Host", "b"]]})
    assert (response.status_code, response.json()["reason"]) == (400, "bad_host")
    assert "Host is repeated" in response.json()["detail"]


async def test_no_web_page_may_ask(http: httpx.AsyncClient) -> None:
    response = await http.post("/api/explain", json={"url": "/"}, headers={"Origin": "https://evil.example"})
    assert response.status_code == 403


async def test_progress_tells_of_workers_and_of_one_service(http: httpx.AsyncClient, facade: FakeFacade) -> None:
    facade.ledger.words[layout.row_word(1, layout.R_GENERATION)] = 41
    found = (await http.get("/api/progress", params={"service": "users"})).json()
    assert found["workers"] == [
        {"id": 0, "state": "serving", "generation": 0},
        {"id": 1, "state": "serving", "generation": 41},
    ]
    assert (found["generation"], found["ready"], found["services"]) == (42, True, ["users", "orders"])
    assert (found["service"]["name"], found["service"]["eligible"]) == ("users", 2)
    assert found["service"]["instances"][2] == {
        "address": "10.0.0.3:9001",
        "eligible": False,
        "reason": "unhealthy",
        "detail": "connection refused",
    }
    for query in ({}, {"service": "nope"}):
        assert (await http.get("/api/progress", params=query)).json()["service"] is None


async def test_the_configuration_in_force_is_shown(http: httpx.AsyncClient) -> None:
    found = (await http.get("/api/config")).json()
    assert found["settings"]["limits.headers"] == 100
    assert handlers.show_config(FakeFacade()).body == found
