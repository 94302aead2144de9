"""Do nearly all targets fail at once? Then the prober's own network is the likelier cause. Pure.

Rules
- What counts is the turn from passing to failing. Targets that never passed say nothing.
- A turn is recent for as long as the caller says: about one interval, the time in which every target is asked once.
- A common failure begins when the recent turns are at least MIN_TARGETS and at least SHARE of all targets that ever
  passed, so that failures one by one never amount to it. It is over when fewer than half of those it took still fail.
- It is said, and changes no health: what cannot be reached from here takes no traffic from here.
"""

from __future__ import annotations

from healthcheck.model import Target

SHARE = 0.8
MIN_TARGETS = 3
_OVER = 0.5


class CommonFailure:
    """All targets' latest results. `now` is on any steady clock, in seconds."""

    __slots__ = ("_failing", "_passing", "_size", "_taken", "_turned")

    def __init__(self) -> None:
        self._passing: set[Target] = set()
        self._failing: set[Target] = set()  # those that passed once
        self._turned: dict[Target, float] = {}  # recently; until when that is so, the oldest first
        self._taken: set[Target] = set()  # failing since the common failure began, or turned since
        self._size = 0  # of those it took; 0: there is none

    def __repr__(self) -> str:
        return f"<CommonFailure {len(self._taken)} of {self._size}, {len(self._passing)} passing>"

    @property
    def text(self) -> str:
        """What a person should know; nothing, if nothing."""
        if not self._size:
            return ""
        hosts = len({target.address.rpartition(":")[0] for target in self._taken})
        count = len(self._taken)
        return (
            f"{count} of {count + len(self._passing)} instances ({hosts} address{'es' if hosts > 1 else ''}) began to "
            "fail their health checks at once: the gateway's own network is the likelier cause, check it first"
        )

    @property
    def is_on(self) -> bool:
        """Whether there is one now."""
        return self._size > 0

    def observe(self, target: Target, ok: bool, now: float, recent: float) -> None:
        """One result. `recent`: seconds for which a turn to failing counts as recent."""
        if ok:
            self._passing.add(target)
            self._failing.discard(target)
            self._turned.pop(target, None)
            self._taken.discard(target)
        elif target in self._passing:
            self._passing.remove(target)
            self._failing.add(target)
            if self._size:
                self._taken.add(target)
                self._size += 1
            else:
                self._turned[target] = now + recent
                self._begin(now)
        self._end()

    def forget(self, target: Target) -> None:
        """The target is gone."""
        self._passing.discard(target)
        self._failing.discard(target)
        self._turned.pop(target, None)
        if target in self._taken:
            self._taken.remove(target)
            self._size -= 1
        self._end()

    def _begin(self, now: float) -> None:
        while self._turned and (oldest := next(iter(self._turned))) and self._turned[oldest] < now:
            del self._turned[oldest]
        recent = len(self._turned)
        if recent >= MIN_TARGETS and recent >= SHARE * (len(self._failing) + len(self._passing)):
            self._taken, self._turned, self._size = set(self._turned), {}, recent

    def _end(self) -> None:
        if self._size and len(self._taken) < self._size * _OVER:
            self._taken, self._size = set(), 0
