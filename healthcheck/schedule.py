"""When the next probe of a target is sent. Pure: a function of settings, the past start and a seeded generator.

Rules
- A new target's first probe is sent at once. Many new targets therefore start together, so the gap to the *second*
  probe is drawn from half to one whole interval: from then on they are spread, and none waits longer than promised.
- Every later gap is the interval with 10 % of jitter, counted from the *start* of the previous probe, so a slow answer
  does not make probing rarer. A start that is already past is due now; missed ones are not made up for.
- Between thresholds the interval is a fifth, at least FAST_FLOOR, never more than the interval itself.

All times are seconds.
"""

from __future__ import annotations

from random import Random

FAST_FLOOR = 0.5
FAST_FRACTION = 5.0
JITTER = 0.1  # of the interval, either way


def fast_interval(interval: float) -> float:
    """The interval while a target is between thresholds."""
    return min(interval, max(FAST_FLOOR, interval / FAST_FRACTION))


def next_start(started: float, interval: float, rng: Random, *, is_first: bool, is_settling: bool) -> float:
    """When the probe after the one that started at `started` is due.

    `is_first`: that probe was the target's first. `is_settling`: the target is between thresholds.
    """
    if is_settling:
        return started + fast_interval(interval) * rng.uniform(1.0 - JITTER, 1.0 + JITTER)
    if is_first:
        return started + interval * rng.uniform(0.5, 1.0)
    return started + interval * rng.uniform(1.0 - JITTER, 1.0 + JITTER)
