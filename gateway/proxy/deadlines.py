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
from collections.abc import Callable
from typing import Final

TICK: Final = 0.05  # seconds
NEVER: Final = math.inf


class Timed:
    """Something with a deadline. Read `deadline` freely; set it through `Deadlines.arm`."""

    __slots__ = ("deadline", "wakes_at")

    def __init__(self) -> None:
        self.deadline = NEVER  # monotonic seconds
        self.wakes_at = NEVER  # when its entry is looked at; NEVER: it has none

    def on_deadline(self, now: float) -> None:
        """The deadline has passed. It is NEVER again unless armed anew."""
        raise AssertionError("a machine with deadlines says what they mean")


class Alarm(Timed):
    """A deadline that calls a function, with the time it is."""

    __slots__ = ("_ring",)

    def __init__(self, ring: Callable[[float], None]) -> None:
        super().__init__()
        self._ring = ring

    def on_deadline(self, now: float) -> None:
        self._ring(now)


class Deadlines:
    """All deadlines of one worker."""

    __slots__ = ("_buckets", "_ticks")

    def __init__(self) -> None:
        self._buckets: dict[int, set[Timed]] = {}
        self._ticks: list[int] = []  # a heap of the keys of _buckets

    def arm(self, timed: Timed, at: float) -> None:
        """Let `timed.on_deadline` be called at `at`, instead of when it was to be called before."""
        timed.deadline = at
        if at < timed.wakes_at:
            self._queue(timed, at)

    def forget(self, timed: Timed) -> None:
        """Never call it again, and keep no reference to it."""
        timed.deadline = NEVER
        if timed.wakes_at != NEVER:
            self._leave(timed)

    def expire(self, now: float) -> None:
        """Call `on_deadline` of everything that is due."""
        tick_now = int(now / TICK)
        while self._ticks and self._ticks[0] <= tick_now:
            bucket = self._buckets[self._ticks[0]]  # stays until it is empty: a call that raises costs no other
            if not bucket:
                del self._buckets[heapq.heappop(self._ticks)]
                continue
            timed = bucket.pop()
            timed.wakes_at = NEVER
            if timed.deadline <= now:
                timed.deadline = NEVER
                timed.on_deadline(now)
            elif timed.deadline != NEVER:
                self._queue(timed, timed.deadline)

    def postpone(self, seconds: float) -> None:
        """Move every deadline by this much: time that nobody was there to use. Costs a look at each of them."""
        ticks = int(seconds / TICK)  # an entry may wake before its deadline, never a tick after it
        self._buckets = {tick + ticks: bucket for tick, bucket in self._buckets.items()}
        self._ticks = [tick + ticks for tick in self._ticks]  # in the order of a heap still
        for bucket in self._buckets.values():
            for timed in bucket:
                timed.deadline += seconds
                timed.wakes_at += ticks * TICK

    def next_at(self) -> float:
        """When `expire` wants to be called next; NEVER when nothing is queued."""
        while self._ticks:
            if self._buckets[self._ticks[0]]:
                return self._ticks[0] * TICK
            del self._buckets[heapq.heappop(self._ticks)]
        return NEVER

    def _queue(self, timed: Timed, at: float) -> None:
        if timed.wakes_at != NEVER:
            self._leave(timed)
        tick = int(at / TICK) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            heapq.heappush(self._ticks, tick)
        bucket.add(timed)
        timed.wakes_at = tick * TICK

    def _leave(self, timed: Timed) -> None:
        bucket = self._buckets.get(round(timed.wakes_at / TICK))
        if bucket is not None:
            bucket.discard(timed)
        timed.wakes_at = NEVER
