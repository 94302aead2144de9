"""Weighted round robin: shares match weights exactly over a cycle, and turns are spread evenly in it.

What nginx's smooth weighted round robin does in time proportional to the number of instances is done
here with a heap, as in earliest-deadline-first scheduling: an instance of weight w has its turns at
(k + 1/2) / w for k = 0, 1, 2...; who has the earliest turn is next. Within one unit of that time an
instance with an integer weight has exactly `weight` turns. Turns are computed from k, never added
up, so that rounding does not accumulate. Equal turns go in order of the ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace
from math import ceil, floor

from gateway.balance.instance import LiveInstance
from gateway.balance.rotation import worker_phase

# The time of the next turn, place in the ring (unique: nothing after it is ever compared), k, ...
_Turn = tuple[float, int, int, float, LiveInstance, memoryview]


class Weighted:
    """By weight alone; what is in flight matters only at the limit."""

    __slots__ = ("_limit", "_turns")
    needs_key = False
    observes = False

    def __init__(self, instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int) -> None:
        self._limit = max_in_flight
        phase = worker_phase(worker)  # the time at which this worker begins
        first = int(phase * len(instances))
        self._turns: list[_Turn] = []
        for place, instance in enumerate((*instances[first:], *instances[:first])):
            weight = instance.weight
            k = ceil(phase * weight - 0.5)
            self._turns.append(((k + 0.5) / weight, place, k, weight, instance, instance.in_flight_view(words)))
        heapify(self._turns)

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        turns = self._turns
        _, place, k, weight, instance, in_flight = turns[0]
        if (tried and instance in tried) or (self._limit and sum(in_flight) >= self._limit):
            return self._pick_past(tried)
        k += 1
        heapreplace(turns, ((k + 0.5) / weight, place, k, weight, instance, in_flight))
        return instance

    def _pick_past(self, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        """The earliest turn of an instance that can be used. Those passed over lose theirs, and do not catch up."""
        turns = self._turns
        passed: list[_Turn] = []
        found: LiveInstance | None = None
        time = 0.0
        while turns and found is None:
            turn = heappop(turns)
            instance = turn[4]
            passed.append(turn)
            if instance not in tried and not (self._limit and sum(turn[5]) >= self._limit):
                found = instance
                time = turn[0]
        for turn in passed:
            due, place, k, weight, instance, in_flight = turn
            if found is not None:
                k = max(k + 1, floor(time * weight - 0.5) + 1)
                due = (k + 0.5) / weight
            heappush(turns, (due, place, k, weight, instance, in_flight))
        return found

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Latencies are not used."""
