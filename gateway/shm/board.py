"""The board: how one supervisor shows its newest snapshot to all workers, without a lock.

Two slots; the writer fills the one that is not in use, then flips the header to it. A slot's
sequence is odd while it is written, so a reader that was overtaken twice notices; the checksum
covers payload, length and generation, so what the sequence cannot tell (stores seen out of order on
weakly ordered processors) is noticed as well. The global generation flips last: a reader
that sees it moved finds the slot complete.

A reader never waits for the writer. Having nothing new costs it one word read. If it is overtaken
READ_TRIES times running, it keeps its old view and asks again later: the generation still differs.
"""

from __future__ import annotations

import mmap
import zlib
from typing import Final

from gateway.shm.layout import (
    B_GENERATION,
    B_SLOT,
    B_SLOT_BYTES,
    BOARD_HEADER_BYTES,
    BOARD_MAGIC,
    BOARD_SLOT_BYTES,
    LAYOUT_VERSION,
    S_CRC32,
    S_GENERATION,
    S_LENGTH,
    S_SEQUENCE,
    SLOT_HEADER_BYTES,
    WORD,
)
from gateway.shm.memory import LayoutMismatch

__all__ = ["READ_TRIES", "BoardOverflow", "BoardReader", "BoardWriter", "LayoutMismatch", "board_bytes"]

READ_TRIES: Final = 64


class BoardOverflow(Exception):
    """A snapshot is larger than a slot. The one published before stays in force."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the snapshot is {size} bytes, the board holds {limit}: the previous one stays in force; "
            "reduce the number of routes, services or instances"
        )
        self.size = size
        self.limit = limit


def board_bytes(slot_bytes: int = BOARD_SLOT_BYTES) -> int:
    """Size of a board's memory, for payloads of up to `slot_bytes` (a multiple of 64)."""
    return BOARD_HEADER_BYTES + 2 * (SLOT_HEADER_BYTES + slot_bytes)


def _slot_bytes(size: int) -> int:
    """The payload size of the slots of a board of `size` bytes; below 0: too small for one."""
    room = (size - BOARD_HEADER_BYTES) // 2 - SLOT_HEADER_BYTES
    return room - room % 64


def _slot_start(slot: int, slot_bytes: int) -> int:
    """Where a slot's header begins, in bytes."""
    return BOARD_HEADER_BYTES + slot * (SLOT_HEADER_BYTES + slot_bytes)


def _checksum(generation: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(b"%d %d" % (generation, len(payload))))


class BoardWriter:
    """The one writer of a board; starts it empty."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._bytes = memoryview(memory)
        self._words = self._bytes[: len(memory) // WORD * WORD].cast("Q")
        self._slot_bytes = _slot_bytes(len(memory))
        if self._slot_bytes <= 0:
            raise LayoutMismatch(f"a board needs more than {len(memory)} bytes")
        self._words[B_GENERATION] = 0
        self._words[B_SLOT] = 0
        self._words[B_SLOT_BYTES] = self._slot_bytes
        self._words[1] = LAYOUT_VERSION
        self._words[0] = BOARD_MAGIC  # last: whoever sees it finds the rest

    def publish(self, generation: int, payload: bytes) -> None:
        """Makes `payload` what readers get. Generations rise from 1.

        Raises BoardOverflow when it does not fit, ValueError when `generation` is not above the last one; nothing is
        changed then.
        """
        words = self._words
        if generation <= words[B_GENERATION]:
            raise ValueError(f"generation {generation} follows {words[B_GENERATION]}")
        if len(payload) > self._slot_bytes:
            raise BoardOverflow(len(payload), self._slot_bytes)
        slot = 1 - words[B_SLOT]
        start = _slot_start(slot, self._slot_bytes)
        head = start // WORD
        sequence = words[head + S_SEQUENCE]
        words[head + S_SEQUENCE] = sequence + 1
        words[head + S_LENGTH] = len(payload)
        words[head + S_CRC32] = _checksum(generation, payload)
        words[head + S_GENERATION] = generation
        body = start + SLOT_HEADER_BYTES
        self._bytes[body : body + len(payload)] = payload
        words[head + S_SEQUENCE] = sequence + 2
        words[B_SLOT] = slot
        words[B_GENERATION] = generation


class BoardReader:
    """One of the readers of a board; a read-only map will do."""

    def __init__(self, memory: mmap.mmap) -> None:
        """Raises LayoutMismatch when `memory` is not a board of this layout."""
        if len(memory) < BOARD_HEADER_BYTES:
            raise LayoutMismatch(f"a board cannot be {len(memory)} bytes long")
        self._memory = memory
        self._words = memoryview(memory)[: len(memory) // WORD * WORD].cast("Q")
        if self._words[0] != BOARD_MAGIC:
            raise LayoutMismatch("this memory is not a board: pass the board's descriptor")
        if self._words[1] != LAYOUT_VERSION:
            raise LayoutMismatch(
                f"the board has layout {self._words[1]}, this program layout {LAYOUT_VERSION}: "
                "supervisor and worker must be of one version; restart the gateway"
            )
        self._newest = 0  # generation read last: a reader never goes back
        self._slot_bytes = self._words[B_SLOT_BYTES]
        if self._slot_bytes % 64 or board_bytes(self._slot_bytes) > len(memory):
            raise LayoutMismatch(f"the board names slots of {self._slot_bytes} bytes in {len(memory)} bytes of memory")

    @property
    def generation(self) -> int:
        """The generation published last; 0: none yet. One word read."""
        return self._words[B_GENERATION]

    def read(self) -> tuple[int, bytes] | None:
        """The newest snapshot's generation and payload; None when there is none, or no whole copy could be had."""
        words = self._words
        for _ in range(READ_TRIES):
            if not words[B_GENERATION]:
                return None
            start = _slot_start(words[B_SLOT] & 1, self._slot_bytes)
            head = start // WORD
            sequence = words[head + S_SEQUENCE]
            generation = words[head + S_GENERATION]
            length = words[head + S_LENGTH]
            checksum = words[head + S_CRC32]
            if sequence & 1 or length > self._slot_bytes:
                continue
            body = start + SLOT_HEADER_BYTES
            payload = self._memory[body : body + length]
            if generation < self._newest:
                continue  # what was read last was not announced yet; that is about to follow
            if words[head + S_SEQUENCE] == sequence and _checksum(generation, payload) == checksum:
                self._newest = generation
                return generation, payload
        return None
