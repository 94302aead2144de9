"""Who gets which part of the requests that several routes share. Pure.

The rule is Fabio's: every eligible instance is a target. Those of a route with a fraction get that fraction
of the requests each, the others share what is left in equal parts. Fractions that add up to more than 1, or
to less where nobody else is there, are scaled to 1. So a route's part follows its number of instances.

Routes take turns by smooth weighted round robin (as nginx): after any number of requests each has had its
part to within one request or two, in this worker.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.routing.compiled import CompiledRoute


def parts(fractions: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Each route's part of the requests, from its fraction (0: none) and its number of eligible instances.

    They add up to 1, or are all 0 where no route has an instance.
    """
    fixed = sum(fraction * count for fraction, count in zip(fractions, counts, strict=True))
    others = sum(count for fraction, count in zip(fractions, counts, strict=True) if not fraction)
    scale = 1.0 / fixed if fixed > 1.0 or (fixed and not others) else 1.0
    each = max(0.0, 1.0 - fixed) / others if others else 0.0
    return [count * (fraction * scale if fraction else each) for fraction, count in zip(fractions, counts, strict=True)]


class Split:
    """Routes with one host and pattern; belongs to one worker, which counts their instances."""

    __slots__ = ("_counts", "_credits", "_fractions", "_parts", "routes")

    def __init__(self, routes: Sequence[CompiledRoute], fractions: Sequence[float]) -> None:
        self.routes = tuple(routes)
        self._fractions = tuple(fractions)
        self._counts: list[int] = []
        self._parts: list[float] = []
        self._credits = [0.0] * len(routes)

    def pick(self, counts: list[int]) -> CompiledRoute:
        """The route whose turn it is; `counts` are the eligible instances of each. Without any: the first."""
        if counts != self._counts:
            self._counts = counts
            self._parts = parts(self._fractions, counts)
            # What was owed to a route under other circumstances is nobody's debt now.
            self._credits = [0.0] * len(counts)
        owed = self._credits
        found, most = 0, 0.0
        for at, part in enumerate(self._parts):
            owed[at] += part
            if owed[at] > most:
                found, most = at, owed[at]
        owed[found] -= 1.0
        return self.routes[found]
