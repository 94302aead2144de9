"""The supervisor's eyes on the ledger: who is ejected by some worker, and which cells are free again.

A worker that ejects an instance, or takes it back, says so on its control socket; the ledger itself is what
counts, and it is looked at there and then. It is looked at now and then as well: a worker that died took its
ejections with it, and a message may be lost when a socket is full.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import trio

from gateway.shm.ledger import Ledger
from gateway.supervisor.publisher import Publisher
from gateway.supervisor.registry import Registry
from healthcheck.model import Target, Verdict

INTERVAL: Final = 1.0  # seconds between looks that nobody asked for
_DETAIL_CHARS: Final = 300

Refute = Callable[[Target, float, str], None]


class LedgerWatch:
    """Passes on between workers what one of them concluded, through the registry."""

    def __init__(self, ledger: Ledger, registry: Registry, publisher: Publisher, refute: Refute) -> None:
        """`refute` tells all workers that a probe which began then (CLOCK_MONOTONIC, seconds) succeeded, and how."""
        self._ledger = ledger
        self._registry = registry
        self._publisher = publisher
        self._refute = refute

    def on_ejection(self, target: Target, detail: str, is_over: bool) -> None:
        """A worker's ejections changed, of this instance for this reason."""
        self._registry.explain_ejection(target, detail, is_over=is_over)
        self._look()

    def on_verdict(self, target: Target, verdict: Verdict) -> None:
        """A probe's result; one that succeeded ends an ejection for failures to connect."""
        now = time.monotonic()
        self._registry.apply_verdict(target, verdict, now)
        if verdict.ok and self._registry.is_ejected(target):
            self._refute(target, now - verdict.duration, verdict.detail[:_DETAIL_CHARS])

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await trio.sleep(INTERVAL)
            self._look()
            self._release_cells()

    def _look(self) -> None:
        now_ns = time.monotonic_ns()
        high_water = self._registry.instance_cells.high_water
        ends = self._ledger.ejected_until(0, high_water) if high_water else []
        if self._registry.apply_ejections({cell: end / 1e9 for cell, end in enumerate(ends) if end > now_ns}):
            self._publisher.on_change()

    def _release_cells(self) -> None:
        rows = [self._ledger.row(n) for n in range(self._ledger.rows)]
        oldest = min((row.generation for row in rows if row.pid), default=0)
        instances, routes = self._registry.release_cells(oldest, self._ledger.in_flight)
        for cell in instances:
            self._ledger.forget_instance(cell)
        for cell in routes:
            self._ledger.forget_route(cell)
