"""What the ledger tells, by name: the figures of one worker, of all of them, of a route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.shm.layout import (
    R_ACCEPT_ERRORS,
    R_BYTES_IN,
    R_BYTES_OUT,
    R_CONNECTIONS,
    R_CONNECTIONS_REFUSED,
    R_CONNECTIONS_TOTAL,
    R_CRASHES,
    R_GENERATION,
    R_HEARTBEAT_NS,
    R_IN_FLIGHT,
    R_LOG_DROPPED,
    R_PID,
    R_REQUESTS_TOTAL,
    R_RETRIES,
    R_SPANS_DROPPED,
    R_STATE,
    R_UPSTREAM_IDLE,
)


@dataclass(frozen=True, slots=True)
class RowFigures:
    """One worker's own figures, as of now (its row's header words, by name)."""

    heartbeat_ns: int
    generation: int
    pid: int
    state: int
    connections: int
    in_flight: int
    connections_total: int
    requests_total: int
    connections_refused: int
    log_dropped: int
    bytes_in: int
    bytes_out: int
    upstream_idle: int
    retries: int
    crashes: int
    accept_errors: int


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """All workers together, dead ones included (gauges: the living alone)."""

    connections: int
    in_flight: int
    upstream_idle: int
    connections_total: int
    requests_total: int
    connections_refused: int
    log_dropped: int
    bytes_in: int
    bytes_out: int
    retries: int
    crashes: int
    accept_errors: int
    spans_dropped: int


@dataclass(frozen=True, slots=True)
class RouteTotals:
    """What a route answered: responses by status code (0: codes beyond CODE_SLOTS), and how long it took."""

    codes: dict[int, int]
    buckets: tuple[int, ...]  # not cumulative; one more than DURATION_BOUNDS
    sum_us: int


def row_figures(w: Sequence[int]) -> RowFigures:
    """From a row's header words."""
    return RowFigures(
        heartbeat_ns=w[R_HEARTBEAT_NS],
        generation=w[R_GENERATION],
        pid=w[R_PID],
        state=w[R_STATE],
        connections=w[R_CONNECTIONS],
        in_flight=w[R_IN_FLIGHT],
        connections_total=w[R_CONNECTIONS_TOTAL],
        requests_total=w[R_REQUESTS_TOTAL],
        connections_refused=w[R_CONNECTIONS_REFUSED],
        log_dropped=w[R_LOG_DROPPED],
        bytes_in=w[R_BYTES_IN],
        bytes_out=w[R_BYTES_OUT],
        upstream_idle=w[R_UPSTREAM_IDLE],
        retries=w[R_RETRIES],
        crashes=w[R_CRASHES],
        accept_errors=w[R_ACCEPT_ERRORS],
    )


def ledger_totals(w: Sequence[int]) -> LedgerTotals:
    """From the header words of all rows, summed."""
    return LedgerTotals(
        connections=w[R_CONNECTIONS],
        in_flight=w[R_IN_FLIGHT],
        upstream_idle=w[R_UPSTREAM_IDLE],
        connections_total=w[R_CONNECTIONS_TOTAL],
        requests_total=w[R_REQUESTS_TOTAL],
        connections_refused=w[R_CONNECTIONS_REFUSED],
        log_dropped=w[R_LOG_DROPPED],
        bytes_in=w[R_BYTES_IN],
        bytes_out=w[R_BYTES_OUT],
        retries=w[R_RETRIES],
        crashes=w[R_CRASHES],
        accept_errors=w[R_ACCEPT_ERRORS],
        spans_dropped=w[R_SPANS_DROPPED],
    )
