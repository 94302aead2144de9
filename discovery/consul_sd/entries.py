"""Which entries of the KV count now. Pure; `now` is any steady clock, in seconds."""

from __future__ import annotations

from collections.abc import Mapping


class Entries:
    """The entries that count now: those listed, and those kept for a while after a break.

    As with instances, an answer on the index of the one before proves that what it lacks is gone; one after
    a break does not, and an agent that restarted empty says "none". `is_held`: the token may not read
    the prefix, so that absence means nothing at all.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.is_held = False
        self._listed: Mapping[str, bytes] = {}
        self._kept: dict[str, tuple[bytes, float]] = {}  # with the time it is given up

    def restore(self, known: Mapping[str, bytes]) -> None:
        """Starts from what was known before the first answer."""
        self._listed = known

    def apply(self, listed: Mapping[str, bytes], now: float, *, is_unbroken: bool) -> None:
        """Takes an answer."""
        if not is_unbroken:
            for key in self._listed.keys() - listed.keys():
                self._kept[key] = (self._listed[key], now + self.grace)
        self._kept = {key: kept for key, kept in self._kept.items() if key not in listed}
        self._listed = listed

    def current(self, now: float) -> tuple[tuple[str, bytes], ...]:
        """All that count at `now`, ordered by key."""
        if not self.is_held:
            self._kept = {key: kept for key, kept in self._kept.items() if kept[1] > now}
        return tuple(sorted({**{key: value for key, (value, _) in self._kept.items()}, **self._listed}.items()))

    @property
    def is_complete(self) -> bool:
        """Does the last answer list something, and all that was known?"""
        return bool(self._listed) and not self._kept

    def next_expiry(self) -> float:
        """When the next one kept is given up; infinity if none is."""
        return float("inf") if self.is_held else min((until for _, until in self._kept.values()), default=float("inf"))
