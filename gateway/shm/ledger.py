"""The ledger: how workers count, and how the supervisor adds it all up.

Every worker stores words of its own row alone, so no store is ever lost and none needs a lock; it
does so by index, through the functions of `layout` (`words[instance_word(row, cell, I_OK)] += 1`
costs 0.1 us) and, for status codes, through `CodeSlots`. The supervisor sums.

What a reader gets is a sum over rows plus an *offset* that the supervisor keeps beside the shared
memory: `retire` adds what a dead worker had counted before its row is zeroed, `forget_*` subtracts
what was counted for a cell's previous owner. Hence totals never go backward while a cell has one
owner, whatever happens to workers. Gauges (in flight, connections, ejected until) have no offset: they
die with their worker.
"""

from __future__ import annotations

import contextlib
import mmap
import sys
from collections import Counter
from operator import add
from typing import Final

from gateway.shm.figures import LedgerTotals, RouteTotals, RowFigures, ledger_totals, row_figures
from gateway.shm.layout import (
    CODE_COUNT_MASK,
    CODE_SHIFT,
    CODE_SLOTS,
    I_EJECTED_UNTIL_NS,
    I_EJECTION_COUNT,
    I_IN_FLIGHT,
    INSTANCE_CELLS,
    INSTANCE_WORDS,
    INSTANCES_OFFSET,
    L_ROW_WORDS,
    L_ROWS,
    L_USED,
    LAYOUT_VERSION,
    LEDGER_HEADER_BYTES,
    LEDGER_MAGIC,
    PROPAGATION_BOUNDS,
    R_CONNECTIONS,
    R_GENERATION,
    R_HEARTBEAT_NS,
    R_IN_FLIGHT,
    R_PID,
    R_PROPAGATION,
    R_PROPAGATION_SUM_US,
    R_REQUESTS_TOTAL,
    R_STATE,
    R_UPSTREAM_IDLE,
    ROUTE_CELLS,
    ROUTE_WORDS,
    ROUTES_OFFSET,
    ROW_HEADER_WORDS,
    ROW_WORDS,
    RT_CODES,
    RT_DURATION,
    RT_DURATION_SUM_US,
    WORD,
    instance_word,
    route_word,
    row_word,
)
from gateway.shm.memory import LayoutMismatch

__all__ = ["LayoutMismatch", "Ledger", "ledger_bytes"]

_GAUGES: Final = frozenset({R_HEARTBEAT_NS, R_GENERATION, R_PID, R_STATE, R_CONNECTIONS, R_IN_FLIGHT, R_UPSTREAM_IDLE})
_INSTANCE_GAUGES: Final = frozenset({I_IN_FLIGHT, I_EJECTED_UNTIL_NS, I_EJECTION_COUNT})
_SCAN_BYTES: Final = 64 * 1024  # of a row, looked at in one go when it is retired
_ZEROS: Final = bytes(_SCAN_BYTES)
_DURATION_WORDS: Final = RT_DURATION_SUM_US + 1 - RT_DURATION  # the buckets and the sum


def ledger_bytes(rows: int) -> int:
    """Size of the memory of a ledger of `rows` workers."""
    return LEDGER_HEADER_BYTES + rows * ROW_WORDS * WORD


def _check_size(memory: mmap.mmap, rows: int) -> None:
    if len(memory) != ledger_bytes(rows):
        raise LayoutMismatch(f"a ledger of {rows} rows is {ledger_bytes(rows)} bytes long, not {len(memory)}")


