"""The last minutes: what is counted between two looks, and the rings it goes into."""

from __future__ import annotations

import math

import pytest

from gateway.admin.series import LENGTH, Series
from gateway.shm import layout
from gateway.shm.deltas import Counted, LedgerDeltas
from gateway.shm.layout import DURATION_BOUNDS
from gateway.shm.ledger import Ledger
from tests.unit.fake_gateway import count, make_ledger

BUCKETS = len(DURATION_BOUNDS) + 1


def looker(ledger: Ledger, cells: int = 4, routes: int = 3) -> LedgerDeltas:
    return LedgerDeltas(ledger, lambda: cells, lambda: routes)


def counted(requests: int = 0, errors: int = 0, cells: dict[str, list[int]] | None = None, fast: int = 0) -> Counted:
    found = {"attempts": [], "failures": [], "answered": [], "latency_us": [], **(cells or {})}
    return Counted(requests, errors, (fast, *[0] * (BUCKETS - 1)), **found)


def test_only_what_is_new_is_counted_over_all_workers() -> None:
    ledger = make_ledger()
    look = looker(ledger)
    count(ledger, 0, 1, 1)
    assert look.take().requests == 1
    quiet = look.take()
    assert (quiet.requests, quiet.errors, sum(quiet.durations), quiet.attempts) == (0, 0, 0, [])
    count(ledger, 0, 1, 1, seconds=0.004)
    count(ledger, 1, 1, 1, seconds=0.006)
    count(ledger, 1, 2, 2, code=503)
    busy = look.take()
    assert (busy.requests, busy.errors, sum(busy.durations)) == (3, 1, 3)
    assert (busy.attempts, busy.failures, busy.answered) == ([0, 2, 1, 0], [0, 0, 1, 0], [0, 2, 1, 0])
    assert busy.latency_us[1] == 10_000


def test_a_worker_that_died_takes_nothing_back() -> None:
    ledger = make_ledger()
    look = looker(ledger)
    pid = layout.row_word(0, layout.R_PID)
    ledger.words[pid] = 7
    for _ in range(5):
        count(ledger, 0, 1, 1)
    look.take()
    ledger.retire(0)
    assert look.take().requests == 0
    ledger.words[pid] = 8
    count(ledger, 0, 1, 1)
    found = look.take()
    assert (found.requests, found.attempts[1], sum(found.durations)) == (1, 1, 1)


def test_a_look_that_sees_more_cells_than_the_last() -> None:
    ledger, cells = make_ledger(), [2]
    look = LedgerDeltas(ledger, lambda: cells[0], lambda: 2)
    count(ledger, 0, 1, 1)
    look.take()
    cells[0] = 4
    count(ledger, 0, 3, 1)
    assert look.take().attempts == [0, 0, 0, 1]


def test_rates_are_per_second_and_what_cannot_be_said_is_null() -> None:
    series = Series()
    series.know({"users": [1, 2], "orders": [0]})
    cells = {"attempts": [1, 4, 6], "failures": [0, 0, 2], "answered": [0, 4, 4], "latency_us": [0, 8000, 0]}
    series.add(1_790_000_000.0, 2.0, counted(10, 2, cells, fast=10), in_flight=3, connections=9)
    series.add(1_790_000_001.0, 1.0, counted(), in_flight=0, connections=9)
    body = series.body(["users", "nobody"])
    assert (body["interval_seconds"], body["ends_at"]) == (1.0, "2026-09-21T14:13:21.000Z")
    assert body["gateway"]["requests_per_second"] == [5.0, 0.0]
    assert body["gateway"]["errors_per_second"] == [1.0, 0.0]
    assert body["gateway"]["p50_seconds"][1] is None
    assert body["gateway"]["p50_seconds"][0] == pytest.approx(DURATION_BOUNDS[0] / 2)
    (users,) = body["services"]
    assert (users["name"], users["requests_per_second"], users["failures_per_second"]) == ("users", [5.0, 0], [1.0, 0])
    assert users["latency_seconds"] == [pytest.approx(0.001), None]
    assert [each["name"] for each in series.body(["*"])["services"]] == ["users", "orders"]
    per_second, latency = series.instance(1)
    assert (per_second, latency) == pytest.approx((4 / 3, 0.002))
    assert series.instance(7) == (0.0, None)


def test_the_past_is_bounded_and_follows_the_service() -> None:
    series = Series()
    series.know({"users": [0]})
    for second in range(LENGTH + 50):
        series.add(second, 1.0, counted(second), in_flight=0, connections=0)
    requests = series.gateway("requests_per_second")
    assert (len(requests), requests[0], requests[-1]) == (LENGTH, 50.0, LENGTH + 49.0)
    assert series.gateway("requests_per_second", 2) == [LENGTH + 48.0, LENGTH + 49.0]
    series.know({"orders": [0]})
    assert series.service("users", "requests_per_second") == []
    assert series.service("orders", "requests_per_second") == [0.0] * LENGTH
    assert not any(value is not None and math.isnan(value) for value in series.service("orders", "latency_seconds"))
