"""What two successive status samples say together: rates, latencies, quantiles. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.admin.latency import quantile

if TYPE_CHECKING:
    from gateway.admin.status import Status


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, over `seconds`; None where nothing can be said."""

    seconds: float
    requests: float
    errors: float  # answers of 500 and above
    p50: float | None = None  # seconds
    p99: float | None = None
    workers: dict[int, float] = field(default_factory=dict)
    instances: dict[tuple[str, str], float] = field(default_factory=dict)
    # Seconds to the response head: p50 and p99.
    latencies: dict[tuple[str, str], tuple[float | None, float | None]] = field(default_factory=dict)


def rates(now: Status, before: Status | None) -> Rates:
    """What happened between two samples of one gateway; without a usable `before`, since the gateway's start."""
    if before is not None and (
        before["started_at"] != now["started_at"] or before["uptime_seconds"] >= now["uptime_seconds"]
    ):
        before = None  # another gateway, or no time between them
    seconds = now["uptime_seconds"] - (before["uptime_seconds"] if before else 0.0)
    if seconds <= 0.0:
        return Rates(seconds=0.0, requests=0.0, errors=0.0)
    traffic, old = now["traffic"], before["traffic"] if before else None
    counts = list(traffic["duration_counts"])
    if old is not None and len(old["duration_counts"]) == len(counts):
        counts = [max(0, new - was) for new, was in zip(counts, old["duration_counts"], strict=True)]

    had_workers = {(w["id"], w["pid"]): w["requests_total"] for w in before["workers"]} if before else {}
    had = {(s["name"], i["address"]): i for s in before["services"] for i in s["instances"]} if before else {}
    instances: dict[tuple[str, str], float] = {}
    latencies: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    bounds = now["latency_bounds"]
    for service in now["services"]:
        for instance in service["instances"]:
            key = (service["name"], instance["address"])
            was = had.get(key)
            asked = instance["requests_total"] - (was["requests_total"] if was else 0)
            answered = list(instance["latency_counts"])
            if was:
                answered = [max(0, new - old) for new, old in zip(answered, was["latency_counts"], strict=True)]
            instances[key] = max(0.0, asked / seconds)
            latencies[key] = quantile(0.5, bounds, answered), quantile(0.99, bounds, answered)
    return Rates(
        seconds=seconds,
        requests=max(0.0, (traffic["requests_total"] - (old["requests_total"] if old else 0)) / seconds),
        errors=max(0.0, (_failed(traffic["codes"]) - (_failed(old["codes"]) if old else 0)) / seconds),
        p50=quantile(0.5, traffic["duration_bounds"], counts),
        p99=quantile(0.99, traffic["duration_bounds"], counts),
        workers={
            w["id"]: max(0.0, (w["requests_total"] - had_workers.get((w["id"], w["pid"]), 0)) / seconds)
            for w in now["workers"]
        },
        instances=instances,
        latencies=latencies,
    )


def _failed(codes: dict[str, int]) -> int:
    return sum(count for code, count in codes.items() if code.startswith("5"))
