"""Cells keep their owner, and rest before they change it."""

from __future__ import annotations

import pytest

from gateway.shm.cells import CellAllocator, CellsExhausted


def test_a_key_keeps_its_cell() -> None:
    cells = CellAllocator(10)
    first = cells.get(("users", "10.0.0.1:80"))
    assert cells.get(("users", "10.0.0.2:80")) != first
    assert cells.get(("users", "10.0.0.1:80")) == first


def test_cells_run_from_first_to_below_the_capacity() -> None:
    cells = CellAllocator(4, first=1)
    assert [cells.get(key) for key in "abc"] == [1, 2, 3]
    assert cells.high_water == 4
    with pytest.raises(CellsExhausted, match="all 4 cells"):
        cells.get("d")
    assert "d" not in cells


def test_fresh_cells_come_first_then_the_one_freed_longest_ago() -> None:
    cells = CellAllocator(4)
    assert [cells.get(key) for key in "abc"] == [0, 1, 2]
    cells.release("b")
    cells.release("a")
    assert [cells.get(key) for key in "def"[:1]] == [3]
    assert cells.get("e") == 1
    assert cells.get("f") == 0


def test_a_key_that_comes_back_may_get_another_cell() -> None:
    cells = CellAllocator(4)
    assert cells.get("a") == 0
    cells.release("a")
    assert "a" not in cells
    assert cells.get("a") == 1


def test_an_unknown_key_cannot_be_released() -> None:
    with pytest.raises(KeyError):
        CellAllocator(4).release("a")


def test_it_says_how_full_it_is() -> None:
    cells = CellAllocator(4)
    cells.get("a")
    cells.get("b")
    cells.release("a")
    assert len(cells) == 1
    assert repr(cells) == "<CellAllocator 1 in use, 1 freed, high water 2>"
