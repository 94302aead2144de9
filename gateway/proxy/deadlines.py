"""Deadlines of many connections, cheap to move and never missed.

Theory: a connection moves its deadline with almost every event and it hardly ever comes true. So
moving it later costs one attribute: the entry already queued wakes earlier, sees the later
deadline and queues itself again. Entries are kept in buckets of one TICK, keyed by time, so that
a closed connection takes its entry away in O(1) and thousands of short connections leave nothing.

A deadline fires at most one TICK late, never early.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

TICK: Final = 0.05  # seconds
NEVER: Final = math.inf
_NOT_QUEUED: Final = 1 << 62


class Timed:
    """Something with a deadline. Read `deadline` freely; set it through `Deadlines.arm`."""

    __slots__ = ("deadline", "queued_tick")

    def __init__(self) -> None:
        self.deadline = NEVER  # monotonic seconds
        self.queued_tick = _NOT_QUEUED

    def on_deadline(self, now: float) -> None:
        """The deadline has passed. It is NEVER again unless armed anew."""
        raise AssertionError("a machine with deadlines says what they mean")


class Deadlines:
    """All deadlines of one worker."""

    __slots__ = ("_buckets", "_ticks")

    def __init__(self) -> None:
        self._buckets: dict[int, set[Timed]] = {}
        self._ticks: list[int] = []  # a heap of the keys of _buckets

    def arm(self, timed: Timed, at: float) -> None:
        """Let `timed.on_deadline` be called at `at`, instead of when it was to be called before."""
        timed.deadline = at
        if at == NEVER:
            return
        tick = int(at / TICK) + 1
        if tick < timed.queued_tick:
            self._queue(timed, tick)

    def forget(self, timed: Timed) -> None:
        """Never call it again, and keep no reference to it."""
        timed.deadline = NEVER
        if timed.queued_tick != _NOT_QUEUED:
            bucket = self._buckets.get(timed.queued_tick)
            if bucket is not None:
                bucket.discard(timed)
            timed.queued_tick = _NOT_QUEUED

    def expire(self, now: float) -> None:
        """Call `on_deadline` of everything that is due."""
        tick_now = int(now / TICK)
        while self._ticks and self._ticks[0] <= tick_now:
            bucket = self._buckets.pop(heapq.heappop(self._ticks))
            while bucket:
                timed = bucket.pop()
                timed.queued_tick = _NOT_QUEUED
                if timed.deadline <= now:
                    timed.deadline = NEVER
                    timed.on_deadline(now)
                elif timed.deadline != NEVER:
                    self._queue(timed, int(timed.deadline / TICK) + 1)

    def next_at(self) -> float:
        """When `expire` wants to be called next; NEVER when nothing is queued."""
        while self._ticks:
            if self._buckets[self._ticks[0]]:
                return self._ticks[0] * TICK
            del self._buckets[heapq.heappop(self._ticks)]
        return NEVER

    def _queue(self, timed: Timed, tick: int) -> None:
        if timed.queued_tick != _NOT_QUEUED:
            self._buckets[timed.queued_tick].discard(timed)
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            heapq.heappush(self._ticks, tick)
        bucket.add(timed)
        timed.queued_tick = tick
