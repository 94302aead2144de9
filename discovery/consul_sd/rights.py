"""What the token may not do, as problems: calls that Consul refuses, and what it hides without a word.

A known token without permission gets an empty answer, not 403 (see `permissions`). So whenever an answer lists
nothing, or no longer all, Consul is asked what the token lacks; while something is missing it is asked again every
`RECHECK` seconds, as a policy that grants it wakes no watch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from discovery.consul_sd.errors import ConsulError, Forbidden
from discovery.consul_sd.permissions import Permission, in_words
from discovery.consul_sd.watch import Connect
from discovery.model import Origin, OriginKind, Problem
from discovery.source import Emit, SourceProblems

PAUSE = 1.0  # seconds between two questions, at least
RECHECK = 10.0


class Rights:
    """Collects refusals by the watch they concern, asks what is missing, and emits what a person must mend."""

    def __init__(
        self,
        source: str,
        doubtful: Callable[[], Sequence[Permission]],
        on_denied: Callable[[frozenset[Permission]], None],
    ) -> None:
        """`doubtful`: what the token may lack, to judge by the answers; `on_denied` is told what of that is missing."""
        self._source = source
        self._doubtful = doubtful
        self._on_denied = on_denied
        self._refusals: dict[str, str] = {}  # by watch
        self._denied: tuple[Permission, ...] = ()
        self._emitted: tuple[Problem, ...] = ()
        self._emit: Emit | None = None
        self._doubt = trio.Event()

    def succeeded(self, watch: str, *, is_doubtful: bool) -> None:
        """A watch has an answer; `is_doubtful`: the token may lack something to see all of it."""
        if self._refusals.pop(watch, None) is not None:
            self._publish()
        if self._denied or is_doubtful:
            self._doubt.set()

    def failed(self, watch: str, error: ConsulError) -> None:
        """A watch has none."""
        if isinstance(error, Forbidden):
            self._refusals[watch] = str(error)
            self._publish()

    def forget(self, watch: str) -> None:
        """A watch is no longer wanted."""
        if self._refusals.pop(watch, None) is not None:
            self._publish()

    async def run(self, connect: Connect, emit: Emit) -> None:
        """Asks until cancelled."""
        self._emit = emit
        while True:
            with trio.move_on_after(RECHECK if self._denied else float("inf")):
                await self._doubt.wait()
            self._doubt = trio.Event()
            await self._ask(connect)
            await trio.sleep(PAUSE)

    async def _ask(self, connect: Connect) -> None:
        doubtful = tuple(dict.fromkeys((*self._doubtful(), *self._denied)))
        denied: tuple[Permission, ...] = ()
        if doubtful:
            try:
                async with connect() as client:
                    denied = await client.denied(doubtful)
            except ConsulError:
                return  # the watches report that Consul does not answer
        self._denied = denied
        self._on_denied(frozenset(denied))
        self._publish()

    def _publish(self) -> None:
        problems: list[Problem] = []
        origin = Origin(OriginKind.CONSUL, f"permissions of the token, {self._source}")
        if self._refusals:
            first, *others = dict.fromkeys(self._refusals.values())
            more = f" (and {len(others)} more calls)" if others else ""
            problems.append(Problem(origin, f"{first}{more}"))
        if self._denied:
            message = f"the token lacks {in_words(self._denied)}: what that hides is not known, and stays as it was"
            problems.append(Problem(origin, message))
        if self._emit is not None and tuple(problems) != self._emitted:
            self._emitted = tuple(problems)
            self._emit(SourceProblems(self._source, self._emitted))
