"""Which cell of the ledger belongs to whom: stable numbers for keys that come and go. Pure.

A key keeps its cell for as long as it is known. A freed cell rests for as long as possible before
another key gets it: fresh cells are used first, then the one freed longest ago. Whoever reuses a
cell tells the ledger (`Ledger.forget_instance`, `forget_route`), and only once no worker uses a
generation in which the cell was another's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable


class CellsExhausted(Exception):
    """Every cell belongs to a key that is still known."""

    def __init__(self, capacity: int) -> None:
        super().__init__(f"all {capacity} cells of the ledger are in use: reduce the number of instances or routes")
        self.capacity = capacity


class CellAllocator:
    """Gives the cells `first` to `capacity` - 1 to keys."""

    def __init__(self, capacity: int, first: int = 0) -> None:
        self._capacity = capacity
        self._next = first
        self._cells: dict[Hashable, int] = {}
        self._freed: deque[int] = deque()

    def get(self, key: Hashable) -> int:
        """The key's cell, allotted at first sight. Raises CellsExhausted."""
        cell = self._cells.get(key)
        if cell is not None:
            return cell
        if self._next < self._capacity:
            cell = self._next
            self._next += 1
        elif self._freed:
            cell = self._freed.popleft()
        else:
            raise CellsExhausted(self._capacity)
        self._cells[key] = cell
        return cell

    def find(self, key: Hashable) -> int | None:
        """The key's cell, None if it has none."""
        return self._cells.get(key)

    def release(self, key: Hashable) -> None:
        """Forgets the key and frees its cell. Raises KeyError when the key is not known."""
        self._freed.append(self._cells.pop(key))

    @property
    def high_water(self) -> int:
        """Every cell ever given lies below this number."""
        return self._next

    def __contains__(self, key: Hashable) -> bool:
        return key in self._cells

    def __len__(self) -> int:
        """How many keys are known."""
        return len(self._cells)

    def __repr__(self) -> str:
        return f"<CellAllocator {len(self._cells)} in use, {len(self._freed)} freed, high water {self._next}>"
