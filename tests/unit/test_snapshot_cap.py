"""How much of a service may be out at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.snapshot.cap import most_out


@pytest.mark.parametrize(
    ("total", "percent", "most"),
    [(0, 100, 0), (1, 100, 0), (2, 50, 1), (2, 49, 0), (2, 100, 1), (3, 50, 1), (3, 67, 2), (10, 50, 5), (10, 0, 0)],
)
def test_it_is_rounded_down_and_never_the_last(total: int, percent: int, most: int) -> None:
    assert most_out(total, percent) == most


@given(st.integers(min_value=1, max_value=10_000), st.integers(min_value=0, max_value=100))
def test_laws(total: int, percent: int) -> None:
    most = most_out(total, percent)
    assert 0 <= most < total
    assert most * 100 <= total * percent
    assert most == total - 1 or (most + 1) * 100 > total * percent
