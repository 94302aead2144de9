"""Least latency: peak-sensitive moving averages, weighed with what is in flight.

The cost of an instance is its average latency x (in flight + 1) / weight. The average follows a slower
answer at once and faster ones over `TAU` seconds, as Finagle's and linkerd's peak EWMA do: an instance
that stalls is left alone on the first slow answer. An average nobody adds to decays, so that an
instance avoided once is tried again. An instance without any answer yet is taken when it is idle and
left alone while it owes its first answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf
from typing import Final

from gateway.balance.instance import LiveInstance
from gateway.balance.rotation import Rotation

TAU: Final = 10.0  # seconds
SCAN: Final = 6  # instances compared for one pick
_FRESH: Final = 1.0  # seconds for which an average is used without decay, which would change it by 10 %
_OWING: Final = 3600.0  # taken as the latency of an instance that owes its first answer


class LeastLatency(Rotation):
    """Compares a window of instances from a moving start (see `rotation`)."""

    __slots__ = ("_limit", "_ring", "_window")
    needs_key = False
    observes = True

    def __init__(self, instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int) -> None:
        super().__init__([instance.weight for instance in instances], worker)
        self._limit = max_in_flight
        self._window = min(self._size, SCAN)
        entries = [(instance, instance.in_flight_view(words), 1.0 / instance.weight) for instance in instances]
        self._ring = entries + entries

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        cumulated = self._cumulated
        if cumulated is None:
            self._at = start = (self._at + self._stride) % self._size
        else:
            start = self._weighted_start(cumulated)
        found = self._least(start, self._window, now, tried)
        if found is None and self._window < self._size:
            found = self._least(start, self._size, now, tried)
        return found

    def _least(self, start: int, count: int, now: float, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        limit = self._limit
        found: LiveInstance | None = None
        least = inf
        for instance, in_flight, inverse in self._ring[start : start + count]:
            load = sum(in_flight)
            latency = instance.ewma
            if not latency:
                latency = _OWING if load else 0.0
            else:
                age = now - instance.ewma_at
                if age > _FRESH:
                    latency *= exp(-age / TAU)
            cost = latency * (load + 1) * inverse
            if cost < least and not (limit and load >= limit) and not (tried and instance in tried):
                found = instance
                least = cost
        return found

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        average = instance.ewma
        if latency >= average:
            instance.ewma = latency
        else:
            kept = exp((instance.ewma_at - now) / TAU)
            instance.ewma = average * kept + latency * (1.0 - kept)
        instance.ewma_at = now
