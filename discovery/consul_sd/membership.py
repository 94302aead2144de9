"""Which registrations of a service count now. Pure; `now` is any steady clock, in seconds.

In an unbroken watch (each answer on the index of the one before) an instance that is no longer listed
is gone at once. After a break - an error, an index that went back - an answer that lacks known
instances proves little: an agent that restarted empty says "none" within 0.2 s. Those instances are
then provisional for a grace, marked so that only the ones passing the gateway's own probes stay in use.
What an answer adds, or calls critical, counts at once in either case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from discovery.consul_sd.decode import Registration

Key = tuple[str, str, str]  # node, service id, address: one that moved is another instance


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

    def apply(
        self, answer: Iterable[Registration], now: float, *, is_unbroken: bool, is_filtered: bool = False
    ) -> None:
        """Takes an answer. `is_filtered`: permissions hid a part of it, so that absence means nothing at all."""
        listed = {_key(each): each for each in answer}
        self._hides = is_filtered and not self._listed.keys() <= listed.keys()
        if is_filtered:
            listed = {**self._listed, **listed}
        elif not is_unbroken and self.grace > 0:
            for key, registration in self._listed.items():
                if key not in listed:
                    provisional = replace(registration.instance, provisional=True)
                    self._kept[key] = (replace(registration, instance=provisional), now + self.grace)
        for key in listed:
            self._kept.pop(key, None)
        self._listed = listed

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
