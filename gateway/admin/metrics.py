"""What /metrics tells: the rows of every family, from facts and ledger, all workers together.

Workers never touch prometheus_client: they add to ledger words, and the rows here are made
from those words whenever somebody scrapes. So a dead worker loses nothing, and a label lives only
as long as the thing it names: what is not in `Facts` now is not in the answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from typing import Final

from gateway.admin import families as f
from gateway.admin.exposition import Measured, Values
from gateway.admin.facts import Facts, RouteFacts, ServiceFigures, TraceFacts
from gateway.admin.families import Labels
from gateway.admin.process import ProcessFigures, read_process
from gateway.admin.status import instance_totals
from gateway.admin.traffic import code_label
from gateway.shm.figures import LedgerTotals, RouteTotals, RowFigures
from gateway.shm.layout import (
    DURATION_BOUNDS,
    I_EJECTIONS,
    I_IN_FLIGHT,
    I_LATENCY,
    I_LATENCY_US,
    NO_ROUTE_CELL,
    OUTCOMES,
)
from gateway.shm.ledger import Ledger

ReadProcess = Callable[[int], ProcessFigures | None]
Rows = list[tuple[Labels, Values]]

_outcomes: Final = itemgetter(*(word for word, _ in OUTCOMES))


@dataclass(frozen=True, slots=True)
class Reading:
    """Facts and all counters that belong to them, at one moment: nothing in it changes any more."""

    facts: Facts  # less the services
    services: Sequence[ServiceFigures]
    at: float  # Unix seconds
    instances: dict[int, tuple[int, ...]]  # by cell
    routes: dict[int, RouteTotals]  # by cell
    rows: dict[int, RowFigures]  # by worker
    totals: LedgerTotals
    propagation: tuple[tuple[int, ...], int]


def read_ledger(facts: Facts, services: Sequence[ServiceFigures], ledger: Ledger, now: float) -> Reading:
    """What `measure` needs; `now` is Unix seconds. Quick, and not for threads: the ledger is also retired from."""
    return Reading(
        facts=facts,
        services=services,
        at=now,
        instances=instance_totals([each.cell for service in services for each in service.instances], ledger),
        routes={cell: ledger.route_totals(cell) for cell in (NO_ROUTE_CELL, *(route.cell for route in facts.routes))},
        rows={worker.id: ledger.row(worker.id) for worker in facts.workers},
        totals=ledger.totals(),
        propagation=ledger.propagation_totals(),
    )


def measure(reading: Reading, read: ReadProcess = read_process) -> list[Measured]:
    """Every family, in the order of `families.FAMILIES`. `read` tells a process's figures by its pid."""
    return [
        *_requests(reading),
        *_totals(reading.totals, reading.facts.traces),
        *_instances(reading),
        *_services(reading.services),
        *_workers(reading),
        *_control_plane(reading),
        *_processes(reading.facts, read),
    ]


def route_label(route: RouteFacts) -> str:
    """How a route is called in metrics: host and path as configured (not its methods, which would be lists)."""
    return route.host + route.path


def _requests(reading: Reading) -> Iterator[Measured]:
    # Routes that differ in their methods alone share a label: one series has to hold them all.
    cells: dict[Labels, list[int]] = {("", ""): [NO_ROUTE_CELL]}
    for route in reading.facts.routes:
        cells.setdefault((route_label(route), route.service), []).append(route.cell)
    requests: Rows = []
    durations: Rows = []
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
        requests += [((*labels, code_label(code)), (codes[code],)) for code in sorted(codes)]
        durations.append((labels, histogram(counts, sum_us)))
    yield Measured((f.REQUESTS,), requests)
    yield Measured((f.DURATIONS,), durations)


def _totals(totals: LedgerTotals, traces: TraceFacts) -> Iterator[Measured]:
    yield _one(f.RETRIES, totals.retries)
    yield _one(f.CRASHES, totals.crashes)
    yield _one(f.RECEIVED, totals.bytes_in)
    yield _one(f.SENT, totals.bytes_out)
    yield _one(f.LOG_DROPPED, totals.log_dropped)
    dropped = traces.dropped + totals.spans_dropped
    yield Measured((f.TRACE_SPANS,), [((), (traces.exported, traces.failed, dropped))])
    yield _one(f.ACCEPTED, totals.connections_total)
    yield _one(f.REFUSED, totals.connections_refused)
    yield _one(f.ACCEPT_ERRORS, totals.accept_errors)


