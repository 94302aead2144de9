"""Which registrations of a service count now. Pure; `now` is any steady clock, in seconds.

In an unbroken watch (each answer on the index of the one before) an instance that is no longer listed
is gone at once. After a break - an error, an index that went back - an answer that lacks known
instances proves little: an agent that restarted empty says "none" within 0.2 s. Those instances are
then provisional for a grace, marked so that only the ones passing the gateway's own probes stay in use.
What an answer adds, or calls critical, counts at once in either case, with one exception: an agent that
restarts takes checks for critical that have not run yet, and instances that were in use are provisional
in the same way until theirs have, or the grace is over.

The first answer after a break may also be complete and the loss come with the next: an agent that has
restarted takes its services out of the servers' catalog a moment later. So for the same grace after a break
even an unbroken answer that lacks more than half of the instances is provisional about them, and so is one
that calls instances critical for checks that have not run: servers first say what they knew, then what the agent says.

A gateway that starts from what it knew before goes on as after a break.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from discovery.consul_sd.decode import IN_USE, Registration

Key = tuple[str, str, str]  # node, service id, address: one that moved is another instance

RESTORED: Final = "known from before the gateway's restart; Consul has not answered since"


def _key(registration: Registration) -> Key:
    return (registration.node, registration.instance.id, registration.instance.address)


class Membership:
    """The registrations of one service: those listed, and those kept for a while after a break."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.is_held = False  # the token may not read the service: nothing is given up for being absent
        self._listed: dict[Key, Registration] = {}
        self._hides = False  # the last answer lacks what permissions hide
        self._kept: dict[Key, tuple[Registration, float]] = {}  # with the time it is given up
        self._unrun: dict[Key, float] = {}  # listed, but not believed critical until then
        self._shaken_until = float("-inf")  # so long after a break a great loss is not believed

    def restore(self, known: Iterable[Registration]) -> None:
        """Starts from what was known before the first answer; provisional until then."""
        self._listed = {_key(each): _provisional(each, RESTORED) for each in known}

    def apply(
        self, answer: Iterable[Registration], now: float, *, is_unbroken: bool, is_filtered: bool = False
    ) -> None:
        """Takes an answer. `is_filtered`: permissions hid a part of it, so that absence means nothing at all."""
        self._expire(now)
        listed = {_key(each): each for each in answer}
        if not is_unbroken and self._listed:
            self._shaken_until = now + self.grace
        self._hides = is_filtered and not self._listed.keys() <= listed.keys()
        lost = [key for key in self._listed if key not in listed]
        if is_filtered:
            listed = {**self._listed, **listed}
        elif now < self._shaken_until and (not is_unbroken or 2 * len(lost) > len(self._listed)):
            for key in lost:
                until = self._unrun.get(key, now + self.grace)
                self._kept[key] = (_provisional(self._judged(key), self._reason), until)
        self._unrun = {
            key: ends
            for key, each in listed.items()
            if each.without_unrun is not None and (ends := self._unrun_until(key, now)) is not None
        }
        for key in listed:
            self._kept.pop(key, None)
        self._listed = listed

    def _unrun_until(self, key: Key, now: float) -> float | None:
        """Until when one is not believed critical that is so only for checks that have not run; None: it is."""
        if key in self._unrun:
            return self._unrun[key]
        if key in self._kept:  # the agent came back empty, and it has registered anew
            kept, until = self._kept[key]
            return until if kept.instance.standing in IN_USE else None
        known = self._listed.get(key)
        was_in_use = known is not None and known.instance.standing in IN_USE
        return now + self.grace if was_in_use and now < self._shaken_until else None

    def _judged(self, key: Key) -> Registration:
        """What counts of a listed one."""
        listed = self._listed[key]
        if key not in self._unrun or listed.without_unrun is None:
            return listed
        return _provisional(replace(listed, instance=listed.without_unrun), self._reason_unrun)

    @property
    def _reason(self) -> str:
        return (
            "Consul does not list it since a break in the watch (agent restarted, no leader, unreachable); "
            f"kept for {self.grace:g} s from then while it passes probes"
        )

    @property
    def _reason_unrun(self) -> str:
        return (
            "Consul's checks of it have not run yet since a break in the watch (agent restarted); "
            f"kept for {self.grace:g} s from then while it passes probes"
        )

    def current(self, now: float) -> tuple[Registration, ...]:
        """All that count at `now`, ordered by (id, node)."""
        self._expire(now)
        both = [
            *(self._judged(key) for key in self._listed),
            *(registration for registration, _ in self._kept.values()),
        ]
        return tuple(sorted(both, key=lambda each: (each.instance.id, each.node)))

    def _expire(self, now: float) -> None:
        if not self.is_held:
            self._kept = {key: kept for key, kept in self._kept.items() if kept[1] > now}
            self._unrun = {key: until for key, until in self._unrun.items() if until > now}

    @property
    def is_complete(self) -> bool:
        """Does the last answer list something, and all that was known?"""
        return bool(self._listed) and not self._kept and not self._hides

    def next_expiry(self) -> float:
        """When the next provisional one is given up, or believed critical; infinity if there is none."""
        if self.is_held:
            return float("inf")
        return min((*(until for _, until in self._kept.values()), *self._unrun.values()), default=float("inf"))


def _provisional(registration: Registration, reason: str) -> Registration:
    """Kept, and the reason said, unless the instance is out for another one anyway."""
    instance = registration.instance
    detail = reason if instance.standing in IN_USE else instance.detail
    return replace(registration, instance=replace(instance, provisional=True, detail=detail))
