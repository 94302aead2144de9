"""What a worker counts of its instances' answers reaches the ledger whole, however batches and durations fall."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.balance.instance import LiveInstance
from gateway.proxy.counts import Counts
from gateway.shm.code_slots import CodeSlots
from gateway.shm.layout import DURATION_BOUNDS, I_LATENCY, I_LATENCY_US, I_OK, INSTANCE_WORDS
from gateway.shm.ledger import Ledger
from tests.unit.fake_gateway import make_ledger

CELLS = (3, 4)
SECONDS = st.one_of(st.sampled_from((0.0, *DURATION_BOUNDS)), st.floats(0.0, 100.0))


def counting(ledger: Ledger) -> tuple[Counts, list[LiveInstance]]:
    counts = Counts(ledger.words, 1, CodeSlots(ledger.words, 1))
    return counts, [LiveInstance("users", "10.0.0.1", 9000 + cell, cell, 1, 2) for cell in CELLS]


def latencies(ledger: Ledger, cell: int) -> list[int]:
    return list(ledger.instance_totals(cell)[I_LATENCY:])


@given(st.lists(st.tuples(st.sampled_from((0, 1)), SECONDS, st.booleans(), st.booleans()), max_size=60))
def test_every_response_is_in_one_bucket(responses: list[tuple[int, float, bool, bool]]) -> None:
    ledger = make_ledger()
    counts, instances = counting(ledger)
    expected = {cell: [0] * (len(DURATION_BOUNDS) + 1) for cell in CELLS}
    us = dict.fromkeys(CELLS, 0)
    for which, seconds, ok, is_end_of_batch in responses:
        counts.response(instances[which], seconds, ok=ok)
        expected[CELLS[which]][bisect_left(DURATION_BOUNDS, seconds)] += 1
        us[CELLS[which]] += int(seconds * 1e6)
        if is_end_of_batch:
            counts.write()
    counts.write()
    for cell in CELLS:
        assert latencies(ledger, cell) == expected[cell]
        assert ledger.instance_totals(cell)[I_LATENCY_US] == us[cell]


def test_nothing_is_written_twice() -> None:
    ledger = make_ledger()
    counts, [instance, _] = counting(ledger)
    counts.response(instance, 0.003, ok=True)
    for _ in range(3):
        counts.write()
    assert sum(latencies(ledger, CELLS[0])) == ledger.instance_totals(CELLS[0])[I_OK] == 1


@pytest.mark.parametrize("bound", DURATION_BOUNDS)
def test_a_bound_belongs_to_the_bucket_below_it(bound: float) -> None:
    ledger = make_ledger()
    counts, [instance, _] = counting(ledger)
    counts.response(instance, bound, ok=True)
    counts.response(instance, bound + 1e-7, ok=True)
    counts.write()
    at = DURATION_BOUNDS.index(bound)
    assert latencies(ledger, CELLS[0])[at : at + 2] == [1, 1]
    assert I_LATENCY + at + 1 < INSTANCE_WORDS


def test_the_histogram_outlives_its_worker_and_not_its_instance() -> None:
    ledger = make_ledger()
    counts, [instance, _] = counting(ledger)
    counts.response(instance, 0.003, ok=True)
    counts.write()
    ledger.retire(1)
    assert sum(latencies(ledger, CELLS[0])) == 1
    ledger.forget_instance(CELLS[0])
    assert sum(latencies(ledger, CELLS[0])) == 0
