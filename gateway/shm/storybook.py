"""The reading end of all workers' rings: one request's story, or the last ones that went wrong. For the supervisor."""

from __future__ import annotations

import mmap

from gateway.shm import rings
from gateway.shm.story import VERSION, Story, decode


class StoryBook:
    """Stories of all workers, those of dead ones included. Reading may take milliseconds: best in a thread."""

    def __init__(self, memory: mmap.mmap, rows: int, workers: int) -> None:
        """`workers` of `rows` have written yet. Raises LayoutMismatch when `memory` does not hold so many rows."""
        rings.check(memory, rows)
        self._memory = memory
        self._workers = workers

    @staticmethod
    def initialise(memory: mmap.mmap, rows: int, workers: int) -> StoryBook:
        """Make a zeroed memory the rings of so many workers at most."""
        rings.initialise(memory, rows)
        return StoryBook(memory, rows, workers)

    def use(self, workers: int) -> None:
        """So many rows are in use. Those that once were are read further, others never: reading allocates pages."""
        self._workers = max(self._workers, workers)

    def find(self, request_id: str) -> tuple[Story, ...]:
        """All that is remembered of requests with this id, newest first; several where a client used it again."""
        start = b'["%b","%b",' % (VERSION.encode(), request_id.encode())
        found: list[Story] = []
        for worker in range(self._workers):
            for ring in (rings.NOTABLE, rings.RECENT):
                for lines in rings.read(self._memory, worker, ring):
                    if start in lines:
                        found += (decode(line, worker) for line in lines.splitlines() if line.startswith(start))
        return _newest_first(found)

    def failures(self, count: int) -> tuple[Story, ...]:
        """The last failures and retries, newest first."""
        found: list[Story] = []
        for worker in range(self._workers):
            lines: list[bytes] = []
            for segment in rings.read(self._memory, worker, rings.NOTABLE):
                lines = segment.splitlines() + lines
                if len(lines) >= count:
                    break
            found += (decode(line, worker) for line in lines[-count:])
        return _newest_first(found)[:count]


def _newest_first(stories: list[Story]) -> tuple[Story, ...]:
    return tuple(sorted(stories, key=lambda each: each.end, reverse=True))
