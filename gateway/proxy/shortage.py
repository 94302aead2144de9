"""What the gateway's own machine lacks is not the instance's failure.

No descriptor, no memory or no port for a connection to an instance: the request is answered 503 `overloaded`, the
instance is neither blamed nor tried less, and connections that wait in the pools are closed for those to come.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from gateway.errors import Reason
from gateway.proxy import account
from gateway.proxy.upstream import Upstream

if TYPE_CHECKING:
    from gateway.proxy.context import Context
    from gateway.proxy.exchange import Exchange

_OWN: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
_AT_ONCE: Final = 32  # idle connections closed for one that could not be opened
_SAY_EVERY: Final = 10.0  # seconds


def on_not_connected(exchange: Exchange, error: OSError) -> None:
    """No connection could be begun for an attempt."""
    exchange.up = None
    if error.errno not in _OWN:
        exchange.on_attempt_failed(Reason.CONNECT_FAILED, str(error), stale=False)
        return
    ctx = exchange.ctx
    instance = exchange.instance
    assert instance is not None
    closed = _close_idle(ctx)
    account.unmade_attempt(ctx, instance)
    exchange.attempts -= 1
    if ctx.now >= ctx.shortage_said_at + _SAY_EVERY:
        ctx.shortage_said_at = ctx.now
        ctx.report("error", "no connection to an instance could be opened here", error=str(error), idle_closed=closed)
    exchange.fail(Reason.OVERLOADED, f"{instance.address}: {error.strerror} on the gateway's machine")


def _close_idle(ctx: Context) -> int:
    """Close some idle connections, those that have waited longest; how many."""
    closed = 0
    for service in ctx.services.values():
        for instance in service.instances.values():
            while instance.idle and closed < _AT_ONCE:
                upstream = instance.idle[0]
                assert isinstance(upstream, Upstream)
                upstream.close()
                closed += 1
    return closed
