"""The last ten minutes, a sample a second: what charts are drawn from, and the body of /api/series. Pure.

Rings of 32-bit floats: 500 services take 4 MB. A service that is not there any more is forgotten with its past; one
that is new has a past of zeros. NaN stands for "nothing can be said" and is null in JSON.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypedDict

from gateway.admin.latency import quantile
from gateway.admin.words import rfc3339
from gateway.shm.deltas import Counted
from gateway.shm.layout import DURATION_BOUNDS

INTERVAL: Final = 1.0  # seconds between samples
LENGTH: Final = 600  # samples
RECENT: Final = 10  # samples that an instance's present rate and latency are taken over
EVERY_SERVICE: Final = "*"
Values = list[float | None]

GATEWAY_FIELDS: Final = (
    "requests_per_second",
    "errors_per_second",
    "p50_seconds",
    "p99_seconds",
    "in_flight",
    "connections",
)
SERVICE_FIELDS: Final = ("requests_per_second", "failures_per_second", "latency_seconds")


class GatewaySeries(TypedDict):
    """All requests together. Errors are answers of 500 and above."""

    requests_per_second: Values
    errors_per_second: Values
    p50_seconds: Values
    p99_seconds: Values
    in_flight: Values
    connections: Values


class ServiceSeries(TypedDict):
    """One service: attempts, those that failed, and their mean time to the response head."""

    name: str
    requests_per_second: Values
    failures_per_second: Values
    latency_seconds: Values


class SeriesBody(TypedDict):
    """The body of /api/series: as many samples as there are, oldest first, the last taken at `ends_at`."""

    interval_seconds: float
    ends_at: str | None
    gateway: GatewaySeries
    services: list[ServiceSeries]


class _Ring:
    """The last LENGTH values of some fields."""

    def __init__(self, fields: int) -> None:
        self._values = [array("f", bytes(4 * LENGTH)) for _ in range(fields)]

    def put(self, at: int, values: Iterable[float]) -> None:
        for ring, value in zip(self._values, values, strict=True):
            ring[at % LENGTH] = value

    def read(self, field: int, stop: int, count: int) -> Values:
        ring = self._values[field]
        values = (ring[at % LENGTH] for at in range(stop - count, stop))
        return [None if math.isnan(value) else round(value, 6) for value in values]


class Series:
    """The samples. Cells are those of the ledger."""

    def __init__(self) -> None:
        self._gateway = _Ring(len(GATEWAY_FIELDS))
        self._services: dict[str, _Ring] = {}
        self._cells: dict[str, tuple[int, ...]] = {}
        self._recent: deque[tuple[float, Counted]] = deque(maxlen=RECENT)
        self._taken = 0
        self._ends_at: float | None = None

    def know(self, services: Mapping[str, Sequence[int]]) -> None:
        """From now on these are the services, with the cells of their instances."""
        self._services = {name: self._services.get(name) or _Ring(len(SERVICE_FIELDS)) for name in services}
        self._cells = {name: tuple(cells) for name, cells in services.items()}

    def add(self, at: float, seconds: float, counted: Counted, in_flight: int, connections: int) -> None:
        """A sample, taken at `at` (Unix seconds), of what was counted in the `seconds` before."""
        p50, p99 = (quantile(share, DURATION_BOUNDS, counted.durations) for share in (0.5, 0.99))
        rates = (counted.requests / seconds, counted.errors / seconds)
        self._gateway.put(self._taken, (*rates, _known(p50), _known(p99), in_flight, connections))
        for name, ring in self._services.items():
            ring.put(self._taken, self._service(name, seconds, counted))
        self._recent.append((seconds, counted))
        self._taken += 1
        self._ends_at = at

    def _service(self, name: str, seconds: float, counted: Counted) -> tuple[float, float, float]:
        cells = self._cells[name]
        attempts, failures = _sum(counted.attempts, cells), _sum(counted.failures, cells)
        answered, latency_us = _sum(counted.answered, cells), _sum(counted.latency_us, cells)
        return attempts / seconds, failures / seconds, latency_us / answered / 1e6 if answered else math.nan

    @property
    def taken(self) -> int:
        """How many samples there were so far."""
        return self._taken

    @property
    def ends_at(self) -> float | None:
        """When the last sample was taken, in Unix seconds."""
        return self._ends_at

    def gateway(self, field: str, count: int = LENGTH) -> Values:
        """One of GATEWAY_FIELDS, oldest first."""
        return self._gateway.read(GATEWAY_FIELDS.index(field), self._taken, min(count, self._taken, LENGTH))

    def service(self, name: str, field: str, count: int = LENGTH) -> Values:
        """One of SERVICE_FIELDS; nothing for a service that is not known."""
        ring = self._services.get(name)
        field_index = SERVICE_FIELDS.index(field)
        return [] if ring is None else ring.read(field_index, self._taken, min(count, self._taken, LENGTH))

    def instance(self, cell: int) -> tuple[float, float | None]:
        """Over the last RECENT samples: an instance's attempts per second, its mean seconds to the response head."""
        seconds = sum(each for each, _ in self._recent)
        attempts, answered, latency_us = (
            sum(column[cell] for column in columns if cell < len(column))
            for columns in (
                [counted.attempts for _, counted in self._recent],
                [counted.answered for _, counted in self._recent],
                [counted.latency_us for _, counted in self._recent],
            )
        )
        return attempts / seconds if seconds else 0.0, latency_us / answered / 1e6 if answered else None

    def body(self, services: Iterable[str], count: int = LENGTH) -> SeriesBody:
        """The last `count` samples of the gateway, and of these services, or of all with EVERY_SERVICE among them."""
        asked = list(dict.fromkeys(services))
        names = [*self._services] if EVERY_SERVICE in asked else [name for name in asked if name in self._services]
        return SeriesBody(
            interval_seconds=INTERVAL,
            ends_at=None if self._ends_at is None else rfc3339(self._ends_at),
            gateway={field: self.gateway(field, count) for field in GATEWAY_FIELDS},  # type: ignore[typeddict-item]
            services=[
                {"name": name, **{field: self.service(name, field, count) for field in SERVICE_FIELDS}}  # type: ignore[typeddict-item]
                for name in names
            ],
        )


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _sum(column: list[int], cells: tuple[int, ...]) -> int:
    """Over the cells of a service; a column ends where nothing was counted, or nothing was yet."""
    return sum([column[cell] for cell in cells if cell < len(column)]) if column else 0
