"""From the board into the tables in use: settings, routes and services of a new generation.

Only what changed is rebuilt. Routes and services are swapped whole between two batches, so that no
request ever sees half of a generation.
"""

from __future__ import annotations

import time
from bisect import bisect_left

from gateway.proxy.context import Context
from gateway.proxy.service import EjectionNews, LiveService
from gateway.proxy.trust import trust
from gateway.routing.table import compile_table
from gateway.shm.board import BoardReader
from gateway.shm.layout import L_USED, PROPAGATION_BOUNDS, R_GENERATION, R_PROPAGATION, R_PROPAGATION_SUM_US, row_word
from gateway.snapshot.codec import CodecError, Decoder
from gateway.snapshot.model import ServiceRecord, Snapshot


class View:
    """Keeps a worker's context at the newest generation."""

    def __init__(self, board: BoardReader, first: Snapshot, decoder: Decoder) -> None:
        self._board = board
        self._decoder = decoder
        self._first = first
        self._refused = 0
        self.generation = first.generation
        self._settings_version = -1
        self._routes_version = -1
        self._records: dict[str, ServiceRecord] = {}

    def start(self, ctx: Context, tell: EjectionNews) -> None:
        """Take over the first snapshot. `tell` passes on what happens to instances."""
        self._ctx = ctx
        self._rows = ctx.words[L_USED]
        self._tell = tell
        self._apply(self._first)

    def refresh(self) -> None:
        """Use a newer generation if there is one, and the rows in use. Costs two words read when nothing is new."""
        if self._ctx.words[L_USED] != self._rows:
            self._rows = self._ctx.words[L_USED]
            for service in self._ctx.services.values():
                service.use_rows(self._rows)
        generation = self._board.generation
        if generation == self.generation or generation == self._refused:
            return
        copy = self._board.read()
        if copy is None:
            return
        try:
            snapshot = self._decoder.decode(copy[1])
        except CodecError as error:
            self._refused = generation
            self._ctx.report("error", "snapshot refused, keeping the last good one", error=str(error))
            return
        self._apply(snapshot)
        self._note_propagation(snapshot)

    def _apply(self, snapshot: Snapshot) -> None:
        ctx = self._ctx
        if snapshot.settings_version != self._settings_version:
            self._settings_version = snapshot.settings_version
            ctx.use_settings(snapshot.settings, trust(snapshot.settings.trusted_proxies))
            ctx.access.use_settings(snapshot.settings)
        gone = set(ctx.services)
        for record in snapshot.services:
            gone.discard(record.name)
            self._apply_service(record)
        for name in gone:
            del self._records[name]
            self._close_all(ctx.services.pop(name))
        if snapshot.routes_version != self._routes_version:
            self._routes_version = snapshot.routes_version
            ctx.table = compile_table(snapshot.routes)
        self.generation = snapshot.generation
        ctx.words[row_word(ctx.row, R_GENERATION)] = snapshot.generation

    def _apply_service(self, record: ServiceRecord) -> None:
        ctx = self._ctx
        if self._records.get(record.name) is record:  # the decoder keeps what did not change
            return
        self._records[record.name] = record
        service = ctx.services.get(record.name)
        if service is None:
            ctx.services[record.name] = LiveService(
                record, ctx.words, ctx.row, self._rows, ctx.deadlines, self._tell, ctx.now
            )
            return
        for upstream in service.apply(record, ctx.now):
            upstream.close()

    def _close_all(self, service: LiveService) -> None:
        for upstream in service.retire():
            upstream.close()

    def _note_propagation(self, snapshot: Snapshot) -> None:
        ctx = self._ctx
        seconds = max(0.0, (time.monotonic_ns() - snapshot.accepted_ns) / 1e9)
        ctx.words[row_word(ctx.row, R_PROPAGATION + bisect_left(PROPAGATION_BOUNDS, seconds))] += 1
        ctx.words[row_word(ctx.row, R_PROPAGATION_SUM_US)] += int(seconds * 1e6)