class Ledger:
    """The supervisor's side: reads all rows, retires those of dead workers, keeps the offsets (hence one of it)."""

    def __init__(self, memory: mmap.mmap, rows: int) -> None:
        """Raises LayoutMismatch when `memory` is not a ledger of this layout with `rows` rows."""
        _check_size(memory, rows)
        self.words: Final = memoryview(memory).cast("Q")
        words = self.words
        if words[0] != LEDGER_MAGIC:
            raise LayoutMismatch("this memory is not a ledger: pass the ledger's descriptor")
        if words[1] != LAYOUT_VERSION or words[L_ROW_WORDS] != ROW_WORDS:
            raise LayoutMismatch(
                f"the ledger has layout {words[1]} with {words[L_ROW_WORDS]} words a row, this program layout "
                f"{LAYOUT_VERSION} with {ROW_WORDS}: supervisor and worker must be of one version; restart the gateway"
            )
        if words[L_ROWS] != rows:
            raise LayoutMismatch(f"the ledger has {words[L_ROWS]} rows, not {rows}")
        self._memory = memory
        self._retired_requests: dict[int, int] = {}  # by row: answered by workers that are dead
        self._header_offset = [0] * ROW_HEADER_WORDS
        self._instance_offsets: dict[int, list[int]] = {}
        self._forgotten_ejections: dict[int, list[int]] = {}  # by cell: every row's word when the cell changed hands
        self._code_offsets: dict[int, Counter[int]] = {}
        self._duration_offsets: dict[int, list[int]] = {}

    @property
    def rows(self) -> int:
        """Rows in use."""
        return self.words[L_USED]

    def use(self, rows: int) -> None:
        """Look at so many rows from now on; workers see it with their next batch. Raises ValueError for too many."""
        if not 0 < rows <= self.words[L_ROWS]:
            raise ValueError(f"the ledger has {self.words[L_ROWS]} rows, not {rows}")
        self.words[L_USED] = rows

    @classmethod
    def initialise(cls, memory: mmap.mmap, rows: int) -> Ledger:
        """Writes the header of a fresh (zeroed) memory of `ledger_bytes(rows)` and opens it. Raises LayoutMismatch."""
        _check_size(memory, rows)
        words = memoryview(memory).cast("Q")
        words[L_ROWS] = words[L_USED] = rows
        words[L_ROW_WORDS] = ROW_WORDS
        words[1] = LAYOUT_VERSION
        words[0] = LEDGER_MAGIC
        return cls(memory, rows)

    # --- a worker's own figures ---------------------------------------------------------------

    def row(self, row: int) -> RowFigures:
        """The figures of the worker of this row; its requests are those of its predecessors as well."""
        start = row_word(row, 0)
        header = self.words[start : start + R_PROPAGATION].tolist()
        header[R_REQUESTS_TOTAL] += self._retired_requests.get(row, 0)
        return row_figures(header)

    def _header_totals(self) -> list[int]:
        """Every header word summed over rows, with what dead workers left."""
        totals = self._header_offset
        for row in range(self.rows):
            start = row_word(row, 0)
            totals = list(map(add, totals, self.words[start : start + ROW_HEADER_WORDS].tolist()))
        return totals

    def totals(self) -> LedgerTotals:
        """All workers' figures together."""
        return ledger_totals(self._header_totals())

    def propagation_totals(self) -> tuple[tuple[int, ...], int]:
        """How long accepted changes took to reach workers: bucket counts (not cumulative, +Inf last), sum in us."""
        w = self._header_totals()
        return tuple(w[R_PROPAGATION : R_PROPAGATION + len(PROPAGATION_BOUNDS) + 1]), w[R_PROPAGATION_SUM_US]

    # --- instances ----------------------------------------------------------------------------

    def instance_totals(self, cell: int) -> tuple[int, ...]:
        """The INSTANCE_WORDS words of one instance, summed over workers (ejected-until: the latest)."""
        return self.instances_totals(cell, cell + 1)[0]

    def instances_totals(self, first: int, stop: int) -> list[tuple[int, ...]]:
        """As `instance_totals` for the cells `first` to `stop` - 1, in order: 5,000 cells of 4 rows cost 10 ms."""
        # Cells side by side are one long number: no word's sum comes near 2**64, so none carries into the next.
        rows = (self.words[instance_word(row, first, 0) : instance_word(row, stop, 0)] for row in range(self.rows))
        total = sum(int.from_bytes(row, sys.byteorder) for row in rows)
        length = (stop - first) * INSTANCE_WORDS * WORD
        summed = memoryview(total.to_bytes(length, sys.byteorder)).cast("Q").tolist()
        summed[I_EJECTED_UNTIL_NS::INSTANCE_WORDS] = self.ejected_until(first, stop)
        words = iter(summed)
        cells: list[tuple[int, ...]] = list(zip(*[words] * INSTANCE_WORDS, strict=True))
        for cell, offset in self._instance_offsets.items():
            if first <= cell < stop:
                cells[cell - first] = tuple(map(add, cells[cell - first], offset))
        return cells

    def ejected_until(self, first: int, stop: int) -> list[int]:
        """Until when the cells `first` to `stop` - 1 are ejected, by any worker (CLOCK_MONOTONIC in ns; 0: not)."""
        columns = [
            self.words[
                instance_word(row, first, I_EJECTED_UNTIL_NS) : instance_word(row, stop, 0) : INSTANCE_WORDS
            ].tolist()
            for row in range(self.rows)
        ]
        for cell, stale in self._forgotten_ejections.items():
            if first <= cell < stop:
                for column, value in zip(columns, stale, strict=False):  # the number of rows may be another now
                    if column[cell - first] == value:  # the worker has not touched it for the new owner
                        column[cell - first] = 0
        return list(map(max, zip(*columns, strict=True)))

    def in_flight(self, cell: int) -> int:
        """Attempts under way on an instance, over all workers."""
        return sum(self.words[instance_word(row, cell, I_IN_FLIGHT)] for row in range(self.rows))

    def forget_instance(self, cell: int) -> None:
        """The cell gets a new owner: its counters start from 0 again, and an old ejection is not the new owner's."""
        totals = self.instance_totals(cell)
        offset = self._instance_offsets.setdefault(cell, [0] * INSTANCE_WORDS)
        for word, total in enumerate(totals):
            if word not in _INSTANCE_GAUGES:
                offset[word] -= total
        self._forgotten_ejections[cell] = [
            self.words[instance_word(row, cell, I_EJECTED_UNTIL_NS)] for row in range(self.rows)
        ]

    # --- routes -------------------------------------------------------------------------------

    def route_totals(self, cell: int) -> RouteTotals:
        """Responses and durations of one route, summed over workers."""
        codes: Counter[int] = Counter(self._code_offsets.get(cell, {}))
        durations = self._duration_offsets.get(cell, [0] * _DURATION_WORDS)
        for row in range(self.rows):
            start = route_word(row, cell, 0)
            words = self.words[start : start + RT_DURATION_SUM_US + 1].tolist()
            _count_codes(codes, words)
            durations = list(map(add, durations, words[RT_DURATION:]))
        return RouteTotals({code: n for code, n in sorted(codes.items()) if n}, tuple(durations[:-1]), durations[-1])

    def forget_route(self, cell: int) -> None:
        """The cell gets a new owner: its counters start from 0 again."""
        totals = self.route_totals(cell)
        self._code_offsets.setdefault(cell, Counter()).subtract(totals.codes)
        offset = self._duration_offsets.get(cell, [0] * _DURATION_WORDS)
        self._duration_offsets[cell] = [a - b for a, b in zip(offset, (*totals.buckets, totals.sum_us), strict=True)]

    # --- the end of a worker ------------------------------------------------------------------

    def retire(self, row: int) -> None:
        """Keeps what a dead worker counted and zeroes its row for a successor. The worker must be gone.

        A row is looked through and zeroed in about 20 ms; its pages are given back.
        """
        start = row_word(row, 0)
        header = self.words[start : start + ROW_HEADER_WORDS].tolist()
        for word, count in enumerate(header):
            if word not in _GAUGES:
                self._header_offset[word] += count
        self._retired_requests[row] = self._retired_requests.get(row, 0) + header[R_REQUESTS_TOTAL]
        for cell, words in self._used_cells(row, INSTANCES_OFFSET, INSTANCE_CELLS, INSTANCE_WORDS):
            offset = self._instance_offsets.setdefault(cell, [0] * INSTANCE_WORDS)
            for word, count in enumerate(words):
                if word not in _INSTANCE_GAUGES:
                    offset[word] += count
        for cell, words in self._used_cells(row, ROUTES_OFFSET, ROUTE_CELLS, ROUTE_WORDS):
            _count_codes(self._code_offsets.setdefault(cell, Counter()), words)
            durations = self._duration_offsets.get(cell, [0] * _DURATION_WORDS)
            self._duration_offsets[cell] = list(map(add, durations, words[RT_DURATION : RT_DURATION_SUM_US + 1]))
        self._zero(row)

    def _used_cells(self, row: int, offset: int, cells: int, size: int) -> list[tuple[int, list[int]]]:
        """The cells of a row that hold anything but zeros, with their words. `offset`, `size` in words."""
        used: list[tuple[int, list[int]]] = []
        start = row_word(row, offset)
        step = _SCAN_BYTES // WORD // size
        for first in range(0, cells, step):
            at = start + first * size
            stop = at + min(step, cells - first) * size
            if self._memory[at * WORD : stop * WORD] == _ZEROS[: (stop - at) * WORD]:
                continue
            for cell in range(first, first + (stop - at) // size):
                words = self.words[start + cell * size : start + (cell + 1) * size].tolist()
                if any(words):
                    used.append((cell, words))
        return used

    def _zero(self, row: int) -> None:
        """Zeroes a row, and gives its whole pages back where the kernel can."""
        start, stop = row_word(row, 0) * WORD, row_word(row + 1, 0) * WORD
        for at in range(start, stop, _SCAN_BYTES):
            end = min(at + _SCAN_BYTES, stop)
            if self._memory[at:end] != _ZEROS[: end - at]:
                self._memory[at:end] = _ZEROS[: end - at]
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = stop // mmap.PAGESIZE * mmap.PAGESIZE - first
        with contextlib.suppress(OSError):  # a kernel without it keeps zeroed pages: memory, not correctness
            self._memory.madvise(mmap.MADV_REMOVE, first, whole)


def _count_codes(codes: Counter[int], words: list[int]) -> None:
    """Adds a route cell's code slots to `codes`."""
    for word in words[RT_CODES : RT_CODES + CODE_SLOTS]:
        if word:
            codes[word >> CODE_SHIFT] += word & CODE_COUNT_MASK
