"""What a running gateway's workers do and know, read from the memory they share, once in a millisecond.

The board and the ledger are memfds; through /proc/PID/fd another process of the same user can map them read-only. So
nothing is asked of the gateway, and the figures are those of `gw_snapshot_generation{worker}` and
`gw_upstream_attempts_total`, each at the moment it changes. All times are of CLOCK_MONOTONIC, in seconds.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.rig.children import Stuck
from gateway.shm import memory
from gateway.shm.board import BoardReader
from gateway.shm.layout import I_ATTEMPTS, L_USED, R_GENERATION, instance_word, row_word
from gateway.snapshot.codec import Decoder
from gateway.snapshot.model import InstanceRecord, Snapshot

LOOK_SECONDS = 0.001

Instances = dict[str, InstanceRecord]
"""By address."""


class Shared:
    """Board and ledger of a running gateway. Raises Stuck when the process has none."""

    def __init__(self, pid: int) -> None:
        """`pid` is the supervisor's."""
        self._board = BoardReader(_map(pid, "gw-board"))
        self._ledger = memoryview(_map(pid, "gw-ledger")).cast("Q")
        self._decoder = Decoder()
        self.rows = self._ledger[L_USED]

    @property
    def generation(self) -> int:
        """The newest one on the board."""
        return self._board.generation

    def word(self, index: int) -> int:
        """A word of the ledger (`gateway.shm.layout`)."""
        return self._ledger[index]

    def generations(self) -> list[int]:
        """The one that each worker uses."""
        return [self._ledger[row_word(row, R_GENERATION)] for row in range(self.rows)]

    def payload(self) -> tuple[int, bytes]:
        """The newest snapshot, encoded. Raises Stuck when there is none."""
        copy = self._board.read()
        if copy is None:
            raise Stuck("no whole snapshot on the board")
        return copy

    def snapshot(self) -> Snapshot:
        """The newest one."""
        return self._decoder.decode(self.payload()[1])

    def instances(self, service: str) -> tuple[int, Instances]:
        """The newest generation, and the service's instances in it."""
        snapshot = self.snapshot()
        found = next((each for each in snapshot.services if each.name == service), None)
        return snapshot.generation, {each.address: each for each in found.instances} if found else {}

    def attempts(self, cell: int) -> list[int]:
        """Attempts that each worker has begun on an instance."""
        return [self._ledger[instance_word(row, cell, I_ATTEMPTS)] for row in range(self.rows)]


def _map(pid: int, name: str) -> mmap.mmap:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # one that was closed meanwhile is another's
            if str(entry.readlink()).startswith(f"/memfd:{name}"):
                fd = os.open(entry, os.O_RDONLY)
                try:
                    return memory.attach(fd, writable=False)
                finally:
                    os.close(fd)
    raise Stuck(f"process {pid} has no {name}")


@dataclass(slots=True)
class Change:
    """A snapshot of one service as it came on the board."""

    at: float
    generation: int
    instances: Instances
    used_at: list[float | None]  # by each worker


@dataclass(slots=True)
class History:
    """What happened since the last `Observer.restart`."""

    changes: list[Change] = field(default_factory=list)  # the first is what was in force then
    attempts: list[tuple[float, int, str]] = field(default_factory=list)  # when, worker, address


class Observer:
    """A thread that watches one service of one gateway; a context manager."""

    def __init__(self, pid: int, service: str) -> None:
        self.shared = Shared(pid)
        self._service = service
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._cells: dict[int, tuple[str, list[int]]] = {}  # address, attempts by worker
        self._history = History()
        self.restart()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def restart(self) -> None:
        """Forget what happened."""
        with self._lock:
            self._history = History()
            self._cells = {}
            self._note_snapshot(time.monotonic())

    def history(self) -> History:
        """What happened since; a copy, less its changes, which still grow."""
        with self._lock:
            return History(list(self._history.changes), list(self._history.attempts))

    @property
    def instances(self) -> Instances:
        """As the newest snapshot has them."""
        with self._lock:
            return self._history.changes[-1].instances

    def _note_snapshot(self, now: float) -> None:
        generation, instances = self.shared.instances(self._service)
        self._history.changes.append(Change(now, generation, instances, [None] * self.shared.rows))
        for address, each in instances.items():
            if self._cells.get(each.cell, ("",))[0] != address:
                self._cells[each.cell] = address, self.shared.attempts(each.cell)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            with self._lock:
                self._look(time.monotonic())

    def _look(self, now: float) -> None:
        if self.shared.generation != self._history.changes[-1].generation:
            self._note_snapshot(now)
        used = self.shared.generations()
        for change in reversed(self._history.changes):
            if None not in change.used_at:
                break  # a worker that uses this one uses what came before it
            for row, at in enumerate(change.used_at):
                if at is None and used[row] >= change.generation:
                    change.used_at[row] = now
        for cell, (address, before) in self._cells.items():
            counts = self.shared.attempts(cell)
            if counts != before:
                grown = [row for row in range(self.shared.rows) if counts[row] > before[row]]
                self._history.attempts += [(now, row, address) for row in grown]
                self._cells[cell] = address, counts
