"""Which datacenter's instances take a service's traffic. Pure.

A service's instances are in tiers: its own (the file's, and those of its datacenter), then one tier for each
datacenter of `failover`, in that order. The first tier with an eligible instance is in use; what the others have
eligible is held in reserve. So traffic leaves with the last eligible instance and is back with the first.

- Instances that are used although they are not well (`fail_open_below`) do not count: another datacenter's
  healthy ones are better. Only when no tier has a healthy one does the first fail open.
- A service that has just appeared waits with its choice for a tier that is not known yet (not answered, not
  probed); else whichever answered first would be used for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.snapshot.model import Standby
from gateway.snapshot.resolve import InstanceFacts, Resolution, Resolved, ServiceRules, resolve


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of the instances, in the order given, and the tier in use."""

    resolution: Resolution
    tier: int
    is_settled: bool  # false: the service is new, and waits for what is not known yet


def resolve_tiers(
    facts: Sequence[InstanceFacts],
    tiers: Sequence[int],
    rules: ServiceRules,
    now: float,
    *,
    unanswered: frozenset[int] = frozenset(),
    is_settled: bool = True,
) -> Choice:
    """As `resolve`, for instances in tiers. `unanswered`: tiers of which discovery knows nothing yet."""
    if not any(tiers):
        return Choice(resolve(facts, rules, now), 0, is_settled)
    count = max(tiers) + 1
    strict = replace(rules, fail_open_below=0)
    places = [[place for place, tier in enumerate(tiers) if tier == wanted] for wanted in range(count)]
    resolutions = [resolve([facts[place] for place in each], strict, now) for each in places]
    pending = [
        tier in unanswered or any(each.standby is Standby.NOT_PROBED for each in resolution.instances)
        for tier, resolution in enumerate(resolutions)
    ]
    tier, is_settled = choose([_has_eligible(each) for each in resolutions], pending, is_settled=is_settled)
    resolutions[tier] = resolve([facts[place] for place in places[tier]], rules, now)
    resolved: list[Resolved] = [Resolved(False, Standby.RESERVE, 0.0, Standby.ELIGIBLE)] * len(facts)
    for number, resolution in enumerate(resolutions):
        for place, each in zip(places[number], resolution.instances, strict=True):
            is_reserve = number != tier and each.eligible
            resolved[place] = replace(each, eligible=False, standby=Standby.RESERVE) if is_reserve else each
    next_change = min(each.next_change for each in resolutions)
    return Choice(Resolution(tuple(resolved), next_change), tier, is_settled)


def choose(eligible: Sequence[bool], pending: Sequence[bool], *, is_settled: bool) -> tuple[int, bool]:
    """(the tier in use, whether the service has settled). The first tier if none has an eligible instance."""
    first = next((tier for tier, is_eligible in enumerate(eligible) if is_eligible), None)
    if first is None:
        return 0, is_settled
    if not is_settled and any(pending[:first]):
        return 0, False
    return first, True


def _has_eligible(resolution: Resolution) -> bool:
    return any(each.eligible for each in resolution.instances)
