"""From what is known to what workers use: builds snapshots and puts them on the board.

The first change after a quiet time passes at once, at the end of the event-loop turn it came in;
the ones that follow within `INTERVAL` share the next publication (a node that fails wakes hundreds
of watches together), and those that follow a large one a few times as long as that took, which every worker has to
read as well. A snapshot that says what the last one said is not published.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

import structlog
import trio

from discovery.model import Origin, OriginKind, Problem, ServiceSpec
from discovery.settings import HealthSettings
from gateway.shm.board import BoardOverflow, BoardWriter
from gateway.snapshot.codec import CodecError, Encoder
from gateway.snapshot.model import Snapshot
from gateway.supervisor.notices import Notices
from gateway.supervisor.registry import Registry
from healthcheck.model import Target

INTERVAL: Final = 0.01  # seconds between publications, at least
REST: Final = 3.0  # times what the last one took

log = structlog.get_logger(__name__)


class Publisher:
    """The board's only writer. Generations count from 1, one per publication."""

    def __init__(
        self,
        registry: Registry,
        board: BoardWriter,
        wake: Callable[[], None],
        probe: Callable[[Mapping[Target, HealthSettings], Collection[Target]], None],
        discover: Callable[[Mapping[str, ServiceSpec]], None],
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`wake` is called after every publication, `probe` whenever there is other or more to be
        probed (all of it, and what may have come, gone or changed), `discover` whenever other services are declared.

        `clock_ns` is CLOCK_MONOTONIC, the registry's clock as well.
        """
        self._registry = registry
        self._board = board
        self._wake = wake
        self._probe = probe
        self._discover = discover
        self._services: Mapping[str, ServiceSpec] | None = None
        self._notices = Notices()
        self._clock_ns = clock_ns
        self._encoder = Encoder()
        self._changed = trio.Event()
        self._accepted_ns = 0  # of the oldest change not yet published; 0: none
        self.generation = 0
        self.snapshot: Snapshot | None = None  # in force
        self.failure = ""  # why the newest state is not in force; "": it is

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why the newest state is not in force, if it is not."""
        if not self.failure:
            return ()
        return (Problem(Origin(OriginKind.FILE, "everything together"), self.failure),)

    def on_change(self) -> None:
        """Something in the registry may have changed."""
        if self._accepted_ns == 0:
            self._accepted_ns = self._clock_ns()
        self._changed.set()

    def publish(self) -> bool:
        """Publish what the registry says now; False if that is nothing new, or too large."""
        accepted_ns, self._accepted_ns = self._accepted_ns or self._clock_ns(), 0
        if self._changed.is_set():  # else `run` waits for this very event
            self._changed = trio.Event()
        services = self._registry.declare()
        if self._services is not services:
            self._services = services
            self._discover(services)  # first: what is known of their instances at once is in the same snapshot
        snapshot = self._registry.build(self.generation + 1, accepted_ns, self._clock_ns() / 1e9)
        is_published = snapshot is not None and self._put(snapshot)
        if retargeted := self._registry.take_retargeted():
            self._probe(self._registry.targets, retargeted)
        self._notices.review(self._registry.problems)
        self._notices.report(self._registry.take_news())
        return is_published

    def _put(self, snapshot: Snapshot) -> bool:
        try:
            self._board.publish(snapshot.generation, self._encoder.encode(snapshot))
        except (BoardOverflow, CodecError) as error:
            self.failure = str(error)
            log.error("snapshot not published, workers keep the last one", error=str(error), generation=self.generation)
            return False
        self.failure = ""
        self.generation = snapshot.generation
        self.snapshot = snapshot
        self._wake()
        return True

    async def run(self) -> None:
        """Publish changes until cancelled, and what the passing of time changes (slow start)."""
        while True:
            with trio.move_on_after(max(0.0, self._registry.next_change() - self._clock_ns() / 1e9)):
                await self._changed.wait()
            await trio.lowlevel.checkpoint()  # whatever else this turn brings
            began = trio.current_time()
            if self.publish():
                await trio.sleep(max(INTERVAL, REST * (trio.current_time() - began)))
