"""Where a scan over a service's instances begins, a different place for every pick.

With equal weights the starts walk round the ring in steps of about 0.618 of its size, a number prime
to it: every instance is the start equally often, exactly, and windows that follow each other lie far
apart, which makes them nearly as good a sample as random ones. With unequal weights a start is drawn
from the golden-ratio sequence through the cumulated weights: shares follow weights as evenly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import gcd
from typing import Final

GOLDEN: Final = 0.6180339887498949
_WORKER_STEP: Final = 0.41421356237309515  # another irrational: no worker follows in another's steps


def worker_phase(worker: int) -> float:
    """A place in [0, 1) for a worker to start at; neighbours are far from each other."""
    return (worker * _WORKER_STEP) % 1.0


class Rotation:
    """Base of pickers that compare a few instances from a moving start."""

    __slots__ = ("_at", "_cumulated", "_size", "_stride", "_unit")

    def __init__(self, weights: Sequence[float], worker: int) -> None:
        size = len(weights)
        phase = worker_phase(worker)
        self._size = size
        self._at = int(phase * size)
        self._stride = next(step for step in range(max(1, round(size * GOLDEN)), size + 2) if gcd(step, size) == 1)
        self._cumulated = None if min(weights) == max(weights) else list(accumulate(weights))
        self._unit = phase

    def _weighted_start(self, cumulated: list[float]) -> int:
        self._unit = unit = (self._unit + GOLDEN) % 1.0
        start = bisect_right(cumulated, unit * cumulated[-1])
        return start if start < self._size else self._size - 1  # rounding at the very end
