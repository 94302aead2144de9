"""The board under any order of publications and damage: what is read was published, and whole."""

from __future__ import annotations

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shm.board import BoardOverflow, BoardReader, BoardWriter, board_bytes

SLOT = 256


@given(st.lists(st.binary(max_size=SLOT + 20), max_size=12))
def test_the_last_payload_that_fitted_is_read(payloads: list[bytes]) -> None:
    memory = mmap.mmap(-1, board_bytes(SLOT))
    writer, reader = BoardWriter(memory), BoardReader(memory)
    expected: tuple[int, bytes] | None = None
    for generation, payload in enumerate(payloads, 1):
        if len(payload) > SLOT:
            with pytest.raises(BoardOverflow):
                writer.publish(generation, payload)
        else:
            writer.publish(generation, payload)
            expected = (generation, payload)
        assert reader.read() == expected
        assert reader.generation == (expected[0] if expected else 0)


@given(st.lists(st.binary(max_size=SLOT), min_size=1, max_size=3), st.data())
def test_damage_never_reads_as_something_that_was_not_published(payloads: list[bytes], data: st.DataObject) -> None:
    memory = mmap.mmap(-1, board_bytes(SLOT))
    writer, reader = BoardWriter(memory), BoardReader(memory)
    for generation, payload in enumerate(payloads, 1):
        writer.publish(generation, payload)
    for _ in range(data.draw(st.integers(min_value=1, max_value=3))):
        memory[data.draw(st.integers(min_value=0, max_value=len(memory) - 1))] ^= data.draw(
            st.integers(min_value=1, max_value=255)
        )
    assert reader.read() in (None, *enumerate(payloads, 1))
