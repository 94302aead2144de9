"""A worker's counting of status codes: which codes there will be is not known before, so slots are claimed."""

from __future__ import annotations

from typing import Final

from gateway.shm.layout import CODE_SHIFT, CODE_SLOTS, RT_CODES, route_word

_OVERFLOW_SLOT: Final = CODE_SLOTS - 1


class CodeSlots:
    """A worker's side of counting status codes: which word of its row counts a code of a route."""

    def __init__(self, words: memoryview, row: int) -> None:
        """`words` is the whole ledger, writable; the row must be fresh or one this process wrote."""
        self._words = words
        self._row = row
        self._indexes: dict[tuple[int, int], int] = {}

    def index(self, route_cell: int, status: int) -> int:
        """The index of the word to increment by one for this status; claims a slot at first sight."""
        index = self._indexes.get((route_cell, status))
        if index is None:
            index = self._indexes[route_cell, status] = self._claim(route_cell, status)
        return index

    def _claim(self, route_cell: int, status: int) -> int:
        start = route_word(self._row, route_cell, RT_CODES)
        for index in range(start, start + _OVERFLOW_SLOT):
            word = self._words[index]
            if not word:
                self._words[index] = status << CODE_SHIFT
                return index
            if word >> CODE_SHIFT == status:
                return index
        return start + _OVERFLOW_SLOT
