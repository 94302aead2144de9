"""The limit of requests in flight, when workers look at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from gateway.balance.instance import LiveInstance
from gateway.balance.picker import Picker
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.service import LiveService
from gateway.shm.layout import I_IN_FLIGHT, instance_word
from tests.proxy_harness import service
from tests.unit.fake_gateway import make_ledger

LIMIT = 2


class Raced:
    """A picker after whose look something happens."""

    needs_key = False
    observes = False

    def __init__(self, picker: Picker, meanwhile: Callable[[], None]) -> None:
        self.picker = picker
        self.meanwhile = meanwhile
        self.looks = 0

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        self.looks += 1
        found = self.picker.pick(now, key, tried)
        self.meanwhile()
        return found

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Latencies are not used."""


def make() -> tuple[LiveService, memoryview]:
    """Worker 0 of two, one instance."""
    ledger = make_ledger(2)
    record = service(1, max_in_flight=LIMIT, balance="least_connections")
    return LiveService(record, ledger.words, 0, 2, Deadlines(), lambda *_: None, 0.0), ledger.words


def in_flight(words: memoryview) -> list[int]:
    return [words[instance_word(row, 1, I_IN_FLIGHT)] for row in (0, 1)]


def test_a_claim_counts_the_attempt_up_to_the_limit() -> None:
    claimed, words = make()
    assert [claimed.choose(None, 0.0, b"", ()) is not None for _ in range(3)] == [True, True, False]
    assert in_flight(words) == [2, 0]


@pytest.mark.parametrize(("stays", "expected"), [(True, [0, 2]), (False, [1, 1])])
def test_who_finds_too_many_after_counting_takes_it_back_and_looks_again(stays: bool, expected: list[int]) -> None:
    """Another worker takes the last place between look and count; it keeps it, or takes it back as well."""
    claimed, words = make()
    word = instance_word(1, 1, I_IN_FLIGHT)
    words[word] = LIMIT - 1

    def meanwhile() -> None:
        words[word] = LIMIT if stays or raced.looks == 1 else LIMIT - 1

    raced = Raced(claimed.picker, meanwhile)
    claimed.picker = raced
    found = claimed.choose(None, 0.0, b"", ())
    assert (found is None) is stays
    assert in_flight(words) == expected


def test_workers_that_come_and_go_count_from_then_on() -> None:
    live, words = make()
    live.use_rows(1)
    words[instance_word(1, 1, I_IN_FLIGHT)] = LIMIT  # of a worker that is not looked at
    assert live.choose(None, 0.0, b"", ()) is not None
    live.use_rows(2)
    assert live.choose(None, 0.0, b"", ()) is None
