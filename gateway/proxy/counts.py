"""What is counted per request, kept here and written to the ledger once per batch of events.

Theory: a ledger word costs a read and a write through a memoryview, several hundred instructions; a request
would touch seven of them. Requests of one batch mostly count the same things, so they are added up in plain
attributes first. In-flight words are not kept back: other workers balance by them.
"""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from typing import Final

from gateway.balance.instance import LiveInstance
from gateway.shm.code_slots import CodeSlots
from gateway.shm.layout import (
    DURATION_BOUNDS,
    I_ATTEMPTS,
    I_LATENCY,
    I_LATENCY_US,
    I_OK,
    RT_DURATION,
    RT_DURATION_SUM_US,
    route_word,
)

_BOUNDS: Final[list[float]] = [-1.0, *DURATION_BOUNDS, inf]  # bucket n is above _BOUNDS[n], up to _BOUNDS[n + 1]


class RouteCounts:
    """Requests of one route that the ledger does not know of yet: runs of one status, buckets of durations."""

    __slots__ = (
        "_above",
        "_at",
        "_buckets",
        "_cell",
        "_code_word",
        "_codes",
        "_row",
        "_status",
        "_up_to",
        "new",
        "sum_us",
    )

    def __init__(self, codes: CodeSlots, row: int, cell: int) -> None:
        self._codes = codes
        self._row = row
        self._cell = cell
        self._status = 0
        self._code_word = 0
        self._buckets = [0] * (len(DURATION_BOUNDS) + 1)
        self._at = 0  # the bucket used last, and its bounds in seconds
        self._above = inf
        self._up_to = inf
        self.new = 0  # requests that ended with `_status`
        self.sum_us = 0

    def add(self, words: memoryview, status: int, seconds: float) -> None:
        """One request has ended."""
        if status != self._status:
            self._write_status(words)
            self._status = status
            self._code_word = self._codes.index(self._cell, status)
        self.new += 1
        if not self._above < seconds <= self._up_to:
            self._at = at = bisect_left(DURATION_BOUNDS, seconds)
            self._above = _BOUNDS[at]
            self._up_to = _BOUNDS[at + 1]
        self._buckets[self._at] += 1
        self.sum_us += int(seconds * 1e6)

    def write(self, words: memoryview) -> None:
        """Add what is new to the ledger."""
        self._write_status(words)
        start = route_word(self._row, self._cell, RT_DURATION)
        buckets = self._buckets
        for at in range(len(buckets)):
            if buckets[at]:
                words[start + at] += buckets[at]
                buckets[at] = 0
        words[route_word(self._row, self._cell, RT_DURATION_SUM_US)] += self.sum_us
        self.sum_us = 0

    def _write_status(self, words: memoryview) -> None:
        if self.new:
            words[self._code_word] += self.new
            self.new = 0


class Counts:
    """All of one worker's."""

    __slots__ = ("_codes", "_instances", "_known", "_routes", "_row", "_words")

    def __init__(self, words: memoryview, row: int, codes: CodeSlots) -> None:
        self._words = words
        self._row = row
        self._codes = codes
        self._known: dict[int, RouteCounts] = {}  # by route cell
        self._routes: list[RouteCounts] = []  # with something new
        self._instances: list[LiveInstance] = []  # likewise

    def request(self, cell: int, status: int, seconds: float) -> None:
        """A request of the route with this cell has ended."""
        counts = self._known.get(cell)
        if counts is None:
            counts = self._known[cell] = RouteCounts(self._codes, self._row, cell)
        if not counts.new:
            self._routes.append(counts)
        counts.add(self._words, status, seconds)

    def attempt(self, instance: LiveInstance) -> None:
        """An attempt begins."""
        if not instance.has_news:
            instance.has_news = True
            self._instances.append(instance)
        instance.new_attempts += 1

    def response(self, instance: LiveInstance, seconds: float, *, ok: bool) -> None:
        """A response came whole, its head after so many seconds."""
        if not instance.has_news:
            instance.has_news = True
            self._instances.append(instance)
        instance.new_us += int(seconds * 1e6)
        if not instance.latency_above < seconds <= instance.latency_up_to:
            _change_bucket(instance, seconds)
        instance.new_latencies[instance.latency_bucket] += 1
        if ok:
            instance.new_ok += 1

    def write(self) -> None:
        """Bring the ledger up to date."""
        words = self._words
        if self._routes:
            for counts in self._routes:
                counts.write(words)
            self._routes.clear()
        if self._instances:
            for instance in self._instances:
                instance.has_news = False
                base = instance.base
                if instance.new_attempts:
                    words[base + I_ATTEMPTS] += instance.new_attempts
                    instance.new_attempts = 0
                if instance.new_ok:
                    words[base + I_OK] += instance.new_ok
                    instance.new_ok = 0
                words[base + I_LATENCY_US] += instance.new_us
                instance.new_us = 0
                latencies = instance.new_latencies
                for at in range(instance.latency_lowest, instance.latency_highest + 1):
                    if latencies[at]:
                        words[base + I_LATENCY + at] += latencies[at]
                        latencies[at] = 0
                instance.latency_lowest = instance.latency_highest = instance.latency_bucket
            self._instances.clear()


def _change_bucket(instance: LiveInstance, seconds: float) -> None:
    """The instance's bucket is not that of its last response any more."""
    at = instance.latency_bucket
    while seconds <= _BOUNDS[at]:  # mostly to a neighbour
        at -= 1
    while seconds > _BOUNDS[at + 1]:
        at += 1
    instance.latency_bucket = at
    instance.latency_above = _BOUNDS[at]
    instance.latency_up_to = _BOUNDS[at + 1]
    if at < instance.latency_lowest:
        instance.latency_lowest = at
    elif at > instance.latency_highest:
        instance.latency_highest = at
