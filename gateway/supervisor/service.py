"""One service as the registry knows it: its members, what was decided of them last, and what that changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from discovery.model import ServiceSpec
from gateway.admin.facts import DrainFacts, ServiceFacts, ServiceFigures
from gateway.snapshot.model import ServiceRecord
from gateway.supervisor.decide import decide
from gateway.supervisor.history import Change
from gateway.supervisor.records import Member


@dataclass(frozen=True, slots=True)
class Move:
    """A service's traffic has gone from one datacenter to another."""

    service: str
    previous: str
    datacenter: str
    is_home: bool  # back in the service's own


@dataclass(frozen=True, slots=True)
class FailOpen:
    """A service begins to fail open, or ceases to."""

    service: str
    is_open: bool
    message: str


News = Change | FailOpen | Move


@dataclass(slots=True)
class Service:
    """See the module."""

    spec: ServiceSpec
    record: ServiceRecord  # as workers see it
    members: dict[str, Member] = field(default_factory=dict)  # by address
    tier: int = 0  # in use, see snapshot.failover
    is_settled: bool = False
    is_failing_open: bool = False

    @property
    def may_move(self) -> bool:
        """May a source that is heard of, or falls silent, change who takes traffic?"""
        return bool(self.spec.failover) and not self.is_settled

    def datacenter(self) -> str:
        """The one in use; "" if it has no instance of Consul there."""
        if self.tier:
            return self.spec.failover[self.tier - 1]
        own = (member.instance.datacenter for member in self.members.values() if member.tier == 0)
        return self.spec.datacenter or next(filter(None, own), "")

    def fail_open_message(self) -> str:
        """What a person should know while it fails open."""
        return (
            f"service {self.spec.name!r} fails open: less than fail_open_below = {self.spec.fail_open_below} % of its "
            "instances are well, so all are used but those that Consul or an operator took out"
        )

    def decide(
        self, ejected: Mapping[int, float], unanswered: frozenset[int], now: float, unix_offset: float
    ) -> tuple[list[News], float]:
        """Decide anew, as `gateway.supervisor.decide`; what that changed, and when time alone changes something."""
        name, previous = self.spec.name, self.datacenter()
        decision = decide(
            self.spec,
            self.members.values(),
            ejected,
            now,
            unix_offset,
            unanswered=unanswered,
            is_settled=self.is_settled,
        )
        news: list[News] = [*decision.changes]
        has_moved = decision.tier != self.tier
        self.tier, self.is_settled = decision.tier, decision.is_settled
        if has_moved:
            news.append(Move(name, previous, self.datacenter(), not decision.tier))
        if decision.is_failing_open != self.is_failing_open:
            self.is_failing_open = decision.is_failing_open
            news.append(FailOpen(name, decision.is_failing_open, self.fail_open_message()))
        return news, decision.next_change

    def figures(self) -> ServiceFigures:
        """As metrics see it."""
        instances = tuple(member.figures() for member in self.members.values())
        return ServiceFigures(self.spec.name, self.is_failing_open, instances)

    def facts(self, unix_offset: float, drains: tuple[DrainFacts, ...]) -> ServiceFacts:
        """As people see it."""
        return ServiceFacts(
            name=self.spec.name,
            origin=str(self.spec.origin),
            balance=self.spec.balance,
            consul=self.spec.consul,
            datacenter=self.datacenter(),
            failover=self.spec.failover,
            instances=tuple(member.facts(unix_offset) for member in self.members.values()),
            is_failing_open=self.is_failing_open,
            drains=drains,
        )
