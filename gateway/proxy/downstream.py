"""One connection from a client: heads in order, one exchange at a time, pipelined requests wait.

    (PROXY_HEADER ->) HEAD -> EXCHANGE -> HEAD ...          EXCHANGE -> TUNNEL
    any state -> CLOSED

While an exchange runs, what the client sends ahead is kept up to PIPELINE_BYTES; past it the
connection is not read until the exchange is over.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, Reason
from gateway.h1.proxy_protocol import read_proxy_header
from gateway.h1.request import RequestFields, RequestHead, check_partial_head, parse_request_head, parse_similar_head
from gateway.proxy import account, forward, gate, reply
from gateway.proxy.deadlines import NEVER, Timed
from gateway.proxy.exchange import Exchange
from gateway.proxy.gate import OwnAnswer
from gateway.proxy.transport import Transport
from gateway.routing.compiled import CompiledRoute

if TYPE_CHECKING:
    from gateway.proxy.context import Context

PIPELINE_BYTES: Final = 65536
DRAIN_IDLE: Final = 0.5  # seconds that a connection may stay idle once the worker drains
_SHORT_HEAD: Final = 2048  # bytes; up to here an unfinished head is looked at whenever there is more of it
_EMPTY_LINES: Final = re.compile(rb"\A(?:\r\n)++")
_OWN_PATHS: Final = frozenset((b"/health", b"/ready"))


class DownstreamState(Enum):
    """Where a client's connection is in its life."""

    PROXY_HEADER = "proxy_header"  # the proxy in front has to say first who the client is
    HEAD = "head"  # between requests, or a head is coming in
    EXCHANGE = "exchange"
    TUNNEL = "tunnel"
    CLOSED = "closed"


# Looked up once: a member of an enum costs a search through its class each time.
_PROXY_HEADER: Final = DownstreamState.PROXY_HEADER
_HEAD: Final = DownstreamState.HEAD
_EXCHANGE: Final = DownstreamState.EXCHANGE
_TUNNEL: Final = DownstreamState.TUNNEL
_CLOSED: Final = DownstreamState.CLOSED


