"""Who takes traffic, and why not: discovery, health, outliers, drains and damping in one decision table. Pure.

For one service at a time, in four steps:

1. The table. Each instance by itself; the first row that holds decides:

       MAINTENANCE   Consul says maintenance
       CRITICAL      Consul says critical
       DRAINING      an operator drains it
       ZERO_WEIGHT   its weight is 0
       NOT_PROBED    no probe has succeeded yet
       UNHEALTHY     the gateway's own probes fail
       EJECTED       passive outlier detection took it out
       HELD          it is well again, but it flaps (`gateway.supervisor.damping`)
       PROVISIONAL   after a break Consul's answer lacks it, or its checks have not run; it passes probes: takes traffic
       ELIGIBLE      takes traffic

2. The cap. Of the instances that would take traffic if none were EJECTED or HELD, at most `max_ejected_percent`
   (rounded down, never the last one) are; what is beyond that is not honoured: holds first, then ejections,
   the last in the order given first.
3. Failing open. When fewer than `fail_open_below` percent of the instances that ought to take traffic do, those
   that are not well (NOT_PROBED, UNHEALTHY, EJECTED, HELD) take it too, as FAIL_OPEN. What Consul or an operator
   took out stays out, and so does a provisional instance that passes no probes: Consul does not vouch for it. The
   percentage is of the instances less those that are draining, in maintenance or of weight 0
   (that is someone's will, no sign of trouble), not probed yet (a service that starts or grows is not in
   trouble) or gone from Consul.
4. Slow start. The weight of an instance that began to take traffic less than `slow_start` seconds ago grows
   linearly from 10 % to the whole, in steps of a tenth of `slow_start`, but of 0.05 to 1 second.

`max_in_flight` is not decided here: whether an instance is at its limit changes with every request, so workers
look at every pick, at the ledger's words of all workers. An instance at its limit stays eligible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from discovery.model import Standing
from gateway.snapshot.cap import most_out
from gateway.snapshot.model import Standby
from healthcheck.model import Health

SLOW_START_SHARE: Final = 0.1  # of the weight, at first
SLOW_START_STEPS: Final = (0.05, 1.0)  # seconds, at least and at most: each is a publication
_ROUNDING: Final = 1e-3  # of a step: `next_change` itself must count as reached


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """All that is known of one instance."""

    standing: Standing
    provisional: bool
    weight: int
    health: Health
    draining: bool
    ejected: bool  # by any worker, and not yet over
    held: bool  # by damping
    admitted_at: float  # when it began to take traffic; seconds, on the clock of `now`


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """The settings of the service that count here."""

    fail_open_below: int  # percent; 0: off
    slow_start: float  # seconds; 0: off
    max_ejected_percent: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """What becomes of one instance."""

    eligible: bool
    standby: Standby
    weight: float  # effective: slow start included
    row: Standby  # of the table: `standby` before the cap and failing open


@dataclass(frozen=True, slots=True)
class Resolution:
    """What becomes of a service's instances, in the order given."""

    instances: tuple[Resolved, ...]
    next_change: float  # when a weight grows next, on the clock of `now`; inf: no weight grows

    @property
    def is_failing_open(self) -> bool:
        return any(instance.standby is Standby.FAIL_OPEN for instance in self.instances)


