"""Takes a sample of the ledger every second, for `gateway.admin.series`."""

from __future__ import annotations

import time
from typing import Final

import trio

from gateway.admin.series import INTERVAL, Series
from gateway.shm.deltas import LedgerDeltas
from gateway.shm.ledger import Ledger
from gateway.supervisor.publisher import Publisher
from gateway.supervisor.registry import Registry

_SOONEST: Final = 0.1  # seconds after the sample before: after a standstill two would follow each other at once


class Sampler:
    """Fills a `Series` while it runs."""

    def __init__(self, ledger: Ledger, registry: Registry, publisher: Publisher) -> None:
        self.series: Final = Series()
        self._ledger = ledger
        self._registry = registry
        self._publisher = publisher
        self._generation = -1
        self._deltas = LedgerDeltas(
            ledger,
            lambda: registry.instance_cells.high_water,
            lambda: registry.route_cells_high_water,
        )

    async def run(self) -> None:
        """Until cancelled."""
        began = due = time.monotonic()
        while True:
            due += INTERVAL
            await trio.sleep(max(_SOONEST, due - time.monotonic()))
            now = time.monotonic()
            due = max(due, now - INTERVAL)
            self._sample(now - began)
            began = now

    def _sample(self, seconds: float) -> None:
        if self._generation != self._publisher.generation:
            self._generation = self._publisher.generation
            self.series.know(self._registry.service_cells())
        totals = self._ledger.totals()
        self.series.add(time.time(), seconds, self._deltas.take(), totals.in_flight, totals.connections)