class Downstream(Timed):
    """The machine of one client connection."""

    __slots__ = (
        "_buffer",
        "_check_at",
        "_ctx",
        "_exchange",
        "_fields",
        "_is_half_closed",
        "_is_parsing",
        "is_congested",
        "peer",
        "state",
        "static_for",
        "static_head",
        "static_route",
        "transport",
        "trusted",
    )

    def __init__(self, ctx: Context, transport: Transport, peer: str) -> None:
        super().__init__()
        self._ctx = ctx
        self._buffer = b""
        self._check_at = 0  # the size from which on an unfinished long head is looked at again
        self._exchange: Exchange | None = None
        self._fields: RequestFields | None = None
        self._is_parsing = False
        self.transport = transport
        self.peer = peer.encode()
        self.trusted = ctx.trusts(peer)
        self._is_half_closed = False
        self.is_congested = False  # a write said so, and `on_drained` has not come yet
        self.state = _PROXY_HEADER if ctx.settings.proxy_protocol else _HEAD
        # What `forward` keeps of the last request, for the next one with the same fields.
        self.static_for: RequestFields | None = None
        self.static_route: CompiledRoute | None = None
        self.static_head = b""
        ctx.stats.connections += 1
        ctx.stats.connections_total += 1
        ctx.deadlines.arm(self, ctx.now + ctx.settings.header_timeout)

    @property
    def is_idle(self) -> bool:
        """Between requests, with nothing of the next one received."""
        return self.state is _HEAD and not self._buffer

    @property
    def is_last(self) -> bool:
        """Is the request under way the last one? The client has ended its side, and nothing waits behind it."""
        return self._is_half_closed and not self._buffer

    # --- what the connection delivers -----------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        self._ctx.stats.bytes_in += len(data)
        state = self.state
        if state is _HEAD:
            if self._buffer:
                data = self._buffer + data
            self._read_heads(data)
            return
        exchange = self._exchange
        if exchange is None:
            if state is _PROXY_HEADER:
                self._read_proxy_header(self._buffer + data)
            return
        if state is _TUNNEL:
            exchange.tunnel.on_client_data(data)
        elif not exchange.request_done:
            exchange.on_request_data(data)
        else:
            self._buffer += data
            if len(self._buffer) > PIPELINE_BYTES:
                self.transport.pause()

    def on_relayed(self, size: int, is_congested: bool) -> None:
        self._ctx.stats.bytes_in += size
        assert self._exchange is not None
        self._exchange.on_request_relayed(size, is_congested)

    def on_eof(self) -> None:
        """RFC 9112 9.6: a client may close its sending side and still wait for the response."""
        exchange = self._exchange
        if exchange is None:
            self._end()
            self.transport.close()
        elif self.state is _TUNNEL:
            exchange.tunnel.on_client_eof()
        elif not exchange.request_done:
            exchange.on_client_gone()
        else:
            self._is_half_closed = True
            self.transport.pause()

    def on_lost(self, errno: int) -> None:
        exchange = self._exchange
        if exchange is None:
            self._end()
        elif self.state is _TUNNEL:
            exchange.end_tunnel()
        else:
            exchange.on_client_gone()

    def on_drained(self) -> None:
        self.is_congested = False
        if self._exchange is not None:
            self._exchange.on_client_drained()
        else:
            self._next()

    def on_deadline(self, now: float) -> None:
        if self._exchange is not None:
            return
        if self._buffer and self.state is _PROXY_HEADER:
            self._turn_away(GatewayError(Reason.BAD_PROXY_HEADER, "the PROXY protocol header did not arrive in time"))
        elif self._buffer and not self.is_congested:
            self._refuse(GatewayError(Reason.HEADER_TIMEOUT))
        else:
            self._end()
            self.transport.close()

    # --- what the exchange tells ----------------------------------------------------------------

    def on_body_end(self, rest: bytes) -> None:
        """The request body is complete; `rest` came behind it."""
        self._buffer = rest

    def begin_tunnel(self) -> bytes:
        """The connection carries bytes from now on. Returns what the client sent ahead."""
        self.state = _TUNNEL
        self.transport.resume()
        early, self._buffer = self._buffer, b""
        return early

    def on_exchange_done(self, *, close: bool, aborted: bool, request_done: bool) -> None:
        """The exchange is over: next request, or the end of the connection.

        aborted: the response could not be completed, and the client must be able to tell.
        request_done: False when the client may still be sending a body nobody reads.
        """
        self._exchange = None
        ctx = self._ctx
        if aborted:
            self._end()
            self.transport.abort()
        elif close or self.is_last:
            self._end()
            self.transport.close(linger=not request_done or bool(self._buffer))
        else:
            self.state = _HEAD
            ctx.deadlines.arm(self, ctx.now + (DRAIN_IDLE if ctx.draining else ctx.settings.idle_timeout))
            if self.is_congested:
                self.transport.pause()  # nothing more is answered before the client has taken what is kept for it
            elif not self._is_parsing:
                self._next()

    def drain(self) -> None:
        """The worker drains: leave with the response under way, or with the next if it comes soon.

        An idle connection is not closed at once: a request may be on its way, and would be lost.
        """
        if self.is_idle or self.state is _PROXY_HEADER:
            self._ctx.deadlines.arm(self, min(self.deadline, self._ctx.now + DRAIN_IDLE))

    def on_standstill(self, seconds: float) -> None:
        """The worker did not run for so long; what is queued in `Deadlines` has been moved already."""
        if self._exchange is not None:
            self._exchange.deadline += seconds

    def crash(self) -> None:
        """A fault of the gateway's own in handling this connection."""
        exchange = self._exchange
        if exchange is not None:
            self._buffer = b""  # the connection ends here: nothing that waits is begun
            self._is_half_closed = True
            exchange.fail_internally()
        if self.state is not _CLOSED:
            self._end()
            self.transport.abort()

    # --- inside -----------------------------------------------------------------------------------

    def _next(self) -> None:
        """Between requests: go on with what is there, or with reading more."""
        if len(self._buffer) <= PIPELINE_BYTES:
            self._is_half_closed = False  # that the client has ended is told again
            self.transport.resume()
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._read_heads(data)

    def _read_proxy_header(self, data: bytes) -> None:
        """The PROXY protocol's header: from then on its address is the peer's."""
        try:
            header = read_proxy_header(data)
        except GatewayError as error:
            self._turn_away(error)
            return
        if header is None:
            self._buffer = data
            return
        if header.source:
            self.peer = header.source.encode()
            self.trusted = self._ctx.trusts(header.source)
        self.state = _HEAD
        self._buffer = b""
        if len(data) > header.length:
            self._read_heads(data[header.length :])

    def _read_heads(self, data: bytes) -> None:
        """Begin exchanges for all heads in `data`, in order; a loop, since short ones end at once."""
        self._is_parsing = True
        is_new = not self._buffer  # nothing of this head was there before
        self._buffer = b""
        while True:
            if data[:2] == b"\r\n":  # RFC 9112 2.2: empty lines before the request line are ignored
                data = _EMPTY_LINES.sub(b"", data)
            try:
                head = self._next_head(data, is_new)
            except GatewayError as error:
                self._refuse(error)
                break
            if head is None:
                self._wait_for_head(data, is_new)
                break
            self._fields = head.fields
            self._begin(head, data[head.length :] if len(data) > head.length else b"")
            if self.state is not _HEAD or self.is_congested or not self._buffer:
                break
            data, self._buffer = self._buffer, b""
            is_new = True
        self._is_parsing = False
        if self.state is _HEAD and not self.is_congested:
            self.transport.resume()  # paused if much was sent ahead

    def _next_head(self, data: bytes, is_new: bool) -> RequestHead | None:
        """The head that `data` begins with; None while it is not whole. Raises GatewayError for what is none."""
        settings = self._ctx.settings
        limit = settings.header_bytes
        head = parse_similar_head(data, self._fields) if self._fields is not None else None
        if head is not None:
            if head.length > limit:
                check_partial_head(data[: head.length], limit)
            return head
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            size = len(data)
            if is_new or size < _SHORT_HEAD or size >= self._check_at or size > limit:
                check_partial_head(data, limit)
                self._check_at = size + size // 4  # not at every byte: small pieces would cost too much
            return None
        if end > limit:
            check_partial_head(data[:end], limit)
        return parse_request_head(data, end, settings.headers)

    def _wait_for_head(self, data: bytes, is_new: bool) -> None:
        """Keep the beginning of a head. Its time counts from its first byte; that of an empty line buys none."""
        ctx = self._ctx
        end = ctx.now + ctx.settings.header_timeout
        if data and (self.deadline > end or (is_new and data != b"\r")):
            ctx.deadlines.arm(self, end)
        self._buffer = data

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        ctx = self._ctx
        if head.path in _OWN_PATHS or head.target == b"*":
            self._answer_own(head, rest)
            return
        host = head.fields.host
        found = gate.match_with_port(head, ctx) if ctx.table.ports else ctx.table.match(host, head.path, head.method)
        has_gate = isinstance(found, CompiledRoute) and found.gate is not None
        route = gate.enter(found, head, self, ctx) if has_gate else found
        if isinstance(route, CompiledRoute):
            self.state = _EXCHANGE
            ctx.deadlines.arm(self, NEVER)
            exchange = self._exchange = Exchange(self, head, route, ctx.services[route.service], ctx)
            if exchange.request_done:
                self._buffer = rest
                exchange.start(b"")
            else:
                self.transport.resume()  # paused if much was sent ahead; the body is wanted now
                exchange.start(rest)
        else:
            self._answer(route if isinstance(route, OwnAnswer) else gate.unmatched(route), head, rest)

    def _answer_own(self, head: RequestHead, rest: bytes) -> None:
        """/health, /ready and `OPTIONS *` (RFC 9110 9.3.7)."""
        ctx = self._ctx
        request_id, _ = forward.identify(head, ctx)
        close = reply.must_close(head, ctx)
        status, response = reply.own(head, ctx, request_id, close=close)
        account.own(ctx, status)
        self._after_answer(response, rest, close=close)

    def _answer(self, answer: OwnAnswer, head: RequestHead, rest: bytes) -> None:
        """Not to be forwarded: 404, 405, a redirect, or a refusal by the route's own rules."""
        ctx = self._ctx
        request_id, trace = forward.identify(head, ctx)
        close = reply.must_close(head, ctx)
        account.answered(ctx, self, head, request_id, trace, answer)
        response = answer.response(head, ctx, request_id, close=close)
        self._after_answer(response, rest, close=close)

    def _after_answer(self, response: bytes, rest: bytes, *, close: bool) -> None:
        is_congested = not self.transport.write(response)
        if close:
            self._end()
            self.transport.close(linger=True)
        else:
            self._buffer = rest
            self._ctx.deadlines.arm(self, self._ctx.now + self._ctx.settings.idle_timeout)
            if is_congested:
                self.is_congested = True
                self.transport.pause()

    def _refuse(self, error: GatewayError) -> None:
        """Answer what could not be understood, and close: nothing after it has a certain meaning."""
        ctx = self._ctx
        request_id = ctx.ids.next()[:32]
        self.transport.write(reply.problem(error.reason, ctx, request_id, head_only=False, close=True))
        account.refused(ctx, self, request_id, error)
        self._end()
        self.transport.close(linger=True)

    def _turn_away(self, error: GatewayError) -> None:
        """Close without a word: whoever is there has not begun to speak HTTP."""
        account.refused(self._ctx, self, self._ctx.ids.next()[:32], error)
        self._end()
        self.transport.close()

    def _end(self) -> None:
        if self.state is not _CLOSED:
            self.state = _CLOSED
            self._ctx.stats.connections -= 1
            self._ctx.deadlines.forget(self)
