"""How the listening sockets of one address are shared out among the workers. Pure.

The kernel spreads new connections evenly over the sockets of an address, so workers get equally many connections
if they hold equally many sockets. A gateway that takes over from another one has the other's sockets, which must
not be closed while connections may be queued on them, and perhaps another number of workers: then some more are
bound, until each worker has as many as the next.

    taken over   workers   bound   each worker holds
    0            4         4       1
    4            4         0       1
    4            2         0       2
    2            4         2       1
    4            3         2       2
    16           3         0       5 or 6: MOST_EACH is passed, a bit uneven is better than ever more sockets
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MOST_EACH: Final = 4  # sockets that a worker holds of one address, so that all hold equally many


def lacking(taken_over: int, workers: int) -> int:
    """How many sockets to bind beside those that were taken over."""
    if taken_over > MOST_EACH * workers:
        return 0
    return workers if not taken_over else -taken_over % workers


def share_out(sockets: Sequence[T], workers: int) -> tuple[tuple[T, ...], ...]:
    """The sockets of each worker; there are at least as many as workers."""
    return tuple(tuple(sockets[n::workers]) for n in range(workers))
