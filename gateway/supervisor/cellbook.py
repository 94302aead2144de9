"""Cells of the ledger for keys that come and go, freed only when nobody can still write to them. Pure.

A key that leaves keeps its cell until no worker uses a generation in which the key was there, and
nothing is in flight on it. A key that returns before that has its cell back, counters and all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from gateway.shm.cells import CellAllocator

Key = TypeVar("Key", bound=Hashable)


class CellBook(Generic[Key]):
    """Who owns which cell of one kind. Raises CellsExhausted from `admit` when there are too few."""

    def __init__(self, capacity: int, first: int = 0) -> None:
        self._allocator = CellAllocator(capacity, first)
        self._owners: dict[int, Key] = {}
        self._left: dict[Key, int] = {}  # the first generation without it

    def admit(self, key: Key) -> int:
        """The key's cell, its own for as long as it is here."""
        cell = self._allocator.get(key)
        self._owners[cell] = key
        self._left.pop(key, None)
        return cell

    def dismiss(self, key: Key, generation: int) -> None:
        """The key is not in `generation` any more, nor in those after it."""
        self._left[key] = generation

    def owner(self, cell: int) -> Key | None:
        return self._owners.get(cell)

    def cell(self, key: Key) -> int | None:
        """The cell of a key that is here, or was and has not lost it yet."""
        return self._allocator.find(key)

    def release(self, generation: int, is_idle: Callable[[int], bool]) -> list[int]:
        """Free the cells of keys that left and are idle; `generation`: the oldest one a worker still uses."""
        freed: list[int] = []
        for key, since in list(self._left.items()):
            cell = self._allocator.get(key)
            if since <= generation and is_idle(cell):
                del self._left[key], self._owners[cell]
                self._allocator.release(key)
                freed.append(cell)
        return freed

    @property
    def high_water(self) -> int:
        """Every cell ever given is below this number."""
        return self._allocator.high_water
