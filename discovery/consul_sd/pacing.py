"""How often Consul is asked: a token bucket for answers, a jittered backoff for failures. Pure."""

from __future__ import annotations

from random import Random

BURST = 2  # answers that pass at once, so that a change after a quiet time is not held up
SHORTEST = 0.1  # seconds between answers once the burst is used...
LONGEST = 1.0  # ...growing to this while they keep coming
GROWTH = 1.5

FIRST_DELAY = 0.1  # seconds before the first retry, doubling...
LAST_DELAY = 5.0  # ...to this


class Bucket:
    """Limits the rate of one watch's queries. `now` is a steady clock, in seconds."""

    def __init__(self, shortest: float = SHORTEST) -> None:
        """`shortest` may be set anew at any time; at most LONGEST."""
        self.shortest = shortest
        self._tokens = float(BURST)
        self._interval = shortest
        self._at = 0.0

    def take(self, now: float) -> float:
        """Takes a token; returns the seconds to wait before using it."""
        self._interval = max(self._interval, self.shortest)
        self._tokens = min(BURST, self._tokens + max(0.0, now - self._at) / self._interval)
        self._at = now
        if self._tokens >= BURST:
            self._interval = self.shortest
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        delay = (1 - self._tokens) * self._interval
        self._tokens, self._at = 0.0, now + delay
        self._interval = min(LONGEST, self._interval * GROWTH)
        return delay


class Backoff:
    """Delays between retries: doubling, with jitter so that many watches do not return in step."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._next = FIRST_DELAY

    def reset(self) -> None:
        """The last call succeeded."""
        self._next = FIRST_DELAY

    def delay(self, *, is_hopeless: bool = False) -> float:
        """Seconds to wait after a failure. `is_hopeless`: asking soon again cannot help (403, 400, 429)."""
        ceiling = LAST_DELAY if is_hopeless else self._next
        self._next = min(LAST_DELAY, ceiling * 2)
        return ceiling * self._random.uniform(0.5, 1.0)