# First match wins.
TABLE: Final[tuple[tuple[Standby, Callable[[InstanceFacts], bool]], ...]] = (
    (Standby.MAINTENANCE, lambda facts: facts.standing is Standing.MAINTENANCE),
    (Standby.CRITICAL, lambda facts: facts.standing is Standing.CRITICAL),
    (Standby.DRAINING, lambda facts: facts.draining),
    (Standby.ZERO_WEIGHT, lambda facts: facts.weight <= 0),
    (Standby.NOT_PROBED, lambda facts: facts.health is Health.UNKNOWN),
    (Standby.UNHEALTHY, lambda facts: facts.health is Health.UNHEALTHY),
    (Standby.EJECTED, lambda facts: facts.ejected),
    (Standby.HELD, lambda facts: facts.held),
    (Standby.PROVISIONAL, lambda facts: facts.provisional),
    (Standby.ELIGIBLE, lambda facts: True),
)
TAKES_TRAFFIC: Final = frozenset({Standby.ELIGIBLE, Standby.PROVISIONAL, Standby.FAIL_OPEN})
_NOT_WELL: Final = frozenset({Standby.NOT_PROBED, Standby.UNHEALTHY, Standby.EJECTED, Standby.HELD})
_IN_THE_SHARE: Final = frozenset(
    {Standby.ELIGIBLE, Standby.PROVISIONAL, Standby.CRITICAL, Standby.UNHEALTHY, Standby.EJECTED, Standby.HELD}
)
_PASSING: Final = frozenset({Health.HEALTHY, Health.UNCHECKED})


def resolve(facts: Sequence[InstanceFacts], rules: ServiceRules, now: float) -> Resolution:
    """Decides for all instances of one service, as of `now` (seconds)."""
    rows = [_look_up(each) for each in facts]
    standbys = _fail_open(facts, _cap(rows, facts, rules), rules)
    resolved: list[Resolved] = []
    next_change = math.inf
    for each, row, standby in zip(facts, rows, standbys, strict=True):
        weight, change = float(each.weight), math.inf
        if standby in (Standby.ELIGIBLE, Standby.PROVISIONAL):
            share, change = slow_start_share(each.admitted_at, rules.slow_start, now)
            weight *= share
        next_change = min(next_change, change)
        resolved.append(Resolved(standby in TAKES_TRAFFIC, standby, weight, row))
    return Resolution(tuple(resolved), next_change)


def _look_up(facts: InstanceFacts) -> Standby:
    return next(standby for standby, holds in TABLE if holds(facts))


def _cap(standbys: list[Standby], facts: Sequence[InstanceFacts], rules: ServiceRules) -> list[Standby]:
    """Takes back the ejections and holds that are too many."""
    ejected = [index for index, standby in enumerate(standbys) if standby is Standby.EJECTED]
    held = [index for index, standby in enumerate(standbys) if standby is Standby.HELD]
    out = ejected + held
    if not out:
        return standbys
    others = sum(standby in TAKES_TRAFFIC for standby in standbys)
    capped = list(standbys)
    for index in out[most_out(others + len(out), rules.max_ejected_percent) :]:
        capped[index] = Standby.PROVISIONAL if facts[index].provisional else Standby.ELIGIBLE
    return capped


def _fail_open(facts: Sequence[InstanceFacts], standbys: list[Standby], rules: ServiceRules) -> list[Standby]:
    """Lets the unwell take traffic when too few are left."""
    gone = [each.provisional and each.health not in _PASSING for each in facts]
    taking = sum(standby in TAKES_TRAFFIC for standby in standbys)
    meant = sum(standby in _IN_THE_SHARE and not out for standby, out in zip(standbys, gone, strict=True))
    if taking * 100 >= rules.fail_open_below * meant:
        return standbys
    return [
        Standby.FAIL_OPEN if standby in _NOT_WELL and not out else standby
        for standby, out in zip(standbys, gone, strict=True)
    ]


def slow_start_share(admitted_at: float, slow_start: float, now: float) -> tuple[float, float]:
    """The share of its weight (0.1 to 1) that an instance has now, and when that grows next (inf: it is whole)."""
    if slow_start <= 0 or now >= admitted_at + slow_start:
        return 1.0, math.inf
    least, most = SLOW_START_STEPS
    step = max(least, min(most, slow_start / 10))
    steps = math.floor(max(0.0, now - admitted_at) / step + _ROUNDING)
    share = SLOW_START_SHARE + (1 - SLOW_START_SHARE) * min(1.0, steps * step / slow_start)
    if share >= 1:
        return 1.0, math.inf
    return share, admitted_at + min((steps + 1) * step, slow_start)
