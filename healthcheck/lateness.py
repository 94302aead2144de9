"""How long this process has not been running its tasks: starved of CPU, stopped, or in one long computation.

A probe that timed out while its own prober stood still says nothing about the instance. A task that asks to be
woken every BEAT seconds measures the delay: what it wakes too late is time in which no answer could be read either.
"""

from __future__ import annotations

import math

import trio

BEAT = 0.1  # seconds; a standstill shorter than this may go unseen


class Lateness:
    """Accumulated standstill of the loop that `run` runs in."""

    __slots__ = ("_due", "_lost")

    def __init__(self) -> None:
        self._lost = 0.0
        self._due = math.inf

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._due = trio.current_time() + BEAT
            await trio.sleep_until(self._due)
            self._lost += trio.current_time() - self._due

    def lost(self, now: float) -> float:
        """Seconds of standstill since the start, one that is only just ending included. `now` is trio's clock."""
        return self._lost + max(0.0, now - self._due)
