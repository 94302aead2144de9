"""Lines of a worker in shared memory: in order, whole, the newest ones, over the writer's death."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.shm import rings
from gateway.shm.memory import LayoutMismatch, attach, create
from gateway.shm.rings import LINES_BYTES, NOTABLE, RECENT, RINGS, SEGMENT_BYTES, RingWriter, rings_bytes

ROOT = Path(__file__).parents[2]
LINE = 40_000  # bytes, of which a segment takes one
# Writes lines that are one letter over and over, a new one each time, until it is killed.
WRITE = """
import sys
from gateway.shm.memory import attach
from gateway.shm.rings import NOTABLE, RingWriter
writer = RingWriter(attach(int(sys.argv[1]), writable=True), 0, NOTABLE)
print("writing", flush=True)
number = 0
while True:
    number += 1
    writer.append([bytes([97 + number % 26]) * (1000 + number % 977) + b"\\n" for _ in range(number % 3 + 1)])
"""


@pytest.fixture
def memory() -> mmap.mmap:
    fd = create("rings", rings_bytes(2))
    memory = attach(fd, writable=True)
    os.close(fd)
    rings.initialise(memory, 2)
    return memory


def _lines(memory: mmap.mmap, row: int = 0, ring: int = RECENT) -> list[bytes]:
    return b"".join(reversed(rings.read(memory, row, ring))).splitlines()


def _line(number: int, size: int = LINE) -> bytes:
    return b"%0*d\n" % (size - 1, number)


def test_lines_are_read_in_their_order(memory: mmap.mmap) -> None:
    writer = RingWriter(memory, 0, RECENT)
    writer.append([b"one\n"])
    writer.append([b"two\n", b"three\n"])
    assert rings.read(memory, 0, RECENT) == [b"one\ntwo\nthree\n"]


def test_rings_and_workers_do_not_mix(memory: mmap.mmap) -> None:
    places = [(row, ring) for row in (0, 1) for ring in (RECENT, NOTABLE)]
    for row, ring in places:
        writer = RingWriter(memory, row, ring)
        for number in range(RINGS[ring] + 3):
            writer.append([_line(number * 10 + row * 2 + ring)])
    for row, ring in places:
        assert {int(line[-8:]) % 10 for line in _lines(memory, row, ring)} == {row * 2 + ring}


def test_the_oldest_segment_makes_room(memory: mmap.mmap) -> None:
    writer = RingWriter(memory, 0, NOTABLE)
    for number in range(100):
        writer.append([_line(number)])
    assert [int(line[-8:]) for line in _lines(memory, ring=NOTABLE)] == list(range(100 - RINGS[NOTABLE], 100))


def test_a_batch_that_does_not_fit_goes_on_in_the_next_segment(memory: mmap.mmap) -> None:
    writer = RingWriter(memory, 0, RECENT)
    writer.append([_line(number, 10_000) for number in range(10)])
    newer, older = rings.read(memory, 0, RECENT)
    assert [int(line[-8:]) for line in older.splitlines()] == list(range(6))
    assert [int(line[-8:]) for line in newer.splitlines()] == list(range(6, 10))


def test_a_line_that_fits_into_no_segment_is_left_out(memory: mmap.mmap) -> None:
    writer = RingWriter(memory, 0, RECENT)
    writer.append([_line(1, LINES_BYTES), _line(2, LINES_BYTES + 1), _line(3, 10)])
    assert [int(line[-8:]) for line in _lines(memory)] == [1, 3]


def test_a_successor_goes_on_behind_what_was_left(memory: mmap.mmap) -> None:
    for number in range(RINGS[NOTABLE] + 5):
        RingWriter(memory, 0, NOTABLE).append([_line(number)])
        RingWriter(memory, 0, NOTABLE).append([b"more\n"])
    lines = _lines(memory, ring=NOTABLE)
    assert lines[1::2] == [b"more"] * RINGS[NOTABLE]
    assert [int(line[-8:]) for line in lines[::2]] == list(range(5, RINGS[NOTABLE] + 5))


def test_a_segment_that_was_being_emptied_is_not_read_and_is_used_by_the_successor(memory: mmap.mmap) -> None:
    writer = RingWriter(memory, 0, NOTABLE)
    for number in range(RINGS[NOTABLE]):
        writer.append([_line(number)])
    words = memoryview(memory).cast("Q")
    oldest = (rings.HEADER_BYTES + RINGS[RECENT] * SEGMENT_BYTES) // 8  # of row 0
    assert words[oldest] == 2
    words[oldest] = 2 * RINGS[NOTABLE] + 1  # it died in the midst
    assert [int(line[-8:]) for line in _lines(memory, ring=NOTABLE)] == list(range(1, RINGS[NOTABLE]))
    RingWriter(memory, 0, NOTABLE).append([_line(99)])
    assert [int(line[-8:]) for line in _lines(memory, ring=NOTABLE)] == [*range(1, RINGS[NOTABLE]), 99]


def test_lines_are_whole_while_another_process_writes_and_when_it_is_killed() -> None:
    fd = create("rings", rings_bytes(1))
    memory = attach(fd, writable=True)
    rings.initialise(memory, 1)
    command = [sys.executable, "-c", WRITE, str(fd)]
    with subprocess.Popen(command, pass_fds=(fd,), stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
            end, reads = time.monotonic() + 1.0, 0
            while time.monotonic() < end:
                for segment in rings.read(memory, 0, NOTABLE):
                    assert segment.endswith(b"\n")
                    assert all(len(set(line)) == 1 and len(line) >= 1000 for line in segment.splitlines())
                reads += 1
        finally:
            process.kill()
    assert reads > 3
    assert sum(map(len, rings.read(memory, 0, NOTABLE))) > LINES_BYTES * (RINGS[NOTABLE] - 3)
    os.close(fd)


def test_another_memory_is_refused(memory: mmap.mmap) -> None:
    with pytest.raises(LayoutMismatch, match="3 workers"):
        rings.check(memory, 3)
    memory[0] ^= 1
    with pytest.raises(LayoutMismatch, match="does not hold"):
        rings.check(memory, 2)
