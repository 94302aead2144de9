"""What two status samples say together: rates, latencies, quantiles, processor time. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.admin.latency import quantile

if TYPE_CHECKING:
    from gateway.admin.status import Status

WINDOW: Final = 10.0  # seconds that a live dashboard's figures are taken over

Key = tuple[str, str]  # service, address
Latencies = tuple[float | None, float | None]  # p50 and p99 in seconds


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, over `seconds`; None where nothing can be said."""

    seconds: float
    requests: float
    errors: float  # answers of 500 and above
    p50: float | None = None  # seconds
    p99: float | None = None
    workers: dict[int, float] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)  # of workers: CPUs in use, 1.0 is all of one
    instances: dict[Key, float] = field(default_factory=dict)  # attempts
    failures: dict[Key, float] = field(default_factory=dict)  # attempts that failed
    latencies: dict[Key, Latencies] = field(default_factory=dict)  # to the response head

    def failing(self, *keys: Key) -> float | None:
        """The share of these instances' attempts that failed; None without any."""
        asked = sum(self.instances.get(key, 0.0) for key in keys)
        return sum(self.failures.get(key, 0.0) for key in keys) / asked if asked > 0.0 else None


@dataclass(frozen=True, slots=True)
class Tally:
    """The counters of one sample: a fraction of its size, to be kept for a while."""

    started_at: str
    uptime: float
    requests: int
    errors: int
    durations: tuple[int, ...]
    workers: dict[tuple[int, int], tuple[int, float]]  # by id and pid: requests, seconds of CPU
    instances: dict[Key, tuple[int, int, tuple[int, ...]]]  # attempts, failures, latencies


def tally(status: Status) -> Tally:
    """The counters of a sample."""
    traffic = status["traffic"]
    return Tally(  # an older gateway than these commands, as after an upgrade, does not tell its CPU
        started_at=status["started_at"],
        uptime=status["uptime_seconds"],
        requests=traffic["requests_total"],
        errors=sum(count for code, count in traffic["codes"].items() if code.startswith("5")),
        durations=tuple(traffic["duration_counts"]),
        workers={
            (w["id"], w["pid"]): (w["requests_total"], w.get("cpu_seconds_total", 0.0)) for w in status["workers"]
        },
        instances={
            (service["name"], each["address"]): (
                each["requests_total"],
                each["failures_total"],
                tuple(each["latency_counts"]),
            )
            for service in status["services"]
            for each in service["instances"]
        },
    )


def rates(status: Status, before: Tally | None) -> Rates:
    """What happened between two samples of one gateway; without a usable `before`, since the gateway's start."""
    now = tally(status)
    if before is None or before.started_at != now.started_at or before.uptime >= now.uptime:
        before = Tally(now.started_at, 0.0, 0, 0, (), {}, {})  # another gateway, or no time between them
    seconds = now.uptime - before.uptime
    if seconds <= 0.0:
        return Rates(seconds=0.0, requests=0.0, errors=0.0)

    def per_second(new: float, old: float) -> float:
        return max(0.0, new - old) / seconds

    bounds, total_bounds = status["latency_bounds"], status["traffic"]["duration_bounds"]
    durations = _grown(now.durations, before.durations)
    found = Rates(
        seconds=seconds,
        requests=per_second(now.requests, before.requests),
        errors=per_second(now.errors, before.errors),
        p50=quantile(0.5, total_bounds, durations),
        p99=quantile(0.99, total_bounds, durations),
    )
    for worker, (requests, cpu) in now.workers.items():
        old_requests, old_cpu = before.workers.get(worker, (0, cpu if before.uptime else 0.0))
        found.workers[worker[0]] = per_second(requests, old_requests)
        found.cpu[worker[0]] = per_second(cpu, old_cpu)
    for key, (asked, failed, answered) in now.instances.items():
        old_asked, old_failed, old_answered = before.instances.get(key, (0, 0, ()))
        found.instances[key] = per_second(asked, old_asked)
        found.failures[key] = per_second(failed, old_failed)
        counts = _grown(answered, old_answered)
        found.latencies[key] = quantile(0.5, bounds, counts), quantile(0.99, bounds, counts)
    return found


class Window:
    """The samples of the last seconds: what a live dashboard's figures are taken over."""

    def __init__(self) -> None:
        self._tallies: deque[Tally] = deque()

    def add(self, status: Status) -> Rates:
        """A new sample; the rates since the oldest of the same gateway that is inside the window."""
        newest = tally(status)
        while self._tallies and (
            self._tallies[0].started_at != newest.started_at or self._tallies[0].uptime < newest.uptime - WINDOW
        ):
            if len(self._tallies) == 1 and self._tallies[0].started_at == newest.started_at:
                break  # samples come more rarely than that
            self._tallies.popleft()
        found = rates(status, self._tallies[0] if self._tallies else None)
        self._tallies.append(newest)
        return found


def _grown(new: tuple[int, ...], old: tuple[int, ...]) -> list[int]:
    """By how much each count grew; all of it without an old one."""
    return [max(0, a - b) for a, b in zip(new, old, strict=True)] if old else list(new)
