"""`gateway.supervisor.sharing`: sockets shared out among workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.supervisor.sharing import MOST_EACH, lacking, share_out


@pytest.mark.parametrize(
    ("taken_over", "workers", "bound"),
    [(0, 4, 4), (4, 4, 0), (4, 2, 0), (2, 4, 2), (4, 3, 2), (1, 1, 0), (5, 1, 0), (16, 3, 0)],
)
def test_as_many_are_bound_as_the_table_of_the_module_says(taken_over: int, workers: int, bound: int) -> None:
    assert lacking(taken_over, workers) == bound


@given(st.integers(0, 64), st.integers(1, 16))
def test_every_socket_has_one_owner_and_workers_hold_equally_many(taken_over: int, workers: int) -> None:
    sockets = list(range(taken_over + lacking(taken_over, workers)))
    shares = share_out(sockets, workers)
    assert sorted(sock for share in shares for sock in share) == sockets
    held = {len(share) for share in shares}
    assert min(held) >= 1
    assert max(held) - min(held) <= (1 if taken_over > MOST_EACH * workers else 0)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=40))
def test_any_number_of_upgrades_keeps_the_number_of_sockets_bounded(numbers: list[int]) -> None:
    sockets = 0
    for workers in numbers:
        sockets += lacking(sockets, workers)
        assert sockets < (MOST_EACH + 1) * max(numbers)
