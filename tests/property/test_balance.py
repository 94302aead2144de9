"""Laws of pickers."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.balance.least_connections import SCAN_ALONE
from gateway.balance.picker import BALANCES, LiveInstance, make_picker
from tests.unit.test_balance_picker import ledger, service

WORDS = {rows: ledger(rows) for rows in (1, 3)}
WEIGHTS = st.lists(st.one_of(st.integers(1, 20), st.floats(0.1, 20)), min_size=1, max_size=40)


def cleared(rows: int, instances: list[LiveInstance]) -> memoryview:
    words = WORDS[rows]
    for instance in instances:
        for word in instance.in_flight_words:
            words[word] = 0
    return words


@pytest.mark.parametrize("balance", BALANCES)
@settings(max_examples=60)
@given(st.data())
def test_never_one_that_was_tried_or_is_full_and_none_only_if_all_are(balance: str, data: st.DataObject) -> None:
    rows = data.draw(st.sampled_from([1, 3]))
    instances = service(data.draw(WEIGHTS), row=rows - 1, rows=rows)
    words = cleared(rows, instances)
    limit = data.draw(st.integers(0, 4))
    for instance in instances:
        for word in instance.in_flight_words:
            words[word] = data.draw(st.integers(0, 2))
    picker = make_picker(balance, instances, words, limit, data.draw(st.integers(0, 40)))
    tried: list[LiveInstance] = []
    while True:
        usable = [each for each in instances if each not in tried and not (limit and each.in_flight(words) >= limit)]
        picked = picker.pick(float(len(tried)), b"key", tried)
        if picked is None:
            assert usable == []
            break
        assert picked in usable
        words[picked.in_flight_own] += 1
        if data.draw(st.booleans()):
            picker.observe(picked, data.draw(st.floats(0.0001, 10)), float(len(tried)))
        tried.append(picked)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(0, 40))
def test_weighted_shares_are_exact_over_every_cycle(weights: list[int], worker: int) -> None:
    instances = service(weights)
    picker = make_picker("weighted", instances, WORDS[1], 0, worker)
    for _ in range(3):
        picked = Counter(picker.pick(0.0, b"", ()) for _ in range(sum(weights)))
        assert [picked[instance] for instance in instances] == weights


@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=10))
def test_weighted_shares_stay_near_fractional_weights(weights: list[float]) -> None:
    instances = service(weights)
    picker = make_picker("weighted", instances, WORDS[1], 0, 0)
    picked = Counter(picker.pick(0.0, b"", ()) for _ in range(500))
    for instance in instances:
        assert abs(picked[instance] - 500 * instance.weight / sum(weights)) <= len(weights) + 1


@given(st.integers(1, 50), st.integers(0, 40), st.sampled_from(["least_connections", "round_robin"]))
def test_an_idle_service_of_equals_is_shared_exactly(size: int, worker: int, balance: str) -> None:
    instances = service([1] * size)
    picker = make_picker(balance, instances, cleared(1, instances), 0, worker)
    assert Counter(picker.pick(0.0, b"", ()) for _ in range(3 * size)) == dict.fromkeys(instances, 3)


@given(st.integers(1, SCAN_ALONE), st.integers(0, 100), st.integers(0, 40))
def test_least_connections_of_one_worker_never_differ_by_more_than_one(size: int, count: int, worker: int) -> None:
    instances = service([1] * size)
    words = cleared(1, instances)
    picker = make_picker("least_connections", instances, words, 0, worker)
    for _ in range(count):
        instance = picker.pick(0.0, b"", ())
        assert instance is not None
        words[instance.in_flight_own] += 1
        loads = [each.in_flight(words) for each in instances]
        assert max(loads) - min(loads) <= 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.sampled_from([1, 3]), st.integers(0, 40))
def test_least_connections_of_a_small_service_is_exact(loads: list[int], rows: int, worker: int) -> None:
    instances = service([1] * len(loads), rows=rows)
    words = cleared(rows, instances)
    for instance, load in zip(instances, loads, strict=True):
        words[instance.in_flight_words[-1]] = load
    instance_picked = make_picker("least_connections", instances, words, 0, worker).pick(0.0, b"", ())
    assert instance_picked is not None
    assert instance_picked.in_flight(words) == min(loads)


@settings(max_examples=25)
@given(st.lists(st.sampled_from([0.1, 0.5, 1, 2, 3, 10]), min_size=2, max_size=12), st.data())
def test_hash_moves_only_the_keys_of_a_lost_instance(weights: list[float], data: st.DataObject) -> None:
    instances = service(weights)
    lost = data.draw(st.sampled_from(instances))
    before = make_picker("hash", instances, WORDS[1], 0, 0)
    after = make_picker("hash", [each for each in instances if each is not lost], WORDS[1], 0, 0)
    for key in (b"%d" % number for number in range(300)):
        owner = before.pick(0.0, key, ())
        if owner is not lost:
            assert after.pick(0.0, key, ()) is owner
        else:
            assert after.pick(0.0, key, ()) is before.pick(0.0, key, (lost,))


@given(st.integers(1, 9), st.lists(st.integers(1, 9), min_size=2, max_size=6))
def test_least_connections_fills_in_proportion_to_weight(rounds: int, weights: list[int]) -> None:
    instances = service(weights)
    words = cleared(1, instances)
    picker = make_picker("least_connections", instances, words, 0, 0)
    total = 10 * rounds * sum(weights)
    for _ in range(total):
        instance = picker.pick(0.0, b"", ())
        assert instance is not None
        words[instance.in_flight_own] += 1
    for each in instances:
        share = Fraction(total * int(each.weight), sum(weights))
        assert abs(each.in_flight(words) - share) <= len(weights)
