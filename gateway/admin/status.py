"""The gateway's facts and counters as JSON: what /api/status, /api/routes and /api/services answer.

Pure: facts, ledger, clock and memory sizes come in, plain dicts go out. The TypedDicts are the
stable form that `gw status --json` prints; keys may be added, never renamed. Times are RFC 3339 in
UTC, durations seconds, sizes bytes; totals never go backward while the supervisor lives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, TypedDict

from discovery.model import Problem
from discovery.source import SourceState
from gateway.admin.facts import DrainFacts, Facts, InstanceFacts, ProbeFacts, RouteFacts, TransitionFacts, WorkerFacts
from gateway.admin.latency import quantile
from gateway.admin.process import Usage
from gateway.admin.traffic import Traffic, code_label, traffic
from gateway.admin.words import rfc3339
from gateway.shm.layout import (
    DURATION_BOUNDS,
    I_ATTEMPTS,
    I_CANCELLED,
    I_EJECTIONS,
    I_IN_FLIGHT,
    I_LATENCY,
    I_LATENCY_US,
    I_OK,
    I_STATUS,
    OUTCOMES,
)
from gateway.shm.ledger import Ledger

Time = Annotated[str, "date-time"]  # RFC 3339 in UTC
FAILURES = tuple(word for word, _ in OUTCOMES if word not in (I_OK, I_CANCELLED))  # a client that left is no failure


class WorkerStatus(TypedDict):
    """One worker process."""

    id: int  # its place among the workers, from 0; a replacement has the same
    pid: int
    state: str  # starting, serving, draining, restarting, orphaned
    generation: int  # of the snapshot it uses; 0: none yet
    connections: int  # of clients, open now
    in_flight: int
    requests_total: int
    restarts: int
    rss_bytes: int  # resident memory
    cpu_seconds_total: float  # user and system, of this process; 0 again after a restart of the worker
    started_at: Time


# One entry of an instance's history. `from` and `to` are reasons, as in InstanceStatus, or "absent".
TransitionStatus = TypedDict(
    "TransitionStatus",
    {
        "at": Time,
        "from": str,
        "to": str,
        "reason": str,  # what made it
        "who": str,  # consul, file, kv, probe, outlier, damping, operator, gateway
        "detail": str,
    },
)


class DrainStatus(TypedDict):
    """An address that an operator drains, whether an instance is there now or not."""

    address: str
    since: Time
    by: str
    listed: bool  # discovery knows an instance there
    in_flight: int


class ProbeStatus(TypedDict):
    """One probe of an instance."""

    at: Time  # when its result came
    ok: bool
    detail: str  # in plain words
    seconds: float  # it took


class InstanceStatus(TypedDict):
    """One instance, and whether and why it takes traffic."""

    address: str  # host:port
    name: str  # the host name it was resolved from, if any
    weight: float
    eligible: bool  # it takes traffic
    reason: str  # why, or why not: see instances.md
    detail: str  # the reason in plain words
    health: str  # by the gateway's own probes: unknown, healthy, unhealthy, unchecked
    since: Time  # the last change of health or reason
    in_flight: int
    requests_total: int  # attempts, retries included
    failures_total: int  # attempts without an answer, or with 502, 503 or 504
    responses_total: int  # attempts that got a response head
    latency_seconds_sum: float  # over responses_total, to the response head
    latency_counts: list[int]  # responses by Status.latency_bounds, one more for what is beyond
    latency_p50_seconds: float | None  # of all so far, estimated from the counts; None: no responses yet
    latency_p99_seconds: float | None
    ejections_total: int
    checks_ok: int  # probes
    checks_failed: int
    last_probe: ProbeStatus | None  # None: not probed yet, or never
    origin: str  # who lists it
    datacenter: str  # of Consul; empty for one that is not from Consul
    flaps: int  # falls of a well instance
    until: Time | None  # when an ejection or a hold ends by itself
    history: list[TransitionStatus]  # the last transitions, oldest first


class ServiceStatus(TypedDict):
    """One service and its instances."""

    name: str
    origin: str  # the place that declares it
    balance: str
    consul: str  # its name in Consul; empty: not discovered there
    datacenter: str  # whose instances are in use
    failover: list[str]  # the datacenters used when it has none eligible, in order
    failing_open: bool  # too few instances are eligible: all are used
    drains: list[DrainStatus]
    instances: list[InstanceStatus]


class RouteStatus(TypedDict):
    """One route in force."""

    path: str
    host: str
    methods: list[str]  # empty: all
    service: str
    strip_path: bool
    timeout: float
    retry_count: int
    options: str  # of its tag, where that has any (Fabio's)
    origin: str
    requests_total: int
    codes: dict[str, int]


class SourceStatus(TypedDict):
    """How far one source of instances can be trusted."""

    source: str  # static, consul, dns...
    stale: bool  # it does not answer now: what it said last stays in use
    stale_since: Time | None
    last_success: Time | None  # None: never
    error: str
    restored: bool  # it has not answered since the gateway started: what is known is from before


class ProblemStatus(TypedDict):
    """Something declared that could not be understood or honoured."""

    origin: str
    message: str


class ReloadStatus(TypedDict):
    """How reading the configuration again went; what the gateway started with counts as a success at its start."""

    succeeded: int  # the start not counted
    failed: int
    last_successful: bool
    last_success: Time  # when the configuration in force was read


class Status(TypedDict):
    """All of it: the body of /api/status."""

    name: str
    version: str
    config_file: str  # empty without one
    listen: list[str]  # as bound
    started_at: Time
    uptime_seconds: float
    generation: int  # of the newest snapshot
    ready: bool
    not_ready: list[str]  # why, in plain words
    draining: bool  # it is about to end
    workers: list[WorkerStatus]
    services: list[ServiceStatus]
    discovery: list[SourceStatus]
    problems: list[ProblemStatus]
    reloads: ReloadStatus
    traffic: Traffic
    latency_bounds: list[float]  # seconds, of every instance's latency_counts


class RouteTables(TypedDict):
    """The body of /api/routes."""

    generation: int
    routes: list[RouteStatus]
    problems: list[ProblemStatus]


class ServiceTables(TypedDict):
    """The body of /api/services."""

    generation: int
    services: list[ServiceStatus]
    problems: list[ProblemStatus]


def status(facts: Facts, ledger: Ledger, *, usage: Callable[[int], Usage], now: float) -> Status:
    """The body of /api/status. `usage` tells what a process uses by its pid; `now` is Unix seconds."""
    return Status(
        name=facts.name,
        version=facts.version,
        config_file=facts.config_file,
        listen=list(facts.listen),
        started_at=rfc3339(facts.started_at),
        uptime_seconds=round(max(0.0, now - facts.started_at), 3),
        generation=facts.generation,
        ready=facts.ready,
        not_ready=list(facts.not_ready),
        draining=facts.draining,
        workers=[worker_status(worker, ledger, usage) for worker in facts.workers],
        services=_services(facts, ledger),
        discovery=[_source(source) for source in facts.discovery],
        problems=[_problem(problem) for problem in facts.problems],
        reloads=ReloadStatus(
            succeeded=facts.reloads.succeeded,
            failed=facts.reloads.failed,
            last_successful=facts.reloads.is_last_good,
            last_success=rfc3339(facts.reloads.last_success),
        ),
        traffic=traffic(facts, ledger),
        latency_bounds=list(DURATION_BOUNDS),
    )


def routes(facts: Facts, ledger: Ledger) -> RouteTables:
    """The body of /api/routes."""
    return RouteTables(
        generation=facts.generation,
        routes=[route_status(route, ledger) for route in facts.routes],
        problems=[_problem(problem) for problem in facts.problems],
    )


def services(facts: Facts, ledger: Ledger) -> ServiceTables:
    """The body of /api/services."""
    return ServiceTables(
        generation=facts.generation,
        services=_services(facts, ledger),
        problems=[_problem(problem) for problem in facts.problems],
    )


def worker_status(worker: WorkerFacts, ledger: Ledger, usage: Callable[[int], Usage]) -> WorkerStatus:
    """One worker, with its counters."""
    figures, used = ledger.row(worker.id), usage(worker.pid)
    return WorkerStatus(
        id=worker.id,
        pid=worker.pid,
        state=worker.state,
        generation=figures.generation,
        connections=figures.connections,
        in_flight=figures.in_flight,
        requests_total=figures.requests_total,
        restarts=worker.restarts,
        rss_bytes=used.resident_bytes,
        cpu_seconds_total=used.cpu_seconds,
        started_at=rfc3339(worker.started_at),
    )


def instance_totals(cells: Collection[int], ledger: Ledger) -> dict[int, tuple[int, ...]]:
    """The summed ledger words of instances, by cell; read in one go, which thousands of them need."""
    if not cells:
        return {}
    first = min(cells)
    totals = ledger.instances_totals(first, max(cells) + 1)
    return {cell: totals[cell - first] for cell in cells}


def _services(facts: Facts, ledger: Ledger) -> list[ServiceStatus]:
    totals = instance_totals([each.cell for service in facts.services for each in service.instances], ledger)
    return [
        ServiceStatus(
            name=service.name,
            origin=service.origin,
            balance=service.balance,
            consul=service.consul,
            datacenter=service.datacenter,
            failover=list(service.failover),
            failing_open=service.is_failing_open,
            drains=[_drain(drain) for drain in service.drains],
            instances=[instance_status(instance, totals[instance.cell]) for instance in service.instances],
        )
        for service in facts.services
    ]


def instance_status(instance: InstanceFacts, totals: tuple[int, ...]) -> InstanceStatus:
    """One instance; `totals` are its summed ledger words."""
    latencies = totals[I_LATENCY:]
    return InstanceStatus(
        address=instance.address,
        name=instance.name,
        weight=instance.weight,
        eligible=instance.eligible,
        reason=instance.reason,
        detail=instance.detail,
        health=instance.health,
        since=rfc3339(instance.since),
        in_flight=totals[I_IN_FLIGHT],
        requests_total=totals[I_ATTEMPTS],
        failures_total=sum(totals[word] for word in FAILURES),
        responses_total=totals[I_OK] + totals[I_STATUS],
        latency_seconds_sum=totals[I_LATENCY_US] / 1e6,
        latency_counts=list(latencies),
        latency_p50_seconds=quantile(0.5, DURATION_BOUNDS, latencies),
        latency_p99_seconds=quantile(0.99, DURATION_BOUNDS, latencies),
        ejections_total=totals[I_EJECTIONS],
        checks_ok=instance.checks_ok,
        checks_failed=instance.checks_failed,
        last_probe=None if instance.last_probe is None else _probe(instance.last_probe),
        origin=instance.origin,
        datacenter=instance.datacenter,
        flaps=instance.flaps,
        until=None if instance.until is None else rfc3339(instance.until),
        history=[_transition(each) for each in instance.history],
    )


def _probe(facts: ProbeFacts) -> ProbeStatus:
    return ProbeStatus(at=rfc3339(facts.at), ok=facts.ok, detail=facts.detail, seconds=round(facts.seconds, 6))


def _transition(facts: TransitionFacts) -> TransitionStatus:
    return {
        "at": rfc3339(facts.at),
        "from": facts.before,
        "to": facts.after,
        "reason": facts.reason,
        "who": facts.who,
        "detail": facts.detail,
    }


def _drain(facts: DrainFacts) -> DrainStatus:
    return DrainStatus(
        address=facts.address,
        since=rfc3339(facts.since),
        by=facts.by,
        listed=facts.is_listed,
        in_flight=facts.in_flight,
    )


def route_status(route: RouteFacts, ledger: Ledger) -> RouteStatus:
    """One route, with its counters."""
    codes = ledger.route_totals(route.cell).codes
    return RouteStatus(
        path=route.path,
        host=route.host,
        methods=list(route.methods),
        service=route.service,
        strip_path=route.strip_path,
        timeout=route.timeout,
        retry_count=route.retry_count,
        options=route.options,
        origin=route.origin,
        requests_total=sum(codes.values()),
        codes={code_label(code): count for code, count in sorted(codes.items())},
    )


def _source(source: SourceState) -> SourceStatus:
    return SourceStatus(
        source=source.source,
        stale=source.stale,
        stale_since=None if source.stale_since is None else rfc3339(source.stale_since),
        last_success=None if source.last_success is None else rfc3339(source.last_success),
        error=source.error,
        restored=source.is_restored,
    )


def _problem(problem: Problem) -> ProblemStatus:
    return ProblemStatus(origin=str(problem.origin), message=problem.message)
