"""Flap damping: an instance that keeps falling comes back later each time. Pure.

A *flap* is a fall of an instance that was well: its probes fail, or Consul calls it critical. The first `FREE`
flaps cost nothing: such an instance comes back by its thresholds alone. Every further one keeps it out for
`FIRST` seconds, then twice as long, and so on up to `LONGEST`, counted from the fall. Every `FORGIVE` seconds
without a flap, once it is not held any more, forgive one.

    flap            1  2  3   4    5    6    7    8     9    10 ...
    out at least    -  -  -   5   10   20   40   80   160   300 s

Falling takes effect at once, always: only coming back is held. Doubling with a bound is what kubelet does to
containers that crash in a loop; counting flaps and forgetting them with time is route flap damping (RFC 2439),
whose exponentially decaying figure of merit would hold a steady flapper for the same time again and again.
The ejection cap (`gateway.snapshot.cap`) holds here as well, so that damping never takes the last instance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

FREE: Final = 3  # flaps
FIRST: Final = 5.0  # seconds
LONGEST: Final = 300.0  # seconds
FORGIVE: Final = 60.0  # seconds


def hold_seconds(flaps: int) -> float:
    """How long an instance stays out after this many flaps that are not forgiven."""
    if flaps <= FREE:
        return 0.0
    return min(LONGEST, FIRST * 2.0 ** min(flaps - FREE - 1, 16))


@dataclass(slots=True)
class Damping:
    """What one instance's flaps amount to. Times are seconds on the caller's clock."""

    held_until: float = -math.inf
    _flaps: int = 0
    _forgiving_since: float = -math.inf

    def flaps(self, now: float) -> int:
        """Flaps that are not forgiven yet."""
        if not self._flaps:
            return 0
        return max(0, self._flaps - int(max(0.0, now - self._forgiving_since) / FORGIVE))

    def flap(self, now: float) -> None:
        """The instance fell, having been well."""
        self._flaps = self.flaps(now) + 1
        hold = hold_seconds(self._flaps)
        if hold:
            self.held_until = max(self.held_until, now + hold)
        self._forgiving_since = max(now, self.held_until)

    def is_held(self, now: float) -> bool:
        return now < self.held_until
