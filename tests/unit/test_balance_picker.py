"""What each picker is for, in small cases; the laws are in tests/property/test_balance.py."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from gateway.balance.latency import TAU
from gateway.balance.picker import BALANCES, LiveInstance, Picker, make_picker
from gateway.shm.layout import ROW_WORDS, instance_word


def ledger(rows: int = 1) -> memoryview:
    return memoryview(bytearray(8 * (8 + rows * ROW_WORDS))).cast("Q")


def service(weights: Sequence[float], *, row: int = 0, rows: int = 1) -> list[LiveInstance]:
    instances = []
    for cell, weight in enumerate(weights):
        instance = LiveInstance("users", f"10.0.{cell // 256}.{cell % 256}", 80, cell, row, rows)
        instance.weight = weight
        instances.append(instance)
    return instances


def ports(picker: Picker, words: memoryview, count: int, *, now: float = 0.0) -> str:
    """Cells picked, one after the other, each attempt staying in flight."""
    picked = ""
    for _ in range(count):
        instance = picker.pick(now, b"", ())
        assert instance is not None
        words[instance.in_flight_own] += 1
        picked += str(instance.cell)
    return picked


def test_an_instance_knows_its_words() -> None:
    instance = LiveInstance("users", "::1", 80, 5, 1, 3)
    words = ledger(3)
    for row, count in enumerate((1, 20, 300)):
        words[instance_word(row, 5, 0)] = count
    assert instance.address == "[::1]:80"
    assert words[instance.in_flight_own] == words[instance.base] == 20
    assert instance.in_flight(words) == sum(instance.in_flight_view(words)) == 321
    assert repr(instance) == "<LiveInstance users [::1]:80>"


def test_an_unknown_balance_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="'fastest' does not exist: use one of least_connections, weighted"):
        make_picker("fastest", service([1]), ledger(), 0, 0)


@pytest.mark.parametrize("balance", BALANCES)
def test_without_instances_nobody_is_picked(balance: str) -> None:
    picker = make_picker(balance, [], ledger(), 0, 0)
    assert picker.pick(0.0, b"key", ()) is None
    assert not picker.needs_key


@pytest.mark.parametrize("balance", BALANCES)
def test_what_a_picker_wants_from_its_caller(balance: str) -> None:
    picker = make_picker(balance, service([1]), ledger(), 0, 0)
    assert picker.needs_key is (balance == "hash")
    assert picker.observes is (balance == "least_latency")


@pytest.mark.parametrize("rows", [1, 4])
def test_least_connections_sees_the_requests_of_all_workers(rows: int) -> None:
    words = ledger(rows)
    instances = service([1, 1, 1], row=rows - 1, rows=rows)
    for cell, count in enumerate((2, 0, 5)):
        words[instance_word(0, cell, 0)] = count
    assert Counter(ports(make_picker("least_connections", instances, words, 0, 0), words, 8)) == {"0": 3, "1": 5}


@pytest.mark.parametrize("rows", [1, 2])
def test_least_connections_shares_an_idle_service_by_weight(rows: int) -> None:
    words = ledger(rows)
    instances = service([3, 1], rows=rows)
    picker = make_picker("least_connections", instances, words, 0, 0)
    picked = Counter(picker.pick(0.0, b"", ()) for _ in range(1000))  # every request ends before the next begins
    assert picked[instances[0]] == pytest.approx(750, abs=3)


@pytest.mark.parametrize("rows", [1, 2])
def test_least_connections_fills_by_weight_under_load(rows: int) -> None:
    words = ledger(rows)
    picker = make_picker("least_connections", service([3, 1], rows=rows), words, 0, 0)
    assert Counter(ports(picker, words, 400)) == {"0": 300, "1": 100}


@pytest.mark.parametrize("rows", [1, 2])
def test_least_connections_finds_the_one_usable_instance_among_many(rows: int) -> None:
    words = ledger(rows)
    instances = service([1] * 200, rows=rows)
    for instance in instances:
        words[instance.in_flight_own] = 9
    words[instances[77].in_flight_own] = 8
    picker = make_picker("least_connections", instances, words, 9, 0)
    assert [picker.pick(0.0, b"", ()) for _ in range(20)] == [instances[77]] * 20
    assert picker.pick(0.0, b"", (instances[77],)) is None


def test_weighted_turns_are_spread_evenly() -> None:
    words = ledger()
    assert ports(make_picker("weighted", service([5, 1, 1]), words, 0, 0), words, 14) == "00012000001200"


def test_weighted_does_not_let_an_instance_catch_up_after_its_limit() -> None:
    words = ledger()
    instances = service([1, 1])
    picker = make_picker("weighted", instances, words, 1000, 0)
    words[instances[0].in_flight_own] = 1000
    for _ in range(50):
        assert picker.pick(0.0, b"", ()) is instances[1]
    words[instances[0].in_flight_own] = 0
    assert sorted(ports(picker, words, 10)) == list("0000011111")


def test_round_robin_takes_turns_and_passes_over() -> None:
    words = ledger()
    instances = service([1, 9, 1])
    picker = make_picker("round_robin", instances, words, 0, 0)
    assert ports(picker, words, 6) == "012012"
    assert picker.pick(0.0, b"", (instances[0],)) is instances[1]
    assert picker.pick(0.0, b"", ()) is instances[2]


def test_workers_begin_at_different_instances() -> None:
    for balance in ("least_connections", "weighted", "round_robin"):
        words = ledger()
        firsts = {make_picker(balance, service([1] * 8), words, 0, worker).pick(0.0, b"", ()) for worker in range(4)}
        assert len({each.cell for each in firsts if each is not None}) == 4, balance


@pytest.fixture
def _same_dice() -> Iterator[None]:
    """As often as it runs. Tests that come after it throw their own: two processes must not draw the same ports."""
    before = random.getstate()
    random.seed(7)
    yield
    random.setstate(before)


@pytest.mark.usefixtures("_same_dice")
def test_random_follows_weights() -> None:
    instances = service([1, 2, 7])
    picker = make_picker("random", instances, ledger(), 0, 0)
    picked = Counter(picker.pick(0.0, b"", ()) for _ in range(20_000))
    assert [picked[instance] / 20_000 for instance in instances] == pytest.approx([0.1, 0.2, 0.7], abs=0.015)
    without = Counter(picker.pick(0.0, b"", (instances[2],)) for _ in range(6_000))
    assert [without[instance] / 6_000 for instance in instances] == pytest.approx([1 / 3, 2 / 3, 0], abs=0.03)


def test_least_latency_prefers_the_faster_and_weighs_what_is_in_flight() -> None:
    words = ledger()
    instances = service([1, 1])
    picker = make_picker("least_latency", instances, words, 0, 0)
    picker.observe(instances[0], 0.010, 0.0)
    picker.observe(instances[1], 0.035, 0.0)
    assert sorted(ports(picker, words, 4)) == list("0001")


def test_least_latency_takes_an_unknown_instance_once() -> None:
    words = ledger()
    instances = service([1, 1])
    picker = make_picker("least_latency", instances, words, 0, 0)
    picker.observe(instances[0], 0.010, 0.0)
    assert ports(picker, words, 5) == "10000"


def test_least_latency_follows_a_peak_at_once_and_forgets_it_slowly() -> None:
    instances = service([1, 1])
    picker = make_picker("least_latency", instances, ledger(), 0, 0)
    picker.observe(instances[0], 0.010, 0.0)
    picker.observe(instances[0], 1.0, 1.0)
    assert instances[0].ewma == 1.0
    picker.observe(instances[0], 0.010, 1.0 + TAU)
    assert instances[0].ewma == pytest.approx(0.010 + 0.990 / 2.71828, rel=1e-3)
    for now, chosen in ((1.0 + TAU, instances[1]), (1.0 + 6 * TAU, instances[0])):
        picker.observe(instances[1], 0.050, now)
        assert picker.pick(now, b"", ()) is chosen


def test_hash_keeps_a_key_and_goes_on_to_one_other_instance() -> None:
    words = ledger()
    instances = service([1] * 5)
    pickers = [make_picker("hash", instances, words, 0, worker) for worker in range(3)]
    first = pickers[0].pick(0.0, b"10.1.2.3", ())
    assert first is not None
    assert {picker.pick(0.0, b"10.1.2.3", ()) for picker in pickers} == {first}
    second = pickers[0].pick(0.0, b"10.1.2.3", (first,))
    rest = [instance for instance in instances if instance is not first]
    assert second is make_picker("hash", rest, words, 0, 0).pick(0.0, b"10.1.2.3", ())


def test_hash_spreads_keys_by_weight() -> None:
    instances = service([1, 1, 2])
    picker = make_picker("hash", instances, ledger(), 0, 0)
    picked = Counter(picker.pick(0.0, f"10.0.{n // 256}.{n % 256}".encode(), ()) for n in range(20_000))
    assert [picked[instance] / 20_000 for instance in instances] == pytest.approx([0.25, 0.25, 0.5], abs=0.06)
