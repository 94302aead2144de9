"""What every picker does, and the pickers by the names that configurations use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gateway.balance.hashing import Hash
from gateway.balance.instance import LiveInstance
from gateway.balance.latency import LeastLatency
from gateway.balance.least_connections import least_connections
from gateway.balance.simple import Nobody, Random, RoundRobin
from gateway.balance.weighted import Weighted

__all__ = ["BALANCES", "LiveInstance", "Picker", "make_picker"]


class Picker(Protocol):
    """Chooses an instance for each attempt, among those it was made with."""

    @property
    def needs_key(self) -> bool:
        """Whether `pick` looks at its key."""

    @property
    def observes(self) -> bool:
        """Whether latencies are wanted through `observe`."""

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        """An instance that is not in `tried` and below the limit of requests in flight; None if there is none.

        Counting the attempt as in flight is the caller's, before the next pick.
        """

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Seconds that a successful attempt took to its response head. Failures are not told: they are fast."""


BALANCES: Final[dict[str, Callable[[Sequence[LiveInstance], memoryview, int, int], Picker]]] = {
    "least_connections": least_connections,
    "weighted": Weighted,
    "round_robin": RoundRobin,
    "random": Random,
    "least_latency": LeastLatency,
    "hash": Hash,
}


def make_picker(
    balance: str, instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int
) -> Picker:
    """A picker over these instances, all of which may take traffic and have a weight above 0.

    Made anew when the instances or their weights change. `words` is the whole ledger; `max_in_flight`
    is per instance over all workers (0: none); `worker` makes workers start at different places.
    Raises ValueError for a balance that does not exist.
    """
    make = BALANCES.get(balance)
    if make is None:
        raise ValueError(f"balance {balance!r} does not exist: use one of {', '.join(BALANCES)}")
    return make(instances, words, max_in_flight, worker) if instances else Nobody()
