"""From what was observed to milliseconds. Pure; times are seconds on CLOCK_MONOTONIC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.events.client import Report
from benchmarks.rig.shared import Change, History, Instances


@dataclass(slots=True)
class Times:
    """Milliseconds, one value per repetition."""

    last: list[float] = field(default_factory=list)  # until the last new request to what is gone
    out: list[float] = field(default_factory=list)  # until every worker's snapshot is without it
    into: list[float] = field(default_factory=list)  # until every worker's snapshot is with what is new
    first: list[float] = field(default_factory=list)  # until every worker has sent a request to what is new


@dataclass(slots=True)
class Row:
    """What one scenario came to."""

    name: str
    title: str
    repetitions: int
    times: Times
    sent: int
    idempotent: dict[str, int]  # failed requests by cause
    others: dict[str, int]
    slowest_ms: float  # of the requests that were answered
    notes: list[str] = field(default_factory=list)


def change_after(history: History, at: float, claim: Callable[[Instances], bool]) -> Change | None:
    """The first snapshot since `at` for which the claim holds."""
    return next((each for each in history.changes if each.at >= at and claim(each.instances)), None)


def is_used(change: Change | None) -> bool:
    """Does every worker use it?"""
    return change is not None and all(at is not None for at in change.used_at)


def used_ms(change: Change, event: float) -> float:
    """From the event until every worker uses the snapshot."""
    return (max(at for at in change.used_at if at is not None) - event) * 1000


def last_ms(arrivals: Sequence[float], event: float) -> float:
    """From the event to the last arrival; 0 when there was none after it."""
    return max([0.0, *((at - event) * 1000 for at in arrivals)])


def last_attempt_ms(history: History, address: str, event: float, until: float) -> float:
    """From the event to the last attempt that any worker began on an address; 0 when there was none."""
    return last_ms([at for at, _, to in history.attempts if to == address and at <= until], event)


def first_attempts(history: History, address: str, event: float) -> dict[int, float]:
    """When each worker began its first attempt on an address after the event."""
    found: dict[int, float] = {}
    for at, row, to in history.attempts:
        if to == address and at >= event:
            found.setdefault(row, at)
    return found


def failures(report: Report) -> tuple[dict[str, int], dict[str, int]]:
    """Failed requests by cause: those of idempotent methods, and the others."""
    idempotent: dict[str, int] = {}
    others: dict[str, int] = {}
    for _, _, kind, cause in report.failures:
        into = idempotent if kind.startswith("GET") else others
        into[cause] = into.get(cause, 0) + 1
    return idempotent, others
