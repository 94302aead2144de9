"""Rings of lines in shared memory: what a worker wrote last, still there when the worker is not.

    word 0   MAGIC "gwstory1"        word 1   LAYOUT_VERSION     word 2  rows     words 3-7 reserved
    byte 64                          row 0, row 1, ... row N-1: one a worker

A row is its rings, one after the other (`RINGS`: the number of segments of each); a ring is segments of
SEGMENT_BYTES; a segment is two words, its sequence and how many bytes of it are used, then lines. Segments
are filled one after the other, without end: the n-th since the start lies at place n % segments and has the
sequence 2n + 2, and 2n + 1 while it is emptied to be filled anew.

Theory: lines are only ever added behind what is used, and count once `used` is stored after them, so that
what is used does not change as long as the sequence does not. A reader copies a segment and looks at the
sequence again: lines are read whole or not at all, and neither side waits for the other. A worker that
starts goes on behind what its predecessor left. Adding a batch of lines costs two stores.

Pages that nothing was written to are never allocated.
"""

from __future__ import annotations

import mmap
from typing import Final

from gateway.shm.memory import LayoutMismatch

MAGIC: Final = int.from_bytes(b"gwstory1", "little")
LAYOUT_VERSION: Final = 1
HEADER_BYTES: Final = 64
SEGMENT_BYTES: Final = 65536
LINES_BYTES: Final = SEGMENT_BYTES - 16  # of a segment, for lines
RECENT: Final = 0  # the ring of ordinary requests, 4 MiB
NOTABLE: Final = 1  # the ring of failures and retries, 2 MiB: they are fewer, so they stay for longer
RINGS: Final = (64, 32)
_ROW_BYTES: Final = sum(RINGS) * SEGMENT_BYTES


def rings_bytes(rows: int) -> int:
    """Size of the memory of so many workers."""
    return HEADER_BYTES + rows * _ROW_BYTES


def initialise(memory: mmap.mmap, rows: int) -> None:
    """Make a zeroed memory one of rings."""
    words = memoryview(memory).cast("Q")
    words[1], words[2] = LAYOUT_VERSION, rows
    words[0] = MAGIC


def check(memory: mmap.mmap, rows: int) -> None:
    """Raises LayoutMismatch when `memory` does not hold the rings of so many workers."""
    if len(memory) != rings_bytes(rows):
        raise LayoutMismatch(f"the rings of {rows} workers are {rings_bytes(rows)} bytes long, not {len(memory)}")
    words = memoryview(memory).cast("Q")
    if (words[0], words[1], words[2]) != (MAGIC, LAYOUT_VERSION, rows):
        raise LayoutMismatch(f"this memory does not hold the rings of {rows} workers in layout {LAYOUT_VERSION}")


class RingWriter:
    """The writing end of one ring. There is one at a time."""

    __slots__ = ("_at", "_bytes", "_end", "_number", "_segments", "_start", "_used_word", "_words")

    def __init__(self, memory: mmap.mmap, row: int, ring: int) -> None:
        self._bytes = memoryview(memory)
        self._words = self._bytes.cast("Q")
        self._start = _start(row, ring)
        self._segments = RINGS[ring]
        self._number = 0
        self._at = self._end = self._used_word = 0
        last = max(self._words[_sequence_word(self._start, each)] for each in range(self._segments))
        if last % 2 or not last:  # nothing yet, or it died while it emptied a segment
            self._begin(last // 2)
        else:
            self._number = last // 2 - 1
            self._go_to(self._number % self._segments)

    def append(self, lines: list[bytes]) -> None:
        """Add lines, each with its line feed. One that fits into no segment is left out."""
        data = b"".join(lines) if len(lines) > 1 else lines[0]
        if self._at + len(data) <= self._end:
            self._write(data)
            return
        for line in lines:
            if len(line) > LINES_BYTES:
                continue
            if self._at + len(line) > self._end:
                self._begin(self._number + 1)
            self._write(line)

    def _write(self, data: bytes) -> None:
        at = self._at
        self._at = end = at + len(data)
        self._bytes[at:end] = data
        self._words[self._used_word] = end - self._end + LINES_BYTES

    def _begin(self, number: int) -> None:
        place = number % self._segments
        word = _sequence_word(self._start, place)
        self._words[word] = 2 * number + 1
        self._words[word + 1] = 0
        self._words[word] = 2 * number + 2
        self._number = number
        self._go_to(place)

    def _go_to(self, place: int) -> None:
        self._used_word = _sequence_word(self._start, place) + 1
        lines = 8 * self._used_word + 8
        self._at = lines + self._words[self._used_word]
        self._end = lines + LINES_BYTES


def read(memory: mmap.mmap, row: int, ring: int) -> list[bytes]:
    """What a ring holds, newest segment first: each some whole lines, oldest first."""
    start = _start(row, ring)
    view = memoryview(memory)
    words = view.cast("Q")
    found: list[tuple[int, bytes]] = []
    for place in range(RINGS[ring]):
        word = _sequence_word(start, place)
        sequence = words[word]
        lines = 8 * word + 16
        copy = bytes(view[lines : lines + min(words[word + 1], LINES_BYTES)])
        if copy and not sequence % 2 and words[word] == sequence:  # else it is being filled anew
            found.append((sequence, copy))
    return [copy for _, copy in sorted(found, reverse=True)]


def _start(row: int, ring: int) -> int:
    """Where a ring begins, in bytes."""
    return HEADER_BYTES + row * _ROW_BYTES + sum(RINGS[:ring]) * SEGMENT_BYTES


def _sequence_word(start: int, place: int) -> int:
    return (start + place * SEGMENT_BYTES) // 8
