"""What an exchange leaves behind: ledger words, observations of instances, the access log line.

A ledger word is written with one item assignment; see `gateway.shm.layout` for what each means.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from gateway.balance.picker import LiveInstance
from gateway.errors import Reason
from gateway.h1.request import RequestHead
from gateway.proxy import provenance
from gateway.proxy.service import LiveService
from gateway.shm.layout import (
    DURATION_BOUNDS,
    I_ATTEMPTS,
    I_BAD_RESPONSE,
    I_CANCELLED,
    I_CONNECT_FAILED,
    I_CONNECT_REFUSED,
    I_CONNECT_TIMEOUT,
    I_LATENCY_US,
    I_OK,
    I_RESET,
    I_STATUS,
    I_TIMEOUT,
    NO_ROUTE_CELL,
    ROUTE_WORDS,
    RT_DURATION,
    RT_DURATION_SUM_US,
)

if TYPE_CHECKING:
    from gateway.proxy.context import Context
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.exchange import Exchange

_OUTCOMES: Final = {
    Reason.CONNECT_REFUSED: I_CONNECT_REFUSED,
    Reason.CONNECT_FAILED: I_CONNECT_FAILED,
    Reason.CONNECT_TIMEOUT: I_CONNECT_TIMEOUT,
    Reason.UPSTREAM_RESET: I_RESET,
    Reason.RESPONSE_TRUNCATED: I_RESET,
    Reason.RESPONSE_TIMEOUT: I_TIMEOUT,
    Reason.STREAM_IDLE_TIMEOUT: I_TIMEOUT,
    Reason.BAD_RESPONSE: I_BAD_RESPONSE,
}
_CONNECT: Final = frozenset((Reason.CONNECT_REFUSED, Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT))
_STATUSES: Final = 1000  # more than there are
_FAILED_STATUS: Final = frozenset((502, 503, 504))


def begin_attempt(words: memoryview, instance: LiveInstance) -> None:
    """Count an attempt in; at once, so that other workers see it with their next pick."""
    words[instance.in_flight_own] += 1
    words[instance.base + I_ATTEMPTS] += 1


def end_attempt(ctx: Context, service: LiveService, instance: LiveInstance, reason: Reason, *, stale: bool) -> None:
    """An attempt ended without a whole response. stale: that says nothing of the instance."""
    words = ctx.words
    words[instance.in_flight_own] -= 1
    words[instance.base + _OUTCOMES.get(reason, I_CANCELLED)] += 1
    if not stale:
        service.observe(instance, False, reason in _CONNECT, ctx.now)


def end_response(ctx: Context, service: LiveService, instance: LiveInstance, status: int, seconds: float) -> None:
    """An attempt ended with a whole response of the instance."""
    words = ctx.words
    base = instance.base
    words[instance.in_flight_own] -= 1
    words[base + I_LATENCY_US] += int(seconds * 1e6)
    if status in _FAILED_STATUS:
        words[base + I_STATUS] += 1
        service.observe(instance, False, False, ctx.now)
    else:
        words[base + I_OK] += 1
        picker = service.picker
        if picker.observes:  # successes only: a failing instance answers fast
            picker.observe(instance, seconds, ctx.now)
        if instance.consecutive_failures:
            service.observe(instance, True, False, ctx.now)


def finish(ctx: Context, exchange: Exchange) -> None:
    """The exchange is over, however it ended."""
    _count(ctx, exchange.route.cell, exchange.status, ctx.now - exchange.started)
    if ctx.access.enabled:
        ctx.access.record(exchange)


def refused(ctx: Context, status: int) -> None:
    """A request ended before it had a route."""
    _count(ctx, NO_ROUTE_CELL, status, 0.0)


def _count(ctx: Context, cell: int, status: int, seconds: float) -> None:
    words = ctx.words
    ctx.stats.requests += 1
    key = cell * _STATUSES + status
    word = ctx.count_words.get(key, 0)
    if not word:
        word = ctx.count_words[key] = ctx.codes.index(cell, status)
    words[word] += 1
    start = ctx.routes_start + cell * ROUTE_WORDS
    words[start + RT_DURATION + bisect_left(DURATION_BOUNDS, seconds)] += 1
    words[start + RT_DURATION_SUM_US] += int(seconds * 1e6)


def hash_key(hash_on: str, head: RequestHead, down: Downstream, ctx: Context) -> bytes:
    """The bytes that consistent hashing balances on: client_ip, path, header:NAME or cookie:NAME."""
    if hash_on == "path":
        return head.path
    kind, _, name = hash_on.partition(":")
    if kind == "header":
        return _field(head.fields.block, name.encode("latin-1", "replace"))
    if kind == "cookie":
        wanted = name.encode("latin-1", "replace")
        for pair in _field(head.fields.block, b"cookie").split(b";"):
            key, _, value = pair.strip().partition(b"=")
            if key == wanted:
                return value
        return b""
    return provenance.client_address(head, down, ctx.trusts)


def _field(block: bytes, name: bytes) -> bytes:
    for line in block.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name.lower():
            return value.strip(b" \t")
    return b""
