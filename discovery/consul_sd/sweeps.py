"""When everything must be asked for, because a write to the catalog cannot be explained.

What wakes the watch of the catalog and leaves its content as it was (an instance without a check, another weight or
address) cannot be told apart: then a sweep is due, at most every `SWEEP_INTERVAL`. Not so when a watch of checks tells
of the very same write, by its index, which is how an instance with checks comes and goes: its service is known then. As
another write may hide behind it (in one transaction, or done while nobody waited for either), a sweep is due some time
later all the same (`LATE_SWEEP`). The index of the answer of a service that changed explains a write as well: several
may come in one answer of the checks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

SWEEP_INTERVAL = 5.0  # seconds between sweeps, at least
EXPLAIN_WAIT = 1.0  # seconds that the watches of checks have to tell of a write that the catalog's told of
LATE_SWEEP = 10.0  # seconds after a write that both told of
REMEMBERED = 64  # indexes of writes that are explained


class Sweeps:
    """Sweeps when it is due."""

    def __init__(self, sweep: Callable[[], Awaitable[None]]) -> None:
        self._sweep = sweep
        self._explained: deque[int] = deque(maxlen=REMEMBERED)  # indexes of which it is clear what they changed
        self._unexplained: set[int] = set()  # those of the catalog's answers that no such is known of
        self._is_demanded = False
        self._news = trio.Event()

    def wrote(self, index: int) -> None:
        """The catalog was written to, says an answer with this index."""
        if index not in self._explained:
            self._unexplained.add(index)
        self._news.set()

    def explain(self, index: int) -> None:
        """It is clear what the write of this index changed."""
        self._explained.append(index)
        self._unexplained.discard(index)

    def forget(self) -> None:
        """Indexes count anew, as those of an agent that restarted."""
        self._explained.clear()

    def demand(self) -> None:
        """One is due at once."""
        self._is_demanded = True
        self._news.set()

    async def run(self) -> NoReturn:
        """Sweeps until cancelled."""
        late = float("inf")  # when one is due though all is explained
        while True:
            with trio.move_on_at(late):
                await self._news.wait()
                self._news = trio.Event()
                late = min(late, trio.current_time() + LATE_SWEEP)
                if not self._is_demanded:
                    await trio.sleep(EXPLAIN_WAIT)
            if self._is_demanded or self._unexplained or trio.current_time() >= late:
                self._is_demanded = False
                self._unexplained.clear()
                late = float("inf")
                await self._sweep()
                await trio.sleep(SWEEP_INTERVAL)
