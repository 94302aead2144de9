"""What became of an instance, who decided it and why: its last transitions. Pure.

A transition is a change of the reason in status (`Standby`), or an instance's coming or leaving ("absent").
Who decided needs no guessing: the decision table's first row that holds counts, so between two rows it is
the higher one that began or ceased to hold, and whoever that row belongs to decided.

An instance that leaves keeps its past for `KEPT` seconds, and has it back if it returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.admin.facts import TransitionFacts
from gateway.snapshot.model import Standby
from gateway.snapshot.resolve import TABLE, Resolved
from gateway.supervisor.damping import Damping
from healthcheck.model import Target

LENGTH: Final = 32  # transitions kept of an instance
KEPT: Final = 3600.0  # seconds, after an instance left
MOST_KEPT: Final = 4096  # instances that left
ABSENT: Final = "absent"  # before an instance came and after it left


class Who(StrEnum):
    """Who decided a transition."""

    CONSUL = "consul"
    FILE = "file"
    KV = "kv"
    PROBE = "probe"  # the gateway's own
    OUTLIER = "outlier"  # a worker, by real traffic
    DAMPING = "damping"
    OPERATOR = "operator"
    GATEWAY = "gateway"  # what all instances of the service together made necessary


@dataclass(frozen=True, slots=True)
class Cause:
    """What makes a transition."""

    who: Who | None  # None: the source that lists the instance
    slug: str  # the reason of the transition


# By row: whose it is, and why it begins and ceases to hold.
CAUSES: Final[dict[Standby, tuple[Who | None, str, str]]] = {
    Standby.MAINTENANCE: (Who.CONSUL, "maintenance_begun", "maintenance_over"),
    Standby.CRITICAL: (Who.CONSUL, "check_critical", "check_passing"),
    Standby.DRAINING: (Who.OPERATOR, "drained", "undrained"),
    Standby.ZERO_WEIGHT: (None, "weight_zero", "weight_given"),
    Standby.NOT_PROBED: (Who.PROBE, "not_probed", "probed"),
    Standby.UNHEALTHY: (Who.PROBE, "probes_failed", "probes_passed"),
    Standby.EJECTED: (Who.OUTLIER, "ejected", "ejection_over"),
    Standby.HELD: (Who.DAMPING, "held", "hold_over"),
    Standby.PROVISIONAL: (None, "unlisted", "listed_again"),
}
_RANKS: Final = {standby: rank for rank, (standby, _) in enumerate(TABLE)}
CAME: Final = Cause(None, "came")
LEFT: Final = Cause(None, "left")
REFUTED: Final = Cause(Who.PROBE, "ejection_refuted")  # a probe connected, where an attempt could not
LOST: Final = Cause(Who.OUTLIER, "ejection_lost")  # with the worker that decided it
FELL: Final = frozenset({Standby.UNHEALTHY, Standby.CRITICAL})  # rows that a flap ends in
WELL: Final = frozenset({Standby.EJECTED, Standby.HELD, Standby.PROVISIONAL, Standby.ELIGIBLE})  # and begins in


def cause(before: Resolved, after: Resolved) -> Cause:
    """Why and by whom `before` became `after`, their standbys being different."""
    if before.row is not after.row:
        began = _RANKS[after.row] < _RANKS[before.row]
        who, begun, over = CAUSES[after.row if began else before.row]
        return Cause(who, begun if began else over)
    if Standby.FAIL_OPEN in (before.standby, after.standby):
        return Cause(Who.GATEWAY, "fails_open" if after.standby is Standby.FAIL_OPEN else "fails_open_no_more")
    if Standby.RESERVE in (before.standby, after.standby):
        return Cause(Who.GATEWAY, "in_reserve" if after.standby is Standby.RESERVE else "out_of_reserve")
    # An ejection or a hold that is honoured now, or no longer, because of the others.
    return Cause(Who.GATEWAY, "within_cap" if after.standby is after.row else "over_cap")


def is_flap(before: Standby, after: Standby) -> bool:
    """Whether going from one row to another is a fall of an instance that was well."""
    return before in WELL and after in FELL


@dataclass(slots=True)
class Past:
    """What is kept of an instance over everything but a long absence."""

    transitions: deque[TransitionFacts] = field(default_factory=lambda: deque(maxlen=LENGTH))
    flaps: int = 0  # in all
    damping: Damping = field(default_factory=Damping)


@dataclass(frozen=True, slots=True)
class Change:
    """One transition of one instance, for the log."""

    target: Target
    facts: TransitionFacts


class Archive:
    """The pasts of instances that left."""

    def __init__(self) -> None:
        self._left: dict[Target, tuple[float, Past]] = {}  # in order of leaving

    def keep(self, target: Target, past: Past, now: float) -> None:
        """The instance leaves."""
        self._left.pop(target, None)
        self._left[target] = (now, past)
        for old in self._expired(now):
            del self._left[old]
        if len(self._left) > MOST_KEPT:
            del self._left[next(iter(self._left))]

    def take(self, target: Target, now: float) -> Past:
        """The past of an instance that comes: its own if it was here not long ago, else an empty one."""
        left_at, past = self._left.pop(target, (now, None))
        return past if past is not None and now - left_at <= KEPT else Past()

    def _expired(self, now: float) -> Iterable[Target]:
        expired: list[Target] = []
        for target, (left_at, _) in self._left.items():
            if now - left_at <= KEPT:
                break
            expired.append(target)
        return expired
