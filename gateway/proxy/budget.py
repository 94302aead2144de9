"""The retry budget of one service in one worker: retries never multiply the load of a service that fails.

At most SHARE of the requests in flight, and at least FLOOR, may be retries at one time. A retry beyond
that waits for its turn instead of failing at once: when one instance of three dies, a third of all
requests want another attempt in the same millisecond, and each takes only milliseconds. When the whole
service fails turns do not come, and what has waited WAIT_SECONDS is given up.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.proxy.deadlines import Deadlines, Timed

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange

SHARE: Final = 0.2
FLOOR: Final = 3
WAIT_SECONDS: Final = 1.0


class RetryTurn(Timed):
    """One exchange's place in the queue, then its share of the budget."""

    __slots__ = ("_budget", "_exchange", "is_granted")

    def __init__(self, budget: RetryBudget, exchange: Exchange) -> None:
        super().__init__()
        self._budget = budget
        self._exchange = exchange
        self.is_granted = False

    def on_deadline(self, now: float) -> None:
        """The turn did not come in time."""
        self._budget.give_up(self)
        self._exchange.on_retry_refused()

    def grant(self) -> None:
        """It is this exchange's turn."""
        self.is_granted = True
        self._exchange.on_retry_granted()

    def end(self) -> None:
        """The exchange is over, or needs the turn no more."""
        self._budget.end(self)


class RetryBudget:
    """See the module."""

    __slots__ = ("_active", "_deadlines", "_is_granting", "_limit", "_waiting")

    def __init__(self, deadlines: Deadlines) -> None:
        self._active = 0
        self._limit = float(FLOOR)
        self._waiting: deque[RetryTurn] = deque()
        self._deadlines = deadlines
        self._is_granting = False

    def ask(self, exchange: Exchange, in_flight: int, now: float, until: float) -> RetryTurn:
        """A turn for the exchange: granted at once if `is_granted`, else to be waited for, not after `until`."""
        turn = RetryTurn(self, exchange)
        self._limit = max(FLOOR, SHARE * in_flight)
        if self._active < self._limit:
            self._active += 1
            turn.is_granted = True
        else:
            self._waiting.append(turn)
            self._deadlines.arm(turn, min(until, now + WAIT_SECONDS))
        return turn

    def end(self, turn: RetryTurn) -> None:
        """Take the turn back and pass it on."""
        if not turn.is_granted:
            self.give_up(turn)
            return
        self._active -= 1
        if self._is_granting:  # the one granted below ended at once: its turn goes on from there
            return
        self._is_granting = True
        while self._waiting and self._active < self._limit:
            following = self._waiting.popleft()
            self._deadlines.forget(following)
            self._active += 1
            following.grant()
        self._is_granting = False

    def give_up(self, turn: RetryTurn) -> None:
        """The turn leaves the queue."""
        self._deadlines.forget(turn)
        if turn in self._waiting:
            self._waiting.remove(turn)
