"""The gateway's figures in Prometheus's text format, all workers together.

Workers never touch prometheus_client: they add to ledger words, and the families here are made
from those words whenever somebody scrapes. So a dead worker loses nothing, and a label lives only
as long as the thing it names: what is not in `Facts` now is not in the answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.admin.facts import Facts, RouteFacts
from gateway.admin.process import ProcessFigures, read_process
from gateway.admin.status import code_label, instance_totals
from gateway.shm.figures import LedgerTotals, RouteTotals, RowFigures
from gateway.shm.layout import (
    DURATION_BOUNDS,
    I_EJECTIONS,
    I_IN_FLIGHT,
    NO_ROUTE_CELL,
    OUTCOMES,
    PROPAGATION_BOUNDS,
)
from gateway.shm.ledger import Ledger

WELL = ("healthy", "unchecked")  # healthcheck.model.Health words that count as 1 in gw_instance_healthy

ReadProcess = Callable[[int], ProcessFigures | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """Facts and all counters that belong to them, at one moment: nothing in it changes any more."""

    facts: Facts
    instances: dict[int, tuple[int, ...]]  # by cell
    routes: dict[int, RouteTotals]  # by cell
    rows: dict[int, RowFigures]  # by worker
    totals: LedgerTotals
    propagation: tuple[tuple[int, ...], int]


def read_ledger(facts: Facts, ledger: Ledger) -> Reading:
    """What `families` needs. Quick, and to be called where the ledger is also retired from: it is not for threads."""
    return Reading(
        facts=facts,
        instances=instance_totals(facts, ledger),
        routes={cell: ledger.route_totals(cell) for cell in (NO_ROUTE_CELL, *(route.cell for route in facts.routes))},
        rows={worker.id: ledger.row(worker.id) for worker in facts.workers},
        totals=ledger.totals(),
        propagation=ledger.propagation_totals(),
    )


def families(reading: Reading, read: ReadProcess = read_process) -> list[Metric]:
    """Every family. `read` tells a process's figures by its pid. A second of work for thousands of instances."""
    return [
        *_requests(reading),
        *_instances(reading),
        *_workers(reading),
        *_control_plane(reading),
        *_processes(reading.facts, read),
    ]


def exposition(reading: Reading, accept: str) -> tuple[bytes, str]:
    """The body of /metrics in the format that the Accept header asks for, and its media type."""
    return render(families(reading), accept)


def render(families: Sequence[Metric], accept: str) -> tuple[bytes, str]:
    """The families in the format that the Accept header asks for, and its media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(families))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


class _Fixed(Collector):
    """Families collected already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def route_label(route: RouteFacts) -> str:
    """How a route is called in metrics: host and path as configured (not its methods, which would be lists)."""
    return route.host + route.path


def _requests(reading: Reading) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "gw_requests",
        "Requests answered, by route as configured (empty: no route matched).",
        labels=["route", "service", "code"],
    )
    durations = HistogramMetricFamily(
        "gw_request_duration_seconds",
        "From the request's first byte to the response's last.",
        labels=["route", "service"],
    )
    # Routes that differ in their methods alone share a label: one series has to hold them all.
    cells: dict[tuple[str, str], list[int]] = {("", ""): [NO_ROUTE_CELL]}
    for route in reading.facts.routes:
        cells.setdefault((route_label(route), route.service), []).append(route.cell)
    for labels, of_label in cells.items():
        codes: dict[int, int] = {}
        counts = [0] * (len(DURATION_BOUNDS) + 1)
        sum_us = 0
        for cell in of_label:
            totals = reading.routes[cell]
            for code, count in totals.codes.items():
                codes[code] = codes.get(code, 0) + count
            counts = [have + more for have, more in zip(counts, totals.buckets, strict=True)]
            sum_us += totals.sum_us
        for code in sorted(codes):
            requests.add_metric([*labels, code_label(code)], codes[code])
        durations.add_metric(labels, _cumulate(DURATION_BOUNDS, counts), sum_us / 1e6)
    yield requests
    yield durations


def _instances(reading: Reading) -> Iterator[Metric]:
    names = ["service", "instance"]
    attempts = CounterMetricFamily(
        "gw_upstream_attempts", "Attempts on an instance that have ended, retries included.", labels=[*names, "outcome"]
    )
    in_flight = GaugeMetricFamily("gw_in_flight", "Attempts under way on an instance.", labels=names)
    healthy = GaugeMetricFamily(
        "gw_instance_healthy", "1 if the gateway's own probes find it well, or it is not probed.", labels=names
    )
    eligible = GaugeMetricFamily("gw_instance_eligible", "1 if the instance takes traffic.", labels=names)
    checks = CounterMetricFamily("gw_health_checks", "Probes of an instance by result.", labels=[*names, "result"])
    ejections = CounterMetricFamily(
        "gw_instance_ejections", "Ejections of an instance for failing real traffic, by every worker.", labels=names
    )
    flaps = CounterMetricFamily("gw_instance_flaps", "Falls of an instance that was well.", labels=names)
    failing_open = GaugeMetricFamily(
        "gw_service_failing_open", "1 if unwell instances are used because too few are well.", labels=["service"]
    )
    for service in reading.facts.services:
        failing_open.add_metric([service.name], service.is_failing_open)
        for instance in service.instances:
            labels = [service.name, instance.address]
            flaps.add_metric(labels, instance.flaps)
            totals = reading.instances[instance.cell]
            for word, outcome in OUTCOMES:
                attempts.add_metric([*labels, outcome], totals[word])
            in_flight.add_metric(labels, totals[I_IN_FLIGHT])
            healthy.add_metric(labels, instance.health in WELL)
            eligible.add_metric(labels, instance.eligible)
            checks.add_metric([*labels, "ok"], instance.checks_ok)
            checks.add_metric([*labels, "failed"], instance.checks_failed)
            ejections.add_metric(labels, totals[I_EJECTIONS])
    yield from (attempts, in_flight, healthy, eligible, checks, ejections, flaps, failing_open)


