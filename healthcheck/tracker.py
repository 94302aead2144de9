"""The health of one target as a state machine over the results of its probes: rise and fall thresholds.

Rules
- A first success admits a new instance at once; nothing else moves it before `unhealthy_threshold` failures in a row.
- Afterwards `unhealthy_threshold` failures in a row take it out, `healthy_threshold` successes in a row bring it back.
- Thresholds are arguments of every observation, so a reload changes them without losing what is known.
- A target that was not checked keeps its traffic while its first probes are out, so switching checks on is no outage.

What this file is not: it sends no probe and keeps no time.
"""

from __future__ import annotations

from enum import Enum, auto

from discovery.settings import HealthSettings
from healthcheck.model import Health


class Event(Enum):
    """What one observation means for the thresholds."""

    PASS = auto()  # a success, fewer in a row than healthy_threshold
    RISE = auto()  # a success that completes healthy_threshold in a row, and every one after it
    FAIL = auto()  # a failure, fewer in a row than unhealthy_threshold
    FALL = auto()  # a failure that completes unhealthy_threshold in a row, and every one after it
    EXEMPT = auto()  # probing is switched off for the service


TRANSITIONS: dict[Health, dict[Event, Health]] = {
    Health.UNKNOWN: {
        Event.PASS: Health.HEALTHY,
        Event.RISE: Health.HEALTHY,
        Event.FAIL: Health.UNKNOWN,
        Event.FALL: Health.UNHEALTHY,
        Event.EXEMPT: Health.UNCHECKED,
    },
    Health.HEALTHY: {
        Event.PASS: Health.HEALTHY,
        Event.RISE: Health.HEALTHY,
        Event.FAIL: Health.HEALTHY,
        Event.FALL: Health.UNHEALTHY,
        Event.EXEMPT: Health.UNCHECKED,
    },
    Health.UNHEALTHY: {
        Event.PASS: Health.UNHEALTHY,
        Event.RISE: Health.HEALTHY,
        Event.FAIL: Health.UNHEALTHY,
        Event.FALL: Health.UNHEALTHY,
        Event.EXEMPT: Health.UNCHECKED,
    },
    Health.UNCHECKED: {
        Event.PASS: Health.HEALTHY,
        Event.RISE: Health.HEALTHY,
        Event.FAIL: Health.UNCHECKED,
        Event.FALL: Health.UNHEALTHY,
        Event.EXEMPT: Health.UNCHECKED,
    },
}


class Tracker:
    """What is known of one target. `successes` and `failures` are the present run; one of them is always 0."""

    __slots__ = ("failures", "health", "settings", "since", "successes")

    def __init__(self, settings: HealthSettings) -> None:
        self.settings = settings  # may be replaced at any time; counts and health stay
        self.health = Health.UNKNOWN
        self.since: float | None = None  # when health last changed, on the caller's clock
        self.successes = 0
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Tracker {self.health} +{self.successes} -{self.failures}>"

    def observe(self, ok: bool, now: float) -> Health | None:
        """Count one result; the new health if this changed it, else None."""
        if ok:
            self.successes += 1
            self.failures = 0
            event = Event.RISE if self.successes >= self.settings.healthy_threshold else Event.PASS
        else:
            self.failures += 1
            self.successes = 0
            event = Event.FALL if self.failures >= self.settings.unhealthy_threshold else Event.FAIL
        return self._go(event, now)

    def exempt(self, now: float) -> Health | None:
        """Probing is off: the target counts as well from here on. UNCHECKED if that is a change, else None."""
        self.successes = self.failures = 0
        return self._go(Event.EXEMPT, now)

    @property
    def is_settling(self) -> bool:
        """Whether the present run contradicts the health without having changed it yet: time to look more often."""
        if self.health is Health.HEALTHY:
            return self.failures > 0
        if self.health is Health.UNHEALTHY:
            return self.successes > 0
        return self.failures > 0

    def _go(self, event: Event, now: float) -> Health | None:
        health = TRANSITIONS[self.health][event]
        if health is self.health:
            return None
        self.health = health
        self.since = now
        return health
