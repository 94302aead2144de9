"""Passive outlier detection: a worker's judgement of an instance by the attempts it made on it.

An instance is open, ejected, or on probation after an ejection. So many failures in a row eject it,
one success starts the row anew. On probation one failure ejects again, for longer; one success opens.
An ejection lasts `eject_time` times the number of ejections so far, at most `LONGEST`; a period of
`eject_time` in which the instance was not ejected takes one off that number.

A connection that is refused or reset while it is made is no ejection, but reason enough to leave the
instance alone for `CONNECT_AVOID` seconds: a process that is gone refuses at once, and would take
attempts from every request until the row is full.

The detector says for how long; whoever asks applies it (`ejected_until`), or does not, as the cap
(`gateway.snapshot.cap`) bounds how much of a service may be out. An ejection not applied does not count.

An ejection is everybody's: a worker that learns of another's takes it over (`adopt`), its number and the
probation after it included, so that times grow with the instance's ejections and not with each worker's. It
ends before its time (`release`) when the gateway's probes take the instance out, which then tell when it is back,
or when every failure of the row was one to connect and a probe that began after it succeeds.
"""

from __future__ import annotations

from typing import Final

from gateway.balance.instance import LiveInstance

CONNECT_AVOID: Final = 1.0  # seconds
LONGEST: Final = 300.0  # seconds
_CLOCK_ROUNDING: Final = 0.001  # seconds; ejected_until may have been through whole nanoseconds


class OutlierDetector:
    """The rule of one service; what it knows of an instance is kept in the instance."""

    __slots__ = ("_consecutive_failures", "_eject_time")

    def __init__(self, consecutive_failures: int, eject_time: float) -> None:
        """`eject_time` in seconds; with `consecutive_failures` 0 nothing is ever ejected."""
        self._consecutive_failures = consecutive_failures
        self._eject_time = eject_time

    def record(self, instance: LiveInstance, ok: bool, now: float, connect_failed: bool) -> float:
        """Takes one attempt's outcome into account.

        Returns for how many seconds from `now` the instance is to be left alone because of it; 0.0: it is not.
        """
        if ok:
            if instance.consecutive_failures and not _is_ejected(instance, now):
                instance.consecutive_failures = 0
            return 0.0
        if _is_ejected(instance, now):
            return 0.0  # an attempt begun before the ejection: it says nothing new
        instance.is_row_of_connects = connect_failed and (
            instance.is_row_of_connects or not instance.consecutive_failures
        )
        instance.consecutive_failures += 1
        if 0 < self._consecutive_failures <= instance.consecutive_failures:
            return self._eject(instance, now)
        return CONNECT_AVOID if connect_failed else 0.0

    def adopt(self, instance: LiveInstance, count: int, until: float) -> None:
        """Another worker ejected the instance, for the `count`-th time, until then."""
        instance.eject_count = count
        instance.sentenced_until = instance.ejected_until = until
        instance.consecutive_failures = max(0, self._consecutive_failures - 1)
        instance.is_row_of_connects = False

    def release(self, instance: LiveInstance, now: float) -> None:
        """The ejection in force, if there is one, ends now."""
        if _is_ejected(instance, now):
            instance.sentenced_until = instance.ejected_until = now

    def _eject(self, instance: LiveInstance, now: float) -> float:
        instance.consecutive_failures = self._consecutive_failures - 1  # probation: one more is enough
        if not _was_applied(instance):
            instance.eject_count = max(0, instance.eject_count - 1)
        elif self._eject_time > 0:
            quiet = max(0.0, now - instance.sentenced_until)
            instance.eject_count = max(0, instance.eject_count - int(quiet / self._eject_time))
        instance.eject_count += 1
        duration = min(LONGEST, self._eject_time * instance.eject_count)
        instance.sentenced_until = now + duration
        return duration


def _was_applied(instance: LiveInstance) -> bool:
    """Whether the last ejection that the detector called for came into force."""
    return instance.ejected_until >= instance.sentenced_until - _CLOCK_ROUNDING


def _is_ejected(instance: LiveInstance, now: float) -> bool:
    return now < instance.sentenced_until and _was_applied(instance)
