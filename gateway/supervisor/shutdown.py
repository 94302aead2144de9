"""The first part of an orderly stop: not ready any more, but serving everything as before.

Whoever balances over several gateways needs a moment to notice that `/ready` has turned 503. Until
then connections go on arriving, and each that found no listener would be an error to somebody.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

log = structlog.get_logger(__name__)


class Shutdown:
    """Asked for at most once; `run` carries it out."""

    def __init__(self, delay: Callable[[], float], drain: Callable[[], None]) -> None:
        """`delay`: seconds from the request to `drain`, which stops accepting."""
        self._delay = delay
        self._drain = drain
        self._requested = trio.Event()

    @property
    def is_requested(self) -> bool:
        return self._requested.is_set()

    def request(self) -> None:
        """Begin to stop."""
        self._requested.set()

    async def run(self) -> None:
        """Wait for the request, then for the delay, then drain."""
        await self._requested.wait()
        delay = self._delay()
        if delay:
            log.info("not ready any more, still serving", shutdown_delay=delay)
            await trio.sleep(delay)
        self._drain()
