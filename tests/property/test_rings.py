"""A ring under any batches and any restarts of its writer: what is read is the end of what was written."""

from __future__ import annotations

import mmap

from hypothesis import given
from hypothesis import strategies as st

from gateway.shm import rings
from gateway.shm.rings import LINES_BYTES, NOTABLE, RINGS, RingWriter, rings_bytes

BATCHES = st.lists(
    st.tuples(
        st.lists(st.sampled_from((2, 300, 5_000, 30_000, LINES_BYTES, LINES_BYTES + 1)), min_size=1, max_size=8),
        st.booleans(),  # does a successor take over before it?
    ),
    max_size=40,
)


@given(BATCHES)
def test_what_is_read_is_the_end_of_what_was_written(batches: list[tuple[list[int], bool]]) -> None:
    memory = mmap.mmap(-1, rings_bytes(1))
    rings.initialise(memory, 1)
    writer = RingWriter(memory, 0, NOTABLE)
    written: list[bytes] = []
    for number, (sizes, is_successor) in enumerate(batches):
        if is_successor:
            writer = RingWriter(memory, 0, NOTABLE)
        lines = [bytes([97 + (number + at) % 26]) * (size - 1) + b"\n" for at, size in enumerate(sizes)]
        writer.append(lines)
        written += [line for line in lines if len(line) <= LINES_BYTES]
    segments = rings.read(memory, 0, NOTABLE)
    read = b"".join(reversed(segments)).splitlines(keepends=True)
    assert read == written[len(written) - len(read) :]
    assert len(segments) == RINGS[NOTABLE] or len(read) == len(written)
