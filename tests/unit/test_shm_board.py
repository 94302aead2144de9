"""The board: what is published is read whole, by other processes too, or not at all."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import textwrap
import time

import pytest

from gateway.shm.board import BoardOverflow, BoardReader, BoardWriter, LayoutMismatch, board_bytes
from gateway.shm.layout import (
    B_GENERATION,
    B_SLOT,
    B_SLOT_BYTES,
    BOARD_HEADER_BYTES,
    S_SEQUENCE,
    SLOT_HEADER_BYTES,
    WORD,
)
from gateway.shm.memory import attach, create

SLOT = 1024


def fresh(slot_bytes: int = SLOT) -> mmap.mmap:
    return mmap.mmap(-1, board_bytes(slot_bytes))


def test_nothing_is_read_before_the_first_publication() -> None:
    memory = fresh()
    BoardWriter(memory)
    reader = BoardReader(memory)
    assert reader.generation == 0
    assert reader.read() is None


def test_the_newest_publication_is_read() -> None:
    memory = fresh()
    writer, reader = BoardWriter(memory), BoardReader(memory)
    for generation in range(1, 6):
        writer.publish(generation, b"payload %d" % generation)
        assert reader.generation == generation
        assert reader.read() == (generation, b"payload %d" % generation)


@pytest.mark.parametrize("size", [0, 1, 7, 8, SLOT - 1, SLOT])
def test_any_size_up_to_the_slot_fits(size: int) -> None:
    memory = fresh()
    writer, reader = BoardWriter(memory), BoardReader(memory)
    writer.publish(1, b"a" * SLOT)
    writer.publish(2, b"b" * size)
    assert reader.read() == (2, b"b" * size)


def test_what_does_not_fit_is_refused_and_the_previous_snapshot_stays() -> None:
    memory = fresh()
    writer, reader = BoardWriter(memory), BoardReader(memory)
    writer.publish(1, b"one")
    writer.publish(2, b"two")
    before = bytes(memory)
    with pytest.raises(BoardOverflow, match="1025 bytes, the board holds 1024") as caught:
        writer.publish(3, b"x" * (SLOT + 1))
    assert (caught.value.size, caught.value.limit) == (SLOT + 1, SLOT)
    assert bytes(memory) == before
    assert reader.read() == (2, b"two")
    writer.publish(3, b"three")
    assert reader.read() == (3, b"three")


@pytest.mark.parametrize("generation", [0, 4, 5])
def test_generations_only_rise(generation: int) -> None:
    memory = fresh()
    writer = BoardWriter(memory)
    writer.publish(5, b"five")
    with pytest.raises(ValueError, match="follows 5"):
        writer.publish(generation, b"again")
    assert BoardReader(memory).read() == (5, b"five")


def _slot_in_use(memory: mmap.mmap) -> int:
    return BOARD_HEADER_BYTES + memoryview(memory).cast("Q")[3] * (SLOT_HEADER_BYTES + SLOT)


def test_a_slot_that_is_being_written_is_not_read() -> None:
    memory = fresh()
    BoardWriter(memory).publish(1, b"one")
    memoryview(memory).cast("Q")[_slot_in_use(memory) // WORD + S_SEQUENCE] += 1
    assert BoardReader(memory).read() is None


@pytest.mark.parametrize("offset", [8, 16, 24, SLOT_HEADER_BYTES, SLOT_HEADER_BYTES + 2])
def test_one_wrong_byte_is_noticed(offset: int) -> None:
    """In length, checksum, generation and payload alike."""
    memory = fresh()
    BoardWriter(memory).publish(1, b"one")
    memory[_slot_in_use(memory) + offset] ^= 0x10
    assert BoardReader(memory).read() is None


def test_a_length_beyond_the_slot_is_not_believed() -> None:
    memory = fresh()
    BoardWriter(memory).publish(1, b"one")
    memoryview(memory).cast("Q")[_slot_in_use(memory) // WORD + 1] = 2**63
    assert BoardReader(memory).read() is None


def _mutated(word: int, value: int) -> mmap.mmap:
    memory = fresh()
    BoardWriter(memory)
    memoryview(memory).cast("Q")[word] = value
    return memory


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (mmap.mmap(-1, 32), "cannot be 32 bytes"),
        (mmap.mmap(-1, 4096), "not a board"),
        (_mutated(1, 99), "layout 99.*restart the gateway"),
        (_mutated(B_SLOT_BYTES, 2048), "slots of 2048 bytes"),
        (_mutated(B_SLOT_BYTES, 63), "slots of 63 bytes"),
    ],
)
def test_a_memory_of_another_kind_is_refused(memory: mmap.mmap, message: str) -> None:
    with pytest.raises(LayoutMismatch, match=message):
        BoardReader(memory)


def test_a_memory_too_small_for_a_board_is_refused() -> None:
    with pytest.raises(LayoutMismatch, match="more than 100 bytes"):
        BoardWriter(mmap.mmap(-1, 100))


WRITER = """
    import sys
    from gateway.shm.board import BoardWriter
    from gateway.shm.memory import attach

    writer = BoardWriter(attach(int(sys.argv[1]), writable=True))
    print("ready", flush=True)
    generation = 0
    while True:
        generation += 1
        size = generation * 7919 % 60000
        writer.publish(generation, generation.to_bytes(8, "little") + bytes([generation & 0xFF]) * size)
"""


def test_no_torn_snapshot_is_accepted_while_another_process_writes_flat_out() -> None:
    fd = create("board", board_bytes(65536))
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(fd)], pass_fds=[fd], stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        reader = BoardReader(attach(fd, writable=False))
        seen: set[int] = set()
        newest = reads = 0
        deadline = time.monotonic() + 30.0
        while (reads < 5000 or len(seen) <= 100) and time.monotonic() < deadline:
            got = reader.read()
            reads += 1
            if got is None:
                continue
            generation, payload = got
            assert payload[:8] == generation.to_bytes(8, "little")
            assert payload[8:] == bytes([generation & 0xFF]) * (generation * 7919 % 60000)
            assert generation >= newest, "a snapshot older than one already seen"
            newest = generation
            seen.add(generation)
        assert len(seen) > 100, f"{len(seen)} different generations in {reads} reads"
    finally:
        writer.kill()
        writer.communicate()
        os.close(fd)


def test_a_reader_never_goes_back() -> None:
    memory = mmap.mmap(-1, board_bytes(4096))
    writer, reader = BoardWriter(memory), BoardReader(memory)
    for generation in (1, 2, 3):
        writer.publish(generation, b"%d" % generation)
    assert reader.read() == (3, b"3")
    words = memoryview(memory).cast("Q")
    # What a reader sees that took the new slot's place before the writer announced it.
    words[B_SLOT], words[B_GENERATION] = 1 - words[B_SLOT], 2
    assert reader.read() is None
    words[B_SLOT], words[B_GENERATION] = 1 - words[B_SLOT], 3
    assert reader.read() == (3, b"3")
