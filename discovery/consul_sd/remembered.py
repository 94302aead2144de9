"""Consul as a Source that remembers what it was told over a restart of the gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from discovery import cachefile
from discovery.cachefile import CacheError, CacheWriter
from discovery.consul_sd.saved import SavedView, decode
from discovery.consul_sd.source import ConsulSource
from discovery.source import Emit, Event, SourceState

log = structlog.get_logger(__name__)


class Pen:
    """The right to write the files: one gateway's at a time, when another one replaces it."""

    def __init__(self) -> None:
        self.is_held = trio.Event()
        self.is_given_up = False

    def take(self) -> None:
        """From now on what has changed is written."""
        self.is_held.set()

    def give_up(self) -> None:
        """From now on nothing is written any more: somebody else does."""
        self.is_given_up = True


class RememberedConsul:
    """A ConsulSource that starts from the view in a file, and keeps that file up to date."""

    def __init__(self, source: ConsulSource, where: Callable[[], Path | None], pen: Pen) -> None:
        """`where` the file is now, as settings may change; None: nowhere. May raise RuntimeError: no home directory."""
        self.name = source.name
        self._pen = pen
        self._source = source
        self._where = where
        self._has_complained = False

    async def run(self, emit: Emit) -> None:
        """See `discovery.source.Source`."""
        view = self._recall()
        if view is not None:
            self._source.restore(view)
        writer = CacheWriter(
            lambda: None if self._pen.is_given_up else self._path(), lambda: self._source.view().encode
        )

        def tell(event: Event) -> None:
            emit(event)
            if not isinstance(event, SourceState):
                writer.note(is_news=True)
            elif not event.stale:
                writer.note(is_news=False)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, writer)
            await self._source.run(tell)

    async def _write(self, writer: CacheWriter) -> None:
        await self._pen.is_held.wait()
        await writer.run()

    def _path(self) -> Path | None:
        try:
            return self._where()
        except RuntimeError as error:
            if not self._has_complained:
                log.warning("Consul's view is not saved: set consul.state_file", error=str(error))
                self._has_complained = True
            return None

    def _recall(self) -> SavedView | None:
        path, settings = self._path(), self._source.settings
        try:
            body = None if path is None else cachefile.load(path)
            return None if body is None else decode(body, settings.address, settings.datacenter)
        except CacheError as error:
            log.warning("the saved view of Consul is ignored, and will be replaced", file=str(path), error=str(error))
            return None
