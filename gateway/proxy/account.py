"""What a request leaves behind: ledger words (most by way of `counts`), observations, its story, a log line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.balance.picker import LiveInstance
from gateway.errors import GatewayError, Reason
from gateway.h1.request import RequestHead
from gateway.proxy import provenance
from gateway.proxy.service import LiveService
from gateway.shm.layout import (
    I_BAD_RESPONSE,
    I_CANCELLED,
    I_CONNECT_FAILED,
    I_CONNECT_REFUSED,
    I_CONNECT_TIMEOUT,
    I_RESET,
    I_STATUS,
    I_TIMEOUT,
    NO_ROUTE_CELL,
)

if TYPE_CHECKING:
    from gateway.proxy.context import Context
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.gate import OwnAnswer

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
_FAILED_STATUS: Final = frozenset((502, 503, 504))


def end_attempt(ctx: Context, service: LiveService, instance: LiveInstance, reason: Reason, *, stale: bool) -> None:
    """An attempt ended without a whole response. stale: that says nothing of the instance."""
    words = ctx.words
    words[instance.in_flight_own] -= 1
    words[instance.base + _OUTCOMES.get(reason, I_CANCELLED)] += 1
    if not stale:
        service.observe(instance, False, reason in _CONNECT, ctx.now, reason.slug)


def unmade_attempt(ctx: Context, instance: LiveInstance) -> None:
    """An attempt that could not even begin, for want of something here, was none."""
    ctx.words[instance.in_flight_own] -= 1
    instance.new_attempts -= 1


def end_response(ctx: Context, service: LiveService, instance: LiveInstance, status: int, seconds: float) -> None:
    """An attempt ended with a whole response of the instance."""
    ctx.words[instance.in_flight_own] -= 1
    if status in _FAILED_STATUS:
        ctx.counts.response(instance, seconds, ok=False)
        ctx.words[instance.base + I_STATUS] += 1
        service.observe(instance, False, False, ctx.now, f"status {status}")
    else:
        ctx.counts.response(instance, seconds, ok=True)
        if service.observes_latency:  # of successes only: a failing instance answers fast
            service.picker.observe(instance, seconds, ctx.now)
        if instance.consecutive_failures:
            service.observe(instance, True, False, ctx.now, "")


def finish(ctx: Context, exchange: Exchange) -> None:
    """The exchange is over, however it ended."""
    ctx.stats.requests += 1
    ctx.counts.request(exchange.route.cell, exchange.status, ctx.now - exchange.started)
    if ctx.access.enabled:
        ctx.access.record(exchange)
    ctx.stories.exchange(exchange)
    if exchange.span is not None:
        exchange.span.finish(exchange)


def own(ctx: Context, status: int, cell: int = NO_ROUTE_CELL) -> None:
    """A request was answered by the gateway itself."""
    ctx.stats.requests += 1
    ctx.counts.request(cell, status, 0.0)


def answered(
    ctx: Context, down: Downstream, head: RequestHead, request_id: bytes, trace: bytes, answer: OwnAnswer
) -> None:
    """The same, as it found no route, or by its route's rules."""
    own(ctx, answer.status, answer.cell)
    if ctx.access.enabled:
        ctx.access.record_own(down, head, request_id, answer)
    ctx.stories.own(ctx, down, head, request_id, answer)
    if ctx.tracer is not None:
        ctx.tracer.record_own(down, head, request_id, trace, answer)


def refused(ctx: Context, down: Downstream, request_id: bytes, error: GatewayError) -> None:
    """What came could not be understood."""
    own(ctx, error.reason.status)
    if ctx.access.enabled:
        ctx.access.record_refusal(down, request_id, error.reason, error.detail)
    ctx.stories.refusal(ctx, down, request_id, error.reason, error.detail)


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
