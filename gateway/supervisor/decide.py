"""Decides anew for one service, and tells what that changed: transitions, flaps, failing open. Pure.

Times are seconds on the registry's clock; `unix_offset` turns them into Unix time for people.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from discovery.model import ServiceSpec
from gateway.admin.facts import TransitionFacts
from gateway.snapshot.failover import Choice, resolve_tiers
from gateway.snapshot.resolve import InstanceFacts, Resolution, Resolved, ServiceRules
from gateway.supervisor.history import ABSENT, CAME, LEFT, LOST, REFUTED, Cause, Change, Who, cause, is_flap
from gateway.supervisor.records import Member
from healthcheck.model import Target


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of it; the members themselves hold the rest."""

    changes: tuple[Change, ...]
    is_failing_open: bool
    tier: int  # in use, see snapshot.failover
    is_settled: bool
    next_change: float  # when the passing of time alone changes something; inf: never


def decide(
    spec: ServiceSpec,
    members: Collection[Member],
    ejected: Mapping[int, float],
    now: float,
    unix_offset: float,
    *,
    unanswered: frozenset[int],
    is_settled: bool,
) -> Decision:
    """Who takes traffic as of `now`.

    `ejected`: until when the cells are, of which workers say so. `unanswered`, `is_settled`: see snapshot.failover.
    """
    for member in members:
        until = ejected.get(member.cell, -math.inf)
        member.is_readmitted_early = until <= now < member.ejected_until
        member.ejected_until = until
    rules = ServiceRules(spec.fail_open_below, spec.slow_start, spec.outlier.max_ejected_percent)
    tiers = [member.tier for member in members]

    def choose() -> Choice:
        facts = [_facts(member, now) for member in members]
        return resolve_tiers(facts, tiers, rules, now, unanswered=unanswered, is_settled=is_settled)

    choice = choose()
    if _admit(members, choice.resolution, now) and spec.slow_start > 0:  # who begins to take traffic begins slowly
        choice = choose()
    changes: list[Change] = []
    next_change = choice.resolution.next_change
    for member, after in zip(members, choice.resolution.instances, strict=True):
        before, member.resolved = member.resolved, after
        if is_flap(before.row, after.row):
            member.past.flaps += 1
            member.past.damping.flap(now)
        if member.is_new or after.standby is not before.standby:
            made_by = _cause(member, before, after)
            member.since = now
            was = ABSENT if member.is_new else before.standby.slug
            member.is_new = False
            changes.append(note(spec.name, member, was, after.standby.slug, made_by, now, unix_offset))
        ends_at = member.until()
        next_change = min(next_change, math.inf if ends_at is None else ends_at)
    is_open = choice.resolution.is_failing_open
    return Decision(tuple(changes), is_open, choice.tier, choice.is_settled, next_change)


def leave(service: str, member: Member, now: float, unix_offset: float) -> Change:
    """The transition of a member that discovery lists no more."""
    was = ABSENT if member.is_new else member.resolved.standby.slug
    return note(service, member, was, ABSENT, LEFT, now, unix_offset)


def note(
    service: str, member: Member, before: str, after: str, made_by: Cause, now: float, unix_offset: float
) -> Change:
    """Put a transition into the member's history."""
    who = made_by.who or member.lister
    facts = TransitionFacts(
        at=now + unix_offset,
        before=before,
        after=after,
        reason=made_by.slug,
        who=who,
        detail=_detail(member, made_by, who, unix_offset),
    )
    member.past.transitions.append(facts)
    return Change(Target(service, member.instance.address), facts)


def _admit(members: Collection[Member], resolution: Resolution, now: float) -> bool:
    """Notes who begins to take traffic; True if anybody does."""
    pairs = zip(members, resolution.instances, strict=True)
    begin = [member for member, after in pairs if after.eligible and not member.resolved.eligible]
    for member in begin:
        member.admitted_at = now
    return bool(begin)


def _facts(member: Member, now: float) -> InstanceFacts:
    return InstanceFacts(
        standing=member.instance.standing,
        provisional=member.instance.provisional,
        weight=member.instance.weight,
        health=member.health,
        draining=member.drain is not None,
        ejected=member.ejected_until > now,
        held=member.past.damping.is_held(now),
        admitted_at=member.admitted_at,
    )


def _cause(member: Member, before: Resolved, after: Resolved) -> Cause:
    if member.is_new:
        return CAME
    made_by = cause(before, after)
    if made_by.slug == "ejection_over" and member.is_readmitted_early:
        return REFUTED if member.readmission else LOST
    return made_by


def _detail(member: Member, made_by: Cause, who: Who, unix_offset: float) -> str:
    """Why, in the words of who decided."""
    if made_by.slug in _DETAILS:
        return _DETAILS[made_by.slug]
    if made_by is REFUTED:
        return member.readmission
    match who:
        case _ if made_by in (CAME, LEFT):
            return f"{'listed' if made_by is CAME else 'no longer listed'} by {member.origin}"
        case _ if made_by.slug.startswith("weight"):
            return f"weight {member.instance.weight}"
        case Who.CONSUL:
            return member.instance.detail or "Consul's checks pass"
        case Who.PROBE:
            return member.detail
        case Who.OPERATOR if member.drain is None:
            return f"undrained by {member.undrained_by}"
    return member.reason_detail(unix_offset)


_DETAILS: Final = {
    "ejection_over": "its time is over",
    "ejection_lost": "the worker that ejected it is gone",
    "hold_over": "its time is over",
    "in_reserve": "a nearer datacenter has an eligible instance",
    "out_of_reserve": "no nearer datacenter has an eligible instance",
    "listed_again": "in Consul's answer again, and not critical",
    "fails_open": "too few instances take traffic (fail_open_below)",
    "fails_open_no_more": "enough instances take traffic again",
    "within_cap": "no longer too many are out (max_ejected_percent)",
    "over_cap": "too many would be out (max_ejected_percent)",
}
