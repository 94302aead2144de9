"""Pickers that look at nothing but their own position, or chance."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import random

from gateway.balance.instance import LiveInstance
from gateway.balance.rotation import worker_phase


class Nobody:
    """For a service without an instance that may take traffic."""

    __slots__ = ()
    needs_key = False
    observes = False

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        return None

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Attempts that were under way when the last instance went: of no use."""


class RoundRobin:
    """Each instance in turn, whatever its weight."""

    __slots__ = ("_at", "_limit", "_ring", "_size")
    needs_key = False
    observes = False

    def __init__(self, instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int) -> None:
        entries = [(instance, instance.in_flight_view(words)) for instance in instances]
        self._ring = entries + entries
        self._size = len(entries)
        self._limit = max_in_flight
        self._at = int(worker_phase(worker) * self._size) - 1

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        self._at = at = (self._at + 1) % self._size
        if not tried and not self._limit:
            return self._ring[at][0]
        for passed in range(self._size):
            instance, in_flight = self._ring[at + passed]
            if instance not in tried and not (self._limit and sum(in_flight) >= self._limit):
                self._at = (at + passed) % self._size
                return instance
        return None

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Latencies are not used."""


class Random:
    """By chance, in proportion to weight."""

    __slots__ = ("_cumulated", "_entries", "_limit")
    needs_key = False
    observes = False

    def __init__(self, instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int) -> None:
        self._entries = [(instance, instance.in_flight_view(words)) for instance in instances]
        self._cumulated = list(accumulate(instance.weight for instance in instances))
        self._limit = max_in_flight

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        entries = self._entries
        cumulated = self._cumulated
        # The last bound is not searched: rounding may never lead past the last instance.
        at = bisect_right(cumulated, random() * cumulated[-1], 0, len(cumulated) - 1)  # noqa: S311  not a secret
        instance, in_flight = entries[at]
        if (not tried or instance not in tried) and not (self._limit and sum(in_flight) >= self._limit):
            return instance
        return self._among_usable(tried)

    def _among_usable(self, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        limit = self._limit
        usable = [each for each, load in self._entries if each not in tried and not (limit and sum(load) >= limit)]
        if not usable:
            return None
        cumulated = list(accumulate(instance.weight for instance in usable))
        return usable[bisect_right(cumulated, random() * cumulated[-1], 0, len(usable) - 1)]  # noqa: S311

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Latencies are not used."""
