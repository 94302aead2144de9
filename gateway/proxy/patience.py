"""How long each phase of an exchange may take, and what it means when that time is over.

All of it is one deadline, the upstream connection's, moved with every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Reason
from gateway.proxy.upstream import Upstream, UpstreamState

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange


def await_response(exchange: Exchange, up: Upstream) -> None:
    """Set the deadline for the head of the response, or for more of the request's body while that flows."""
    now = exchange.ctx.now
    if exchange.response_started:
        await_bytes(exchange, up)
        return
    if not exchange.request_done:  # an upload may take as long as it flows; the route's timeout counts from its end
        exchange.deadline = now + exchange.route.timeout
        await_bytes(exchange, up)
        return
    at = exchange.deadline
    per_try = exchange.route.per_try_timeout
    if per_try:
        at = min(at, now + per_try)
    exchange.ctx.deadlines.arm(up, at)


def await_bytes(exchange: Exchange, up: Upstream) -> None:
    """Set the deadline for the next byte of a body, either way."""
    exchange.ctx.deadlines.arm(up, exchange.ctx.now + exchange.route.stream_idle_timeout)


def on_timeout(exchange: Exchange) -> None:
    """The deadline has passed: find out who is late, and end what has to be ended."""
    up = exchange.up
    assert up is not None
    down = exchange.down
    if (down.is_congested and down.transport.has_moved()) or (up.is_congested and up.transport.has_moved()):
        await_bytes(exchange, up)  # a slow peer, but not an idle one
    elif up.state is UpstreamState.TUNNEL:
        exchange.reason = Reason.STREAM_IDLE_TIMEOUT
        exchange.end_tunnel()
    elif up.state is UpstreamState.BODY and down.is_congested:
        exchange.drop_attempt(Reason.CLIENT_CLOSED)
        exchange.fail(Reason.STREAM_IDLE_TIMEOUT, "the client does not read")
    elif up.state is UpstreamState.BODY:
        up.close()
        exchange.on_attempt_failed(Reason.STREAM_IDLE_TIMEOUT, "no byte in stream_idle_timeout", stale=False)
    elif not exchange.request_done and not up.is_congested:
        exchange.drop_attempt(Reason.BODY_TIMEOUT)
        exchange.fail(Reason.BODY_TIMEOUT, "the request body stalled")
    else:
        up.close()
        exchange.on_attempt_failed(Reason.RESPONSE_TIMEOUT, "no response head in time", stale=False)
