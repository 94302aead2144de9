"""When the next probe of a target is sent. Pure: a function of settings, the past start and a seeded generator.

Rules
- A new target's first probe is sent at once. Many new targets therefore start together, so the gap to the *second*
  probe is drawn from nothing to one whole interval: from then on they are spread over all of it, and none waits longer
  than promised. (Drawn from half of it, they would share that half for minutes: jitter spreads slowly.)
- Every later gap is the interval with 10 % of jitter, counted from the *start* of the previous probe, so a slow answer
  does not make probing rarer. A start that is already past is due now; missed ones are not made up for.
- 5 of these 10 % are the sender's: whoever is awake anyway sends what is due within that time too, so that thousands
  of probes are sent some at a time instead of each in a turn of its own.
- Between thresholds the interval is a fifth, at least FAST_FLOOR, never more than the interval itself.

All times are seconds.
"""

from __future__ import annotations

from random import Random

FAST_FLOOR = 0.5
FAST_FRACTION = 5.0
JITTER = 0.1  # of the interval, either way
EARLY = 0.05  # of the gap: how much before it is due a probe may be sent


def fast_interval(interval: float) -> float:
    """The interval while a target is between thresholds."""
    return min(interval, max(FAST_FLOOR, interval / FAST_FRACTION))


def next_start(started: float, interval: float, rng: Random, *, is_first: bool, is_settling: bool) -> float:
    """When the probe after the one that started at `started` is due.

    `is_first`: that probe was the target's first with this interval. `is_settling`: the target is between thresholds.
    """
    if is_settling:
        return started + fast_interval(interval) * rng.uniform(1.0 - JITTER + EARLY, 1.0 + JITTER)
    if is_first:
        return started + interval * rng.random()
    return started + interval * rng.uniform(1.0 - JITTER + EARLY, 1.0 + JITTER)


def earliest_start(started: float, due: float) -> float:
    """From when on the probe that is due may be sent, `started` being when the one before it was."""
    return due - EARLY * (due - started)