def _workers(reading: Reading) -> Iterator[Metric]:
    connections = GaugeMetricFamily("gw_client_connections", "Client connections open.", labels=["worker"])
    idle = GaugeMetricFamily("gw_upstream_idle_connections", "Pooled connections to instances.", labels=["worker"])
    restarts = CounterMetricFamily("gw_worker_restarts", "Times a worker was replaced.", labels=["worker"])
    generation = GaugeMetricFamily("gw_snapshot_generation", "The generation that a worker uses.", labels=["worker"])
    for worker in reading.facts.workers:
        figures, labels = reading.rows[worker.id], [str(worker.id)]
        connections.add_metric(labels, figures.connections)
        idle.add_metric(labels, figures.upstream_idle)
        restarts.add_metric(labels, worker.restarts)
        generation.add_metric(labels, figures.generation)
    yield from (connections, idle, restarts, generation)

    totals = reading.totals
    for name, text, value in (
        ("gw_client_connections_accepted", "Client connections accepted.", totals.connections_total),
        ("gw_client_connections_refused", "Client connections refused over the limit.", totals.connections_refused),
        ("gw_received_bytes", "Bytes received from clients.", totals.bytes_in),
        ("gw_sent_bytes", "Bytes sent to clients.", totals.bytes_out),
        ("gw_retries", "Attempts beyond the first of a request.", totals.retries),
        ("gw_access_log_dropped_lines", "Access log lines dropped because the reader stalled.", totals.log_dropped),
        ("gw_crashes", "Requests lost to the gateway's own faults.", totals.crashes),
    ):
        yield CounterMetricFamily(name, text, value=value)


def _control_plane(reading: Reading) -> Iterator[Metric]:
    facts = reading.facts
    counts, sum_us = reading.propagation
    yield HistogramMetricFamily(
        "gw_snapshot_propagation_seconds",
        "From an accepted change to a worker using it.",
        buckets=_cumulate(PROPAGATION_BOUNDS, counts),
        sum_value=sum_us / 1e6,
    )
    success = GaugeMetricFamily(
        "gw_discovery_last_success_timestamp_seconds",
        "When a source of instances last answered; 0: never.",
        labels=["source"],
    )
    stale = GaugeMetricFamily("gw_discovery_stale", "1 if a source's instances are its last known.", labels=["source"])
    for source in facts.discovery:
        success.add_metric([source.source], source.last_success or 0.0)
        stale.add_metric([source.source], source.stale)
    yield from (success, stale)
    yield GaugeMetricFamily("gw_ready", "1 if the gateway is ready.", value=facts.ready and not facts.draining)
    yield GaugeMetricFamily("gw_problems", "Declarations that could not be honoured.", value=len(facts.problems))
    build = GaugeMetricFamily("gw_build_info", "Always 1; the label tells the version.", labels=["version"])
    build.add_metric([facts.version], 1)
    yield build


def _processes(facts: Facts, read: ReadProcess) -> Iterator[Metric]:
    cpu = CounterMetricFamily("process_cpu_seconds", "Processor time, user and system.", labels=["process"])
    resident = GaugeMetricFamily("process_resident_memory_bytes", "Resident memory.", labels=["process"])
    virtual = GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory.", labels=["process"])
    descriptors = GaugeMetricFamily("process_open_fds", "Open file descriptors.", labels=["process"])
    start = GaugeMetricFamily("process_start_time_seconds", "When the process started.", labels=["process"])
    pids = {"supervisor": os.getpid(), **{f"worker-{worker.id}": worker.pid for worker in facts.workers}}
    for process, pid in pids.items():
        figures = read(pid)
        if figures is None:  # between its end and its successor's start
            continue
        cpu.add_metric([process], figures.cpu_seconds)
        resident.add_metric([process], figures.resident_bytes)
        virtual.add_metric([process], figures.virtual_bytes)
        if figures.open_fds is not None:
            descriptors.add_metric([process], figures.open_fds)
        start.add_metric([process], figures.start_time)
    yield from (cpu, resident, virtual, descriptors, start)


def _cumulate(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Counts per bucket, the last one beyond every bound, as Prometheus's cumulative buckets."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
