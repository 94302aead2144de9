"""What became of each attempt of an exchange: read by the access log, tracing and `gw why` when the exchange ends.

Theory: nearly every exchange has one attempt, and that one is answered. Of an answered attempt the exchange
itself holds everything until its own end, and nothing comes after it; so only attempts that ended otherwise
leave a record, and the ordinary exchange makes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.balance.instance import LiveInstance
from gateway.errors import Reason
from gateway.proxy import account

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange


class Attempt:
    """One try of an exchange on one instance, when it is over. A time of less than 0 is one that never came."""

    __slots__ = (
        "candidates",
        "connect_seconds",
        "detail",
        "head_seconds",
        "instance",
        "is_reused",
        "is_stale",
        "reason",
        "seconds",
        "started",
        "status",
    )

    def __init__(
        self, exchange: Exchange, instance: LiveInstance, reason: Reason | None, detail: str, is_stale: bool
    ) -> None:
        """The attempt on `instance` that `exchange` is about to leave, or has just finished with."""
        self.instance = instance
        self.candidates = exchange.candidates  # instances that could be picked, this one among them
        self.started = exchange.attempt_started  # monotonic seconds, as the worker's clock (`Context.now`)
        self.is_reused = exchange.is_reused  # on a connection from the pool: there was nothing to connect
        self.connect_seconds = exchange.connect_seconds  # less than 0: reused, or never connected
        self.head_seconds = exchange.upstream_seconds  # from `started` to the response's head
        self.seconds = exchange.ctx.now - exchange.attempt_started  # in all
        self.status = exchange.status if exchange.response_started else 0  # of the instance's answer
        self.reason = reason  # None: answered whole
        self.is_stale = is_stale  # a pooled connection that the instance had closed: says nothing of the instance
        self.detail = detail  # for the log

    @property
    def outcome(self) -> str:
        """What became of it, in a word: the reason's slug, else the status."""
        return self.reason.slug if self.reason is not None else str(self.status)


NONE: Final[tuple[Attempt, ...]] = ()


def begin(exchange: Exchange, instance: LiveInstance) -> None:
    """An attempt begins: count it, and give it its span if the request is traced."""
    ctx = exchange.ctx
    exchange.attempts += 1
    exchange.attempt_started = ctx.now
    exchange.connect_seconds = -1.0
    ctx.counts.attempt(instance)
    if exchange.span is not None:
        exchange.head_bytes = exchange.span.attempt(exchange.head_bytes)


def end(exchange: Exchange, instance: LiveInstance, reason: Reason, detail: str, *, stale: bool) -> None:
    """An attempt failed: remember it, count it, learn from it unless `stale`."""
    exchange.failed = (*exchange.failed, Attempt(exchange, instance, reason, detail, stale))
    account.end_attempt(exchange.ctx, exchange.service, instance, reason, stale=stale)


def drop(exchange: Exchange, reason: Reason) -> None:
    """An attempt was given up for a reason that is not the instance's: remember it, count it."""
    instance = exchange.instance
    assert instance is not None
    exchange.failed = (*exchange.failed, Attempt(exchange, instance, reason, "", False))
    account.end_attempt(exchange.ctx, exchange.service, instance, reason, stale=True)


def history(exchange: Exchange) -> tuple[Attempt, ...]:
    """All attempts of an exchange that has just ended, in order."""
    failed = exchange.failed
    if len(failed) == exchange.attempts:
        return failed
    assert exchange.instance is not None
    detail = exchange.detail if exchange.reason is not None else ""  # else it is an earlier attempt's
    return (*failed, Attempt(exchange, exchange.instance, exchange.reason, detail, False))
