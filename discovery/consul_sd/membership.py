"""Which registrations of a service count now. Pure; `now` is any steady clock, in seconds.

In an unbroken watch (each answer on the index of the one before) an instance that is no longer listed
is gone at once. After a break - an error, an index that went back - an answer that lacks known
instances proves little: an agent that restarted empty says "none" within 0.2 s. Those instances are
then provisional for a grace, marked so that only the ones passing the gateway's own probes stay in use.
What an answer adds, or calls critical, counts at once in either case.

The first answer after a break may also be complete and the loss come with the next: an agent that has
restarted takes its services out of the servers' catalog a moment later. So for the same grace after a break
even an unbroken answer that lacks more than half of the instances is provisional about them.

A gateway that starts from what it knew before goes on as after a break.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from discovery.consul_sd.decode import Registration
from discovery.model import Standing

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
        self._shaken_until = float("-inf")  # so long after a break a great loss is not believed

    def restore(self, known: Iterable[Registration]) -> None:
        """Starts from what was known before the first answer; provisional until then."""
        self._listed = {_key(each): _provisional(each, RESTORED) for each in known}

    def apply(
        self, answer: Iterable[Registration], now: float, *, is_unbroken: bool, is_filtered: bool = False
    ) -> None:
        """Takes an answer. `is_filtered`: permissions hid a part of it, so that absence means nothing at all."""
        listed = {_key(each): each for each in answer}
        if not is_unbroken and self._listed:
            self._shaken_until = now + self.grace
        self._hides = is_filtered and not self._listed.keys() <= listed.keys()
        lost = [key for key in self._listed if key not in listed]
        if is_filtered:
            listed = {**self._listed, **listed}
        elif now < self._shaken_until and (not is_unbroken or 2 * len(lost) > len(self._listed)):
            for key in lost:
                self._kept[key] = (_provisional(self._listed[key], self._reason), now + self.grace)
        for key in listed:
            self._kept.pop(key, None)
        self._listed = listed

    @property
    def _reason(self) -> str:
        return (
            "Consul does not list it since a break in the watch (agent restarted, no leader, unreachable); "
            f"kept for {self.grace:g} s from then while it passes probes"
        )

    def current(self, now: float) -> tuple[Registration, ...]:
        """All that count at `now`, ordered by (id, node)."""
        if not self.is_held:
            self._kept = {key: kept for key, kept in self._kept.items() if kept[1] > now}
        both = [*self._listed.values(), *(registration for registration, _ in self._kept.values())]
        return tuple(sorted(both, key=lambda each: (each.instance.id, each.node)))

    @property
    def is_complete(self) -> bool:
        """Does the last answer list something, and all that was known?"""
        return bool(self._listed) and not self._kept and not self._hides

    def next_expiry(self) -> float:
        """When the next provisional one is given up; infinity if none is kept."""
        return float("inf") if self.is_held else min((until for _, until in self._kept.values()), default=float("inf"))


def _provisional(registration: Registration, reason: str) -> Registration:
    """Kept, and the reason said, unless the instance is out for another one anyway."""
    instance = registration.instance
    is_out = instance.standing in (Standing.CRITICAL, Standing.MAINTENANCE)
    detail = instance.detail if is_out else reason
    return replace(registration, instance=replace(instance, provisional=True, detail=detail))
