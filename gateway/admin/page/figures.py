"""Charts with their words: the gateway's and a service's last ten minutes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.admin.page.charts import Chart, chart
from gateway.admin.series import LENGTH, Series
from gateway.admin.words import duration, rate

LEAST: Final = 120  # samples, of a chart


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its words."""

    title: str
    now: str
    note: str
    top: str
    unit: str
    tone: str  # "bad" when there is something to worry about
    chart: Chart


def gateway_figures(series: Series) -> tuple[Figure, ...]:
    """Rate, errors and latency of everything."""
    requests, errors, p50, p99 = (
        series.gateway(field) for field in ("requests_per_second", "errors_per_second", "p50_seconds", "p99_seconds")
    )
    return (
        _rates("Requests", "requests/s", requests, _span(series)),
        _rates("Errors", "5xx/s", errors, _span(series), tone="bad"),
        _latencies([("main", "p50", p50), ("second", "p99", p99)], _span(series)),
    )


def service_figures(series: Series, name: str) -> tuple[Figure, ...]:
    """The same of one service; errors are attempts that failed."""
    requests, failures, latency = (
        series.service(name, field) for field in ("requests_per_second", "failures_per_second", "latency_seconds")
    )
    return (
        _rates("Requests", "attempts/s", requests, _span(series)),
        _rates("Failed", "failed/s", failures, _span(series), tone="bad"),
        _latencies([("main", "mean", latency)], _span(series)),
    )


def _span(series: Series) -> tuple[int, int]:
    """How many samples a chart shows, whole minutes that have something to show, and the number of the newest."""
    return min(LENGTH, max(LEAST, -(-series.taken // 60) * 60)), series.taken


def _rates(title: str, unit: str, values: Sequence[float | None], span: tuple[int, int], tone: str = "main") -> Figure:
    now = recent(values) or 0.0
    drawn = chart(
        [(tone if any(values) else "none", unit, values)], points=200, samples=span[0], least_top=1.0, end=span[1]
    )
    peak = max((value for value in values if value is not None), default=0.0)
    word = "bad" if tone == "bad" and now > 0.0 else ""
    return Figure(title, rate(now), f"peak {rate(peak)}", rate(drawn.top), unit, word, drawn)


def _latencies(curves: Sequence[tuple[str, str, Sequence[float | None]]], span: tuple[int, int]) -> Figure:
    drawn = chart(curves, points=200, samples=span[0], least_top=0.001, end=span[1])
    first, *others = [(label, duration(recent(values))) for _, label, values in curves]
    note = ", ".join(f"{label} {text}" for label, text in others)
    return Figure("Latency", first[1], note, duration(drawn.top), first[0], "", drawn)


def recent(values: Sequence[float | None]) -> float | None:
    """The mean of the last few seconds that say something."""
    known = [value for value in values[-5:] if value is not None]
    return sum(known) / len(known) if known else None
