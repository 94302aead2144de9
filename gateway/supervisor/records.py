"""One thing known, said three ways: as declared, as workers see it, as people see it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from discovery.model import Instance, RouteSpec, ServiceSpec
from gateway.admin.facts import InstanceFacts, InstanceFigures, ProbeFacts, RouteFacts
from gateway.snapshot.model import InstanceRecord, RouteRecord, ServiceRecord, Standby
from gateway.snapshot.resolve import Resolved
from gateway.supervisor.drains import Drain
from gateway.supervisor.history import Past, Who
from healthcheck.model import Health, Verdict

WELL: Final = frozenset((Health.HEALTHY, Health.UNCHECKED))
IN_RESERVE: Final = "well, and not used while a nearer datacenter has an eligible instance"


@dataclass(slots=True)
class Member:
    """An instance in its service. Times are seconds on the registry's clock."""

    instance: Instance
    cell: int
    health: Health
    since: float  # the last change of health or of the reason below
    detail: str  # what the last probe said
    past: Past
    admitted_at: float = -math.inf  # when it last began to take traffic
    checks_ok: int = 0
    checks_failed: int = 0
    last_probe: Verdict | None = None
    probed_at: float = -math.inf  # when its result came
    tier: int = 0  # 0: the service's own; n: of the datacenter `failover[n - 1]`
    origin: str = ""  # who lists it: "file", "kv", "consul dc1", "file, consul dc1"
    drain: Drain | None = None
    undrained_by: str = ""  # the operator who ended the last drain
    ejection: str = ""  # what the worker that ejected it said
    readmission: str = ""  # what the last worker that took it back before its time said
    is_readmitted_early: bool = False  # just now
    ejected_until: float = -math.inf
    is_new: bool = True  # not resolved yet
    resolved: Resolved = field(
        default_factory=lambda: Resolved(eligible=False, standby=Standby.NOT_PROBED, weight=0.0, row=Standby.NOT_PROBED)
    )

    @property
    def lister(self) -> Who:
        """Who lists it; the file (or KV), if Consul does as well."""
        return Who(re.split("[ ,]", self.origin)[0])

    @property
    def is_unjudged(self) -> bool:
        """No probe has said anything of it yet."""
        return self.health is Health.UNKNOWN and not self.checks_ok and not self.checks_failed

    def probed(self, verdict: Verdict, now: float) -> None:
        """The result of a probe: counted, and shown as the reason."""
        self.detail, self.last_probe, self.probed_at = verdict.detail, verdict, now
        if verdict.ok:
            self.checks_ok += 1
        else:
            self.checks_failed += 1

    def record(self) -> InstanceRecord:
        """As workers see it."""
        return InstanceRecord(
            cell=self.cell,
            host=self.instance.host,
            port=self.instance.port,
            weight=self.resolved.weight,
            eligible=self.resolved.eligible,
            standby=self.resolved.standby,
            name=self.instance.name,
        )

    def figures(self) -> InstanceFigures:
        """As metrics see it."""
        return InstanceFigures(
            self.instance.address,
            self.cell,
            self.health in WELL,
            self.resolved.eligible,
            self.checks_ok,
            self.checks_failed,
            self.past.flaps,
        )

    def facts(self, unix_offset: float) -> InstanceFacts:
        """As people see it; `unix_offset` turns this clock into Unix time."""
        until = self.until()
        return InstanceFacts(
            address=self.instance.address,
            name=self.instance.name,
            cell=self.cell,
            weight=self.resolved.weight,
            eligible=self.resolved.eligible,
            reason=self.resolved.standby.slug,
            detail=self.reason_detail(unix_offset),
            health=self.health,
            since=self.since + unix_offset,
            checks_ok=self.checks_ok,
            checks_failed=self.checks_failed,
            origin=self.origin,
            datacenter=self.instance.datacenter,
            flaps=self.past.flaps,
            until=None if until is None else until + unix_offset,
            history=tuple(self.past.transitions),
            last_probe=self._probe_facts(unix_offset),
        )

    def _probe_facts(self, unix_offset: float) -> ProbeFacts | None:
        last = self.last_probe
        if last is None:
            return None
        return ProbeFacts(self.probed_at + unix_offset, last.ok, last.detail, last.duration)

    def until(self) -> float | None:
        """When the row that holds now ceases to by itself; None: it does not."""
        match self.resolved.row:
            case Standby.EJECTED:
                return self.ejected_until
            case Standby.HELD:
                return self.past.damping.held_until
        return None

    def reason_detail(self, unix_offset: float) -> str:
        """The reason in plain words."""
        row = self.resolved.row
        if self.resolved.standby is Standby.RESERVE:
            return IN_RESERVE
        match row:
            case Standby.CRITICAL | Standby.MAINTENANCE | Standby.PROVISIONAL:
                return self.instance.detail
            case Standby.DRAINING if self.drain:
                return f"drained by {self.drain.by}"
            case Standby.EJECTED:
                words = (
                    f"{self.ejection or 'failed on real traffic'}; until {clock_time(self.ejected_until + unix_offset)}"
                )
            case Standby.HELD:
                until = clock_time(self.past.damping.held_until + unix_offset)
                words = f"flapped {self.past.flaps} times; held until {until}"
            case _:
                return self.detail
        if self.resolved.standby in (row, Standby.FAIL_OPEN):
            return words
        return f"{words}; used all the same: too many would be out (max_ejected_percent)"


def new_member(
    instance: Instance, cell: int, now: float, past: Past, drain: Drain | None, *, is_exempt: bool
) -> Member:
    """An instance that comes; `is_exempt`: no probe will ever say how it is."""
    health = Health.UNCHECKED if is_exempt else Health.UNKNOWN
    detail = "not checked: health type is none" if is_exempt else "not probed yet"
    return Member(instance, cell, health, now, detail, past, drain=drain)


def clock_time(at: float) -> str:
    """Unix seconds as the time of day in UTC: 23:59:59Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%SZ")


def service_record(spec: ServiceSpec, version: int, members: Iterable[Member]) -> ServiceRecord:
    """A service as workers see it."""
    return ServiceRecord(
        name=spec.name,
        version=version,
        balance=spec.balance,
        hash_on=spec.hash_on,
        connect_timeout=spec.connect_timeout,
        max_in_flight=spec.max_in_flight,
        keepalive_idle=spec.keepalive_idle,
        consecutive_failures=spec.outlier.consecutive_failures,
        eject_time=spec.outlier.eject_time,
        max_ejected_percent=spec.outlier.max_ejected_percent,
        instances=tuple(member.record() for member in members),
    )


def route_record(spec: RouteSpec, cell: int) -> RouteRecord:
    """A route as workers see it."""
    return RouteRecord(
        cell=cell,
        path=spec.path,
        host=spec.host,
        methods=spec.methods,
        service=spec.service,
        strip_path=spec.strip_path,
        timeout=spec.timeout,
        per_try_timeout=spec.per_try_timeout,
        stream_idle_timeout=spec.stream_idle_timeout,
        retry_count=spec.retry_count,
        headers=spec.headers,
        handling=spec.handling,
        share=spec.share,
        is_refused=spec.is_refused,
        log_sample=spec.log_sample,
    )


def route_facts(spec: RouteSpec, cell: int) -> RouteFacts:
    """A route as people see it."""
    return RouteFacts(
        cell=cell,
        path=spec.path,
        host=spec.host,
        methods=spec.methods,
        service=spec.service,
        strip_path=spec.strip_path,
        timeout=spec.timeout,
        retry_count=spec.retry_count,
        options=spec.options,
        origin=str(spec.origin),
    )
