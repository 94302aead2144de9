"""Facts and ledger as Prometheus reads them: parsed back with its own parser, and held to its rules."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from dataclasses import replace

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.admin import families, metrics
from gateway.admin.exposition import Exposition
from gateway.admin.facts import Facts, TraceFacts
from gateway.admin.process import ProcessFigures
from gateway.shm import layout
from gateway.shm.ledger import Ledger
from tests.unit.fake_gateway import STARTED, count, count_route, figures, make_facts, make_ledger

NOW = STARTED + 3600.0

CONTRACT = {
    "gw_requests_total": {"route", "service", "code"},
    "gw_request_duration_seconds": {"route", "service"},
    "gw_upstream_attempts_total": {"service", "instance", "outcome"},
    "gw_in_flight": {"service", "instance"},
    "gw_instance_healthy": {"service", "instance"},
    "gw_health_checks_total": {"service", "instance", "result"},
    "gw_instance_ejections_total": {"service", "instance"},
    "gw_instance_flaps_total": {"service", "instance"},
    "gw_service_failing_open": {"service"},
    "gw_client_connections": {"worker"},
    "gw_worker_restarts_total": {"worker"},
    "gw_snapshot_generation": {"worker"},
    "gw_snapshot_propagation_seconds": set(),
    "gw_discovery_last_success_timestamp_seconds": {"source"},
    "gw_build_info": {"version"},
    "process_cpu_seconds_total": {"process"},
    "process_resident_memory_bytes": {"process"},
    "process_open_fds": {"process"},
    "process_start_time_seconds": {"process"},
}


def expose(facts: Facts, ledger: Ledger, accept: str = "") -> tuple[bytes, str]:
    return Exposition().render(metrics.measure(metrics.read_ledger(facts, figures(facts), ledger, NOW)), accept)


def scrape(facts: Facts, ledger: Ledger) -> dict[str, Metric]:
    body, media_type = expose(facts, ledger)
    assert media_type.startswith("text/plain; version=0.0.4")
    found = list(parse_text(body.decode()))
    assert len({family.name for family in found}) == len(found)
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in found}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    base = re.sub("_(bucket|sum|count)$", "", name)
    [found] = [s.value for s in families[base].samples if s.name == name and s.labels == labels]
    return float(found)


@pytest.fixture
def ledger() -> Ledger:
    return make_ledger()


def test_every_family_of_the_contract_has_its_labels(ledger: Ledger) -> None:
    count(ledger, 0, 1, 1)
    found = scrape(make_facts(), ledger)
    for name, labels in CONTRACT.items():
        samples = found[name].samples
        assert samples, name
        for sample in samples:
            assert set(sample.labels) - {"le"} == labels, name


def test_the_rules_of_promtool_hold(ledger: Ledger) -> None:
    count(ledger, 0, 1, 1, seconds=0.03)
    count(ledger, 0, 1, 1, seconds=300.0)
    for name, family in scrape(make_facts(), ledger).items():
        assert family.documentation, name
        assert re.fullmatch("(gw|process)_[a-z0-9_]+", name)
        assert (family.type == "counter") == name.endswith("_total")
        seen = [(s.name, tuple(sorted(s.labels.items()))) for s in family.samples]
        assert len(set(seen)) == len(seen), f"{name} has two samples of one series"
        assert all(not math.isnan(s.value) for s in family.samples)
        if family.type == "histogram":
            check_histogram(family)


def check_histogram(family: Metric) -> None:
    buckets = defaultdict(list)
    counts = {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        if sample.name.endswith("_bucket"):
            buckets[labels].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[labels] = sample.value
    assert set(buckets) == set(counts)
    for labels, series in buckets.items():
        assert series == sorted(series)
        assert [total for _, total in series] == sorted(total for _, total in series)
        assert series[-1] == (math.inf, counts[labels])


def test_requests_are_counted_by_route_and_code(ledger: Ledger) -> None:
    count(ledger, 0, 1, 1, seconds=0.003)
    count(ledger, 1, 2, 1, seconds=0.2)
    count(ledger, 1, 2, 1, code=503)
    count_route(ledger, 1, layout.NO_ROUTE_CELL, code=404, seconds=0.0001)
    found = scrape(make_facts(), ledger)
    users = {"route": "/api/v1/users/*", "service": "users"}
    assert value(found, "gw_requests_total", **users, code="200") == 2
    assert value(found, "gw_requests_total", **users, code="503") == 1
    assert value(found, "gw_requests_total", route="", service="", code="404") == 1
    assert value(found, "gw_request_duration_seconds_bucket", **users, le="0.005") == 2
    assert value(found, "gw_request_duration_seconds_count", **users) == 3
    assert value(found, "gw_request_duration_seconds_sum", **users) == pytest.approx(0.205)


def test_routes_that_differ_in_methods_alone_share_their_series(ledger: Ledger) -> None:
    count_route(ledger, 0, 2, code=200, seconds=0.01)
    count_route(ledger, 0, 3, code=200, seconds=0.01)
    found = scrape(make_facts(), ledger)
    orders = {"route": "shop.example.com/orders/*", "service": "orders"}
    assert value(found, "gw_requests_total", **orders, code="200") == 2
    assert value(found, "gw_request_duration_seconds_count", **orders) == 2


def test_codes_beyond_the_slots_are_called_other(ledger: Ledger) -> None:
    for code in range(400, 400 + layout.CODE_SLOTS + 3):
        count_route(ledger, 0, 1, code=code, seconds=0.001)
    found = scrape(make_facts(), ledger)
    labels = {"route": "/api/v1/users/*", "service": "users"}
    assert value(found, "gw_requests_total", **labels, code="400") == 1
    assert value(found, "gw_requests_total", **labels, code="other") == 4


def test_attempts_checks_and_health_are_told_by_instance(ledger: Ledger) -> None:
    ledger.words[layout.instance_word(0, 3, layout.I_CONNECT_REFUSED)] = 5
    ledger.words[layout.instance_word(1, 3, layout.I_EJECTIONS)] = 2
    ledger.words[layout.instance_word(1, 3, layout.I_IN_FLIGHT)] = 1
    found = scrape(make_facts(), ledger)
    third = {"service": "users", "instance": "10.0.0.3:9001"}
    assert value(found, "gw_upstream_attempts_total", **third, outcome="connect_refused") == 5
    assert value(found, "gw_upstream_attempts_total", **third, outcome="ok") == 0
    assert value(found, "gw_instance_ejections_total", **third) == 2
    assert value(found, "gw_in_flight", **third) == 1
    assert value(found, "gw_instance_healthy", **third) == 0
    assert value(found, "gw_instance_healthy", service="users", instance="10.0.0.1:9001") == 1
    assert value(found, "gw_instance_eligible", service="orders", instance="10.0.0.9:9001") == 0
    assert value(found, "gw_health_checks_total", **third, result="failed") == 7
    assert value(found, "gw_health_checks_total", **third, result="ok") == 40


def test_what_is_gone_has_no_series_any_more(ledger: Ledger) -> None:
    count(ledger, 0, 1, 1)
    facts = replace(make_facts(), services=(), routes=(), workers=(), discovery=())
    body, _ = expose(facts, ledger)
    assert b"users" not in body
    assert b'worker="' not in body
    assert b'source="' not in body


def test_a_dead_workers_requests_stay_counted(ledger: Ledger) -> None:
    count(ledger, 1, 1, 1)
    ledger.retire(1)
    found = scrape(make_facts(), ledger)
    assert value(found, "gw_requests_total", route="/api/v1/users/*", service="users", code="200") == 1
    assert value(found, "gw_upstream_attempts_total", service="users", instance="10.0.0.1:9001", outcome="ok") == 1


def test_workers_discovery_and_propagation(ledger: Ledger) -> None:
    ledger.words[layout.row_word(1, layout.R_CONNECTIONS)] = 12
    ledger.words[layout.row_word(1, layout.R_GENERATION)] = 41
    ledger.words[layout.row_word(0, layout.R_PROPAGATION + 1)] = 3
    ledger.words[layout.row_word(0, layout.R_PROPAGATION_SUM_US)] = 2400
    facts = make_facts()
    found = scrape(facts, ledger)
    assert value(found, "gw_client_connections", worker="1") == 12
    assert value(found, "gw_snapshot_generation", worker="1") == 41
    assert value(found, "gw_worker_restarts_total", worker="1") == 2
    assert value(found, "gw_snapshot_propagation_seconds_count") == 3
    assert value(found, "gw_snapshot_propagation_seconds_sum") == pytest.approx(0.0024)
    assert value(found, "gw_discovery_last_success_timestamp_seconds", source="consul") == facts.started_at + 44.0
    assert value(found, "gw_discovery_stale", source="consul") == 1
    assert value(found, "gw_build_info", version="0.1.0") == 1


def test_a_source_that_never_answered_is_at_zero(ledger: Ledger) -> None:
    facts = make_facts()
    facts = replace(facts, discovery=(replace(facts.discovery[0], last_success=None),))
    assert value(scrape(facts, ledger), "gw_discovery_last_success_timestamp_seconds", source="static") == 0


def test_processes_are_told_apart_and_a_dead_one_is_left_out(ledger: Ledger) -> None:
    facts = make_facts()
    facts = replace(facts, workers=(replace(facts.workers[0], pid=7), replace(facts.workers[1], pid=8)))

    def read(pid: int) -> ProcessFigures | None:
        return None if pid == 8 else ProcessFigures(1.5, 2_000_000, 3_000_000, None if pid == 7 else 9, 1024, 1000.0)

    measured = {
        each.families[0]: each.rows
        for each in metrics.measure(metrics.read_ledger(facts, figures(facts), ledger, NOW), read)
    }
    assert [labels for labels, _ in measured[families.CPU]] == [("supervisor",), ("worker-0",)]
    assert [labels for labels, _ in measured[families.OPEN_FDS]] == [("supervisor",)]


def test_the_exporter_of_traces_is_a_process_too(ledger: Ledger) -> None:
    facts = replace(make_facts(), workers=(), traces=TraceFacts(pid=os.getpid()))
    found = scrape(facts, ledger)
    assert value(found, "process_resident_memory_bytes", process="exporter") > 1_000_000


def test_the_supervisor_is_this_process(ledger: Ledger) -> None:
    pids: list[int] = []

    def read(pid: int) -> ProcessFigures | None:
        pids.append(pid)
        return None

    metrics.measure(metrics.read_ledger(replace(make_facts(), workers=()), (), ledger, NOW), read)
    assert pids == [os.getpid()]