def _instances(reading: Reading) -> Iterator[Measured]:
    families = (f.ATTEMPTS, f.LATENCIES, f.IN_FLIGHT, f.HEALTHY, f.ELIGIBLE, f.CHECKS, f.EJECTIONS, f.FLAPS)
    rows: Rows = []
    for service in reading.services:
        for address, cell, is_well, eligible, checks_ok, checks_failed, flaps in service.instances:
            totals = reading.instances[cell]
            values = (
                *_outcomes(totals),
                *histogram(totals[I_LATENCY:], totals[I_LATENCY_US]),
                totals[I_IN_FLIGHT],
                is_well,
                eligible,
                checks_ok,
                checks_failed,
                totals[I_EJECTIONS],
                flaps,
            )
            rows.append(((service.name, address), values))
    yield Measured(families, rows)


def _services(services: Sequence[ServiceFigures]) -> Iterator[Measured]:
    rows: Rows = [
        (
            (each.name,),
            (len(each.instances), sum(instance.eligible for instance in each.instances), each.is_failing_open),
        )
        for each in services
    ]
    yield Measured((f.INSTANCES, f.ELIGIBLE_INSTANCES, f.FAILING_OPEN), rows)


def _workers(reading: Reading) -> Iterator[Measured]:
    workers = [((str(each.id),), each, reading.rows[each.id]) for each in reading.facts.workers]
    families = (
        f.CONNECTIONS,
        f.WORKER_IN_FLIGHT,
        f.WORKER_REQUESTS,
        f.UPSTREAM_IDLE,
        f.SERVING,
        f.RESTARTS,
        f.GENERATION,
    )
    rows: Rows = [
        (
            labels,
            (
                row.connections,
                row.in_flight,
                row.requests_total,
                row.upstream_idle,
                worker.state == "serving",
                worker.restarts,
                row.generation,
            ),
        )
        for labels, worker, row in workers
    ]
    yield Measured(families, rows)
    yield _one(f.PUBLISHED, reading.facts.generation)
    yield Measured((f.PROPAGATION,), [((), histogram(*reading.propagation))])


def _control_plane(reading: Reading) -> Iterator[Measured]:
    facts = reading.facts
    sources: Rows = [((each.source,), (each.last_success or 0.0, each.stale)) for each in facts.discovery]
    yield Measured((f.LAST_SUCCESS, f.STALE), sources)
    yield _one(f.PROBLEMS, len(facts.problems))
    yield Measured((f.RELOADS,), [((), (facts.reloads.succeeded, facts.reloads.failed))])
    yield _one(f.RELOAD_OK, facts.reloads.is_last_good)
    yield _one(f.RELOAD_AT, facts.reloads.last_success)
    yield _one(f.READY, facts.ready and not facts.draining)
    yield _one(f.UPTIME, max(0.0, reading.at - facts.started_at))
    yield Measured((f.BUILD,), [((facts.version,), (1,))])


def _processes(facts: Facts, read: ReadProcess) -> Iterator[Measured]:
    pids = {"supervisor": os.getpid(), **{f"worker-{worker.id}": worker.pid for worker in facts.workers}}
    if facts.traces.pid:
        pids["exporter"] = facts.traces.pid
    looked = (((process,), read(pid)) for process, pid in pids.items())
    # One that is missing is between its end and its successor's start.
    found = [(labels, figures) for labels, figures in looked if figures is not None]
    yield Measured((f.CPU,), [(labels, (each.cpu_seconds,)) for labels, each in found])
    yield Measured((f.RESIDENT,), [(labels, (each.resident_bytes,)) for labels, each in found])
    yield Measured((f.VIRTUAL,), [(labels, (each.virtual_bytes,)) for labels, each in found])
    yield Measured((f.OPEN_FDS,), [(labels, (each.open_fds,)) for labels, each in found if each.open_fds is not None])
    yield Measured((f.MAX_FDS,), [(labels, (each.max_fds,)) for labels, each in found])
    yield Measured((f.STARTED,), [(labels, (each.start_time,)) for labels, each in found])


def histogram(counts: Sequence[int], sum_us: int) -> Values:
    """Counts per bucket, the last one beyond every bound, as Prometheus has them: cumulative, then count and sum."""
    buckets = tuple(accumulate(counts))
    return (*buckets, buckets[-1], sum_us / 1e6)


def _one(family: f.Family, value: float) -> Measured:
    """A family without labels."""
    return Measured((family,), [((), (value,))])
