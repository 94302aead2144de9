"""One thing known, said three ways: as declared, as workers see it, as people see it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from discovery.model import Instance, RouteSpec, ServiceSpec
from gateway.admin.facts import InstanceFacts, RouteFacts
from gateway.snapshot.model import InstanceRecord, RouteRecord, ServiceRecord, Standby
from gateway.snapshot.resolve import Resolved
from healthcheck.model import Health

IN_RESERVE: Final = "well, and not used while a nearer datacenter has an eligible instance"


@dataclass(slots=True)
class Member:
    """An instance in its service. Times are seconds on the registry's clock."""

    instance: Instance
    cell: int
    health: Health
    since: float  # the last change of health or of the reason below
    detail: str  # what the last probe said
    healthy_since: float = -math.inf
    checks_ok: int = 0
    checks_failed: int = 0
    tier: int = 0  # 0: the service's own; n: of the datacenter `failover[n - 1]`
    origin: str = ""
    resolved: Resolved = field(default_factory=lambda: Resolved(False, Standby.NOT_PROBED, 0.0))

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

    def facts(self, unix_offset: float) -> InstanceFacts:
        """As people see it; `unix_offset` turns this clock into Unix time."""
        standby = self.resolved.standby
        is_reserve = standby is Standby.RESERVE
        is_discovery_s = standby in (Standby.CRITICAL, Standby.MAINTENANCE, Standby.PROVISIONAL)
        return InstanceFacts(
            address=self.instance.address,
            name=self.instance.name,
            cell=self.cell,
            weight=self.resolved.weight,
            eligible=self.resolved.eligible,
            reason=standby.slug,
            detail=self.instance.detail if is_discovery_s else IN_RESERVE if is_reserve else self.detail,
            health=self.health,
            since=self.since + unix_offset,
            checks_ok=self.checks_ok,
            checks_failed=self.checks_failed,
            origin=self.origin,
            datacenter=self.instance.datacenter,
        )


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
