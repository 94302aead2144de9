"""Rates from two status samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.rates import Window, rates, tally
from gateway.admin.latency import quantile
from gateway.admin.process import Usage
from gateway.admin.status import Status, status
from gateway.shm.ledger import Ledger
from tests.unit.fake_gateway import STARTED, count, make_facts, make_ledger


def sample(ledger: Ledger, at: float, started: float = STARTED, cpu: float = 0.0) -> Status:
    return status(make_facts(started), ledger, usage=lambda _: Usage(0, cpu), now=started + at)


def test_rates_are_what_happened_between_two_samples() -> None:
    ledger = make_ledger()
    count(ledger, 0, 1, 1, seconds=9.0)
    before = tally(sample(ledger, 100.0))
    for _ in range(6):
        count(ledger, 1, 1, 1, seconds=0.004)
    count(ledger, 0, 2, 1, code=503, seconds=0.004)
    now = rates(sample(ledger, 102.0), before)
    assert now.seconds == pytest.approx(2.0)
    assert now.requests == pytest.approx(3.5)
    assert now.errors == pytest.approx(0.5)
    assert now.workers == pytest.approx({0: 0.5, 1: 3.0})
    assert now.instances["users", "10.0.0.1:9001"] == pytest.approx(3.0)
    assert now.latencies["users", "10.0.0.1:9001"] == pytest.approx((0.00375, 0.004975)), "the slow one was before"
    assert now.p99 is not None
    assert 0.0025 < now.p99 <= 0.005  # the slow one was before


def test_without_a_first_sample_it_is_since_the_start() -> None:
    ledger = make_ledger()
    for _ in range(10):
        count(ledger, 0, 1, 1)
    assert rates(sample(ledger, 5.0), None).requests == pytest.approx(2.0)


def test_a_restarted_gateway_is_another_one() -> None:
    busy = make_ledger()
    for _ in range(10):
        count(busy, 0, 1, 1)
    before = tally(sample(busy, 100.0))
    fresh = make_ledger()
    count(fresh, 0, 1, 1)
    after = rates(sample(fresh, 2.0, started=STARTED + 200.0), before)
    assert after.requests == pytest.approx(0.5)
    assert after.seconds == pytest.approx(2.0)


def test_a_replaced_worker_and_an_instance_that_came_back_never_give_negative_rates() -> None:
    ledger = make_ledger()
    count(ledger, 0, 1, 1)
    before = tally(sample(ledger, 10.0))
    ledger.retire(0)
    ledger.forget_instance(1)
    now = rates(sample(ledger, 11.0), before)
    assert now.workers[0] == 0.0
    assert now.instances["users", "10.0.0.1:9001"] == 0.0
    assert now.latencies["users", "10.0.0.1:9001"] == (None, None)


def test_no_time_between_samples_is_no_rate() -> None:
    assert rates(sample(make_ledger(), 0.0), None).requests == 0.0


def test_processor_time_is_that_between_two_samples_and_a_replaced_worker_has_none_yet() -> None:
    ledger = make_ledger()
    before = tally(sample(ledger, 10.0, cpu=5.0))
    assert rates(sample(ledger, 12.0, cpu=6.0), before).cpu == pytest.approx({0: 0.5, 1: 0.5})
    replaced = replace(before, workers={(0, 1): (0, 5.0)})
    assert rates(sample(ledger, 12.0, cpu=1.0), replaced).cpu == {0: 0.0, 1: 0.0}


def test_a_gateway_that_is_older_than_the_commands_tells_no_processor_time() -> None:
    old = sample(make_ledger(), 10.0)
    for worker in old["workers"]:
        del worker["cpu_seconds_total"]  # type: ignore[misc]
    assert rates(old, None).cpu == {0: 0.0, 1: 0.0}


def test_the_share_of_failures_is_that_of_the_attempts_between() -> None:
    ledger = make_ledger()
    count(ledger, 0, 1, 1, code=503)
    before = tally(sample(ledger, 10.0))
    count(ledger, 0, 1, 1, code=503)
    for _ in range(3):
        count(ledger, 0, 2, 1)
    now = rates(sample(ledger, 11.0), before)
    one, two = ("users", "10.0.0.1:9001"), ("users", "10.0.0.2:9001")
    assert (now.failing(one), now.failing(two), now.failing(one, two)) == (1.0, 0.0, 0.25)
    assert now.failing(("users", "10.0.0.3:9001")) is None, "it was asked nothing"


def test_a_window_forgets_what_is_too_long_ago_and_gateways_that_are_gone() -> None:
    window, ledger = Window(), make_ledger()
    for at in range(100, 130):
        count(ledger, 0, 1, 1)
        found = window.add(sample(ledger, float(at)))
    assert [found.seconds, found.requests] == pytest.approx([10.0, 1.0])
    assert window.add(sample(ledger, 200.0)).seconds == pytest.approx(71.0), "rare samples: the last one counts"
    assert window.add(sample(ledger, 3.0, started=STARTED + 500.0)).seconds == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, [0, 0, 0], None),
        (0.5, [10, 0, 0], 0.5),
        (0.5, [5, 5, 0], 1.0),
        (0.99, [0, 100, 0], 1.99),
        (0.99, [0, 0, 7], 2.0),  # beyond the last bound: at least that
    ],
)
def test_quantiles_are_interpolated(share: float, counts: list[int], expected: float | None) -> None:
    found = quantile(share, [1.0, 2.0], counts)
    assert found == (None if expected is None else pytest.approx(expected))
