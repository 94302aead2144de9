"""Facts and ledger as the JSON that the contract promises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.admin import status
from gateway.admin.facts import Facts
from gateway.admin.process import Usage
from gateway.admin.words import rfc3339
from gateway.shm import layout
from gateway.shm.ledger import Ledger
from tests.unit.fake_gateway import STARTED, count, make_facts, make_ledger


def make_status(facts: Facts, ledger: Ledger) -> status.Status:
    return status.status(facts, ledger, usage=lambda pid: Usage(pid * 1000, 0.0), now=STARTED + 60.5)


def missing(keys: str, body: Mapping[str, object]) -> set[str]:
    return set(keys.split()) - set(body)


def test_every_key_of_the_contract_is_there() -> None:
    body = make_status(make_facts(), make_ledger())
    assert missing("name version uptime_seconds generation ready draining", body) == set()
    worker = "id pid state generation connections in_flight requests_total restarts rss_bytes"
    assert missing(worker, body["workers"][0]) == set()
    assert missing("name origin balance instances", body["services"][0]) == set()
    instance = "address weight eligible reason health since in_flight requests_total failures_total"
    assert missing(instance, body["services"][0]["instances"][0]) == set()
    assert set(body["discovery"][0]) == {"source", "stale", "stale_since", "last_success", "error", "restored"}
    assert set(body["problems"][0]) == {"origin", "message"}
    assert json.loads(json.dumps(body)) == body


def test_times_are_rfc_3339_in_utc() -> None:
    assert rfc3339(STARTED) == "2026-09-21T14:13:20.000Z"
    assert rfc3339(STARTED + 0.25) == "2026-09-21T14:13:20.250Z"
    body = make_status(make_facts(), make_ledger())
    assert body["started_at"] == "2026-09-21T14:13:20.000Z"
    assert body["uptime_seconds"] == 60.5
    assert body["services"][0]["instances"][0]["since"] == "2026-09-21T14:13:30.000Z"
    static, consul = body["discovery"]
    assert (static["stale_since"], static["last_success"]) == (None, "2026-09-21T14:13:21.000Z")
    assert (consul["stale"], consul["stale_since"]) == (True, "2026-09-21T14:14:05.000Z")


def test_a_clock_that_was_set_back_gives_no_negative_uptime() -> None:
    body = status.status(make_facts(), make_ledger(), usage=lambda _: Usage(0, 0.0), now=STARTED - 5.0)
    assert body["uptime_seconds"] == 0.0


def test_a_worker_is_its_ledger_row_and_its_process() -> None:
    ledger = make_ledger()
    for word, value in (
        (layout.R_GENERATION, 41),
        (layout.R_CONNECTIONS, 7),
        (layout.R_IN_FLIGHT, 3),
        (layout.R_REQUESTS_TOTAL, 99),
    ):
        ledger.words[layout.row_word(1, word)] = value
    facts = make_facts()
    first, second = make_status(facts, ledger)["workers"]
    assert (first["id"], first["connections"], first["restarts"]) == (0, 0, 0)
    assert (second["generation"], second["connections"], second["in_flight"], second["requests_total"]) == (
        41,
        7,
        3,
        99,
    )
    assert (second["state"], second["restarts"]) == ("serving", 2)
    assert second["rss_bytes"] == facts.workers[1].pid * 1000


def test_an_instance_sums_the_workers_and_a_client_that_left_is_no_failure() -> None:
    ledger = make_ledger()
    for row in (0, 1):
        for word, _ in layout.OUTCOMES:
            ledger.words[layout.instance_word(row, 2, word)] = 1
        ledger.words[layout.instance_word(row, 2, layout.I_ATTEMPTS)] = len(layout.OUTCOMES)
        ledger.words[layout.instance_word(row, 2, layout.I_IN_FLIGHT)] = 4
        ledger.words[layout.instance_word(row, 2, layout.I_LATENCY_US)] = 1500
    untouched, counted, _ = make_status(make_facts(), ledger)["services"][0]["instances"]
    assert (untouched["requests_total"], untouched["failures_total"], untouched["in_flight"]) == (0, 0, 0)
    assert counted["address"] == "10.0.0.2:9001"
    assert counted["requests_total"] == 2 * len(layout.OUTCOMES)
    assert counted["failures_total"] == 2 * (len(layout.OUTCOMES) - 2)
    assert counted["in_flight"] == 8
    assert (counted["responses_total"], counted["latency_seconds_sum"]) == (4, 0.003)


def test_an_instances_latencies_are_counted_and_summed_up_as_quantiles() -> None:
    ledger = make_ledger()
    for row, seconds in ((0, 0.002), (1, 0.002), (1, 0.002), (0, 7.0)):
        count(ledger, row, 2, 1, seconds=seconds)
    body = make_status(make_facts(), ledger)
    untouched, counted, _ = body["services"][0]["instances"]
    assert dict(zip(body["latency_bounds"], counted["latency_counts"], strict=False))[0.0025] == 3
    assert sum(counted["latency_counts"]) == counted["responses_total"] == 4
    assert counted["latency_p50_seconds"] == pytest.approx(0.002)
    assert counted["latency_p99_seconds"] == pytest.approx(9.8)
    assert untouched["latency_p50_seconds"] is untouched["latency_p99_seconds"] is None
    assert len(untouched["latency_counts"]) == len(body["latency_bounds"]) + 1


def test_reloads_are_told() -> None:
    assert make_status(make_facts(), make_ledger())["reloads"] == {
        "succeeded": 3,
        "failed": 1,
        "last_successful": True,
        "last_success": "2026-09-21T14:13:40.000Z",
    }


def test_traffic_adds_up_the_routes_that_exist_and_what_matched_none() -> None:
    ledger = make_ledger()
    count(ledger, 0, 1, 1, code=200, seconds=0.0004)
    count(ledger, 1, 1, 2, code=503, seconds=0.02)
    count(ledger, 1, 1, layout.NO_ROUTE_CELL, code=404, seconds=99.0)
    count(ledger, 1, 1, 9, code=200)  # of a route that is gone
    traffic = make_status(make_facts(), ledger)["traffic"]
    assert traffic["requests_total"] == 4
    assert traffic["codes"] == {"200": 1, "404": 1, "503": 1}
    assert sum(traffic["duration_counts"]) == 3
    assert (traffic["duration_counts"][0], traffic["duration_counts"][-1]) == (1, 1)
    assert len(traffic["duration_counts"]) == len(traffic["duration_bounds"]) + 1


def test_routes_say_where_they_came_from_and_what_they_answered() -> None:
    ledger = make_ledger()
    count(ledger, 0, 1, 2, code=200)
    count(ledger, 1, 1, 2, code=502)
    body = status.routes(make_facts(), ledger)
    assert [route["origin"] for route in body["routes"]] == [f"file: gateway.toml routes[{n}]" for n in range(3)]
    assert body["routes"][1]["codes"] == {"200": 1, "502": 1}
    assert body["routes"][1]["methods"] == ["GET"]
    assert body["routes"][1]["requests_total"] == 2
    assert body["problems"][0]["origin"].startswith("tag: service blog")


def test_services_without_instances_are_shown() -> None:
    facts = make_facts()
    facts = replace(facts, services=tuple(replace(service, instances=()) for service in facts.services))
    body = status.services(facts, make_ledger())
    assert [(service["name"], service["instances"]) for service in body["services"]] == [("users", []), ("orders", [])]
