"""What a scenario came to, and which failed requests had to fail. Pure; times are seconds on CLOCK_MONOTONIC."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.events.client import Report

LATE = 0.25  # seconds in which a client may write to a connection before it has looked whether that has ended


@dataclass(frozen=True, slots=True)
class Loss:
    """From `began` to `ended` a worker was on its way to be killed: what was in flight on it then is lost."""

    began: float
    ended: float


@dataclass(slots=True)
class Row:
    """One scenario."""

    name: str
    title: str
    recovery: str  # what the times below are from and to
    repeated: int = 0
    sent: int = 0
    lost: dict[str, int] = field(default_factory=dict)  # in flight on a killed worker, by cause
    failed: dict[str, int] = field(default_factory=dict)  # all others, by cause
    recovery_ms: list[float] = field(default_factory=list)
    failures: list[tuple[float, float, str, str]] = field(default_factory=list)  # each: sent, failed, kind, cause
    slowest_ms: float = 0.0  # of the requests that were answered
    leaks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)  # lines of the access log: why the gateway said 5xx

    def count(self, report: Report, losses: Iterable[Loss]) -> None:
        """Add what a load saw."""
        lost, failed = sort_failures(report, tuple(losses))
        self.sent += sum(report.sent.values())
        self.lost = dict(Counter(self.lost) + lost)
        self.failed = dict(Counter(self.failed) + failed)
        self.failures += report.failures
        self.slowest_ms = max(self.slowest_ms, *(1000 * each for each in report.latencies))


def sort_failures(report: Report, losses: Sequence[Loss]) -> tuple[Counter[str], Counter[str]]:
    """Failures by cause: connections that ended with a worker while a request was on them, and all others."""
    lost, failed = Counter[str](), Counter[str]()
    for began, ended, kind, cause in report.failures:
        is_lost = "connection lost" in cause and any(
            began <= loss.ended + LATE and ended >= loss.began for loss in losses
        )
        (lost if is_lost else failed)[f"{kind}: {cause}"] += 1
    return lost, failed


def refusals(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The lines of an access log, in JSON, of requests that the gateway itself answered with an error of its own."""
    entries = (json.loads(line) for line in lines if line.endswith("}\n"))  # who was killed may leave half a line
    return [entry for entry in entries if entry["status"] >= 500 and "reason" in entry]
