"""What one gateway leaves to the one that replaces it: what it knows of instances, and what operators want. Pure.

Without it the successor would begin with instances that nobody has probed, put back what an operator has drained, and
forget who has been flapping. Its form is JSON; `version` is of its meaning, and a heritage of another version is not
used. Times are CLOCK_MONOTONIC in seconds, which all processes of a machine share, or Unix time where people see them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from gateway.admin.facts import TransitionFacts
from gateway.snapshot.model import Standby
from gateway.snapshot.resolve import Resolved
from gateway.supervisor.damping import Damping
from gateway.supervisor.drains import Drain
from gateway.supervisor.history import Past
from gateway.supervisor.records import Member
from healthcheck.model import Health, Target, Verdict

VERSION: Final = 1
LASTS: Final = 60.0  # seconds in which an instance must be listed for what is known of it to be used

Heirlooms = Mapping[Target, "Heirloom"]


@dataclass(frozen=True, slots=True)
class Heirloom:
    """What was known of one instance."""

    health: Health
    detail: str
    since: float
    admitted_at: float
    checks_ok: int
    checks_failed: int
    resolved: Resolved
    past: Past
    last_probe: Verdict | None
    probed_at: float

    @staticmethod
    def of(member: Member) -> Heirloom:
        return Heirloom(
            member.health,
            member.detail,
            member.since,
            member.admitted_at,
            member.checks_ok,
            member.checks_failed,
            member.resolved,
            member.past,
            member.last_probe,
            member.probed_at,
        )

    def restore(self, member: Member) -> None:
        """The member is as it was, but for what its health is if it is not to be probed."""
        if member.health is not Health.UNCHECKED:
            member.health, member.detail = self.health, self.detail
        member.since, member.admitted_at = self.since, self.admitted_at
        member.checks_ok, member.checks_failed = self.checks_ok, self.checks_failed
        member.last_probe, member.probed_at = self.last_probe, self.probed_at
        member.resolved, member.past, member.is_new = self.resolved, self.past, False


@dataclass(frozen=True, slots=True)
class Heritage:
    """All of it."""

    at: float = -math.inf  # when it was left
    heirlooms: Heirlooms = field(default_factory=dict)
    drains: Mapping[Target, Drain] = field(default_factory=dict)

    def restore(self, target: Target, member: Member, now: float) -> None:
        """An instance comes now: it is as it was, if it was known."""
        heirloom = self.heirlooms.get(target)
        if heirloom is not None and now - self.at <= LASTS:
            heirloom.restore(member)


def encode(heritage: Heritage) -> bytes:
    """See `decode`."""
    heirlooms = [[*target, _plain(heirloom)] for target, heirloom in heritage.heirlooms.items()]
    drains = [[*target, drain.since, drain.by] for target, drain in heritage.drains.items()]
    return json.dumps({"version": VERSION, "at": heritage.at, "heirlooms": heirlooms, "drains": drains}).encode()


def decode(content: bytes) -> Heritage:
    """Raises ValueError for anything that `encode` of this version did not make."""
    try:
        fields = json.loads(content)
        if fields["version"] != VERSION:
            raise ValueError(f"it is of version {fields['version']}, not {VERSION}")
        return Heritage(
            at=float(fields["at"]),
            heirlooms={Target(service, address): _heirloom(each) for service, address, each in fields["heirlooms"]},
            drains={Target(service, address): Drain(since, by) for service, address, since, by in fields["drains"]},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not as expected: {error!r}") from error


def _plain(heirloom: Heirloom) -> dict[str, Any]:
    fields = asdict(heirloom)
    fields["past"]["transitions"] = [asdict(each) for each in heirloom.past.transitions]
    fields["resolved"] |= {"standby": heirloom.resolved.standby.name, "row": heirloom.resolved.row.name}
    return fields


def _heirloom(fields: dict[str, Any]) -> Heirloom:
    resolved, past = fields.pop("resolved"), fields.pop("past")
    probe = fields.pop("last_probe")
    standby, row = Standby[resolved.pop("standby")], Standby[resolved.pop("row")]
    return Heirloom(
        health=Health(fields.pop("health")),
        resolved=Resolved(**resolved, standby=standby, row=row),
        past=_past(past["transitions"], past["flaps"], past["damping"]),
        last_probe=None if probe is None else Verdict(**probe),
        **fields,
    )


def _past(transitions: Iterable[Mapping[str, Any]], flaps: int, damping: Mapping[str, Any]) -> Past:
    past = Past(flaps=flaps, damping=Damping(**damping))
    past.transitions.extend(TransitionFacts(**each) for each in transitions)
    return past
