"""What all requests of all workers came to, as the status JSON has it. Pure."""

from __future__ import annotations

from typing import TypedDict

from gateway.admin.facts import Facts
from gateway.shm.layout import DURATION_BOUNDS, NO_ROUTE_CELL
from gateway.shm.ledger import Ledger


class Traffic(TypedDict):
    """All requests of all workers so far. `duration_counts` has one count per bound, and one for what is beyond."""

    requests_total: int
    codes: dict[str, int]
    duration_bounds: list[float]
    duration_counts: list[int]
    duration_seconds_sum: float


def code_label(code: int) -> str:
    """A status code as metrics and JSON name it; the ledger counts what found no slot of its own as 0."""
    return str(code) if code else "other"


def traffic(facts: Facts, ledger: Ledger) -> Traffic:
    """Durations and codes are those of the routes that exist now, and of what matched none."""
    codes: dict[int, int] = {}
    counts = [0] * (len(DURATION_BOUNDS) + 1)
    sum_us = 0
    for cell in {NO_ROUTE_CELL, *(route.cell for route in facts.routes)}:
        totals = ledger.route_totals(cell)
        for code, count in totals.codes.items():
            codes[code] = codes.get(code, 0) + count
        counts = [have + more for have, more in zip(counts, totals.buckets, strict=True)]
        sum_us += totals.sum_us
    return Traffic(
        requests_total=ledger.totals().requests_total,
        codes={code_label(code): codes[code] for code in sorted(codes)},
        duration_bounds=list(DURATION_BOUNDS),
        duration_counts=counts,
        duration_seconds_sum=sum_us / 1e6,
    )
