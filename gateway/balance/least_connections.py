"""Least connections: the instance with the fewest requests in flight for its weight, over all workers.

The cost of an instance is (in flight + 1) / weight, and the lowest wins. Ties rotate: the scan begins
at a moving start and only a lower cost replaces what it found first. An instance at the start that
has nothing in flight is taken at once: with equal weights nothing is cheaper, with unequal weights it
lets light instances have their share of a service that is mostly idle, where the lowest cost alone
would give everything to the heaviest.

Services with more instances than a scan can compare in about a microsecond are sampled: the scan
covers a window from the start, not the ring (see `rotation`). What that costs, as the difference
between the most and the least loaded instance (simulated: Poisson arrivals, exponential service):

    instances   in flight each   window of 4     8      16     all
           16                2           1.9    1.6    1.3    1.3
          200                2           3.4    2.8    2.3    1.7
         1000                8           6.8    6.1    5.0    1.1

When nothing in the window can be used the whole ring is scanned: None always means that no instance
could take the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from gateway.balance.instance import LiveInstance
from gateway.balance.rotation import Rotation

SCAN_ALONE: Final = 16  # instances compared by the only worker, with equal weights
SCAN_SHARED: Final = 8  # instances compared otherwise: a word per worker and a product each
_NO_LIMIT: Final = 1 << 64


def least_connections(
    instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int
) -> LeastConnections | LeastConnectionsAlone:
    """The cheaper picker where it can be used: one worker, equal weights."""
    is_alone = len(instances[0].in_flight_words) == 1
    if is_alone and len({instance.weight for instance in instances}) == 1:
        return LeastConnectionsAlone(instances, words, max_in_flight, worker)
    return LeastConnections(instances, words, max_in_flight, worker)


class LeastConnections(Rotation):
    """For any weights and any number of workers."""

    __slots__ = ("_floor", "_limit", "_ring", "_window")
    needs_key = False
    observes = False

    def __init__(self, instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int) -> None:
        super().__init__([instance.weight for instance in instances], worker)
        self._limit = max_in_flight
        self._window = min(self._size, SCAN_SHARED)
        entries = [(instance, instance.in_flight_view(words), 1.0 / instance.weight) for instance in instances]
        self._ring = entries + entries  # a window never has to wrap
        self._floor = min(inverse for _, _, inverse in entries)  # no cost is lower

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        cumulated = self._cumulated
        if cumulated is None:
            self._at = start = (self._at + self._stride) % self._size
        else:
            start = self._weighted_start(cumulated)
            if not tried and not sum(self._ring[start][1]):
                return self._ring[start][0]
        found = self._least(start, self._window, tried)
        if found is None and self._window < self._size:
            found = self._least(start, self._size, tried)
        return found

    def _least(self, start: int, count: int, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        limit = self._limit
        found: LiveInstance | None = None
        least = inf
        for instance, in_flight, inverse in self._ring[start : start + count]:
            load = sum(in_flight)
            cost = (load + 1) * inverse
            if cost < least:
                if (limit and load >= limit) or (tried and instance in tried):
                    continue
                found = instance
                least = cost
                if cost <= self._floor:
                    break
        return found

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Latencies are not used."""


class LeastConnectionsAlone(Rotation):
    """For the only worker and equal weights: compares its own words as they are, at half the cost."""

    __slots__ = ("_by_word", "_most", "_ring", "_window", "_words")
    needs_key = False
    observes = False

    def __init__(self, instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int) -> None:
        super().__init__([1.0] * len(instances), worker)
        self._words = words
        self._most = max_in_flight or _NO_LIMIT
        self._window = min(self._size, SCAN_ALONE)
        self._by_word = {instance.in_flight_own: instance for instance in instances}
        self._ring = list(self._by_word) * 2

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        self._at = start = (self._at + self._stride) % self._size
        found = self._least(start, self._window, tried)
        if found is None and self._window < self._size:
            found = self._least(start, self._size, tried)
        return found

    def _least(self, start: int, count: int, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        words = self._words
        found: LiveInstance | None = None
        least = self._most  # what is at the limit is never below it
        for word in self._ring[start : start + count]:
            load = words[word]
            if load < least:
                instance = self._by_word[word]
                if tried and instance in tried:
                    continue
                found = instance
                least = load
                if not load:
                    break
        return found

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Latencies are not used."""
