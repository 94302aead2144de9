"""One connection to an instance: connects, carries one exchange at a time, waits idle in the pool.

    CONNECTING -> HEAD -> BODY -> IDLE -> HEAD ...          HEAD -> TUNNEL
    any state -> CLOSED

A connection goes back to the pool only after a response whose end was certain, with nothing after
it, and whose request was sent whole. Everything else closes it.
"""

from __future__ import annotations

import errno as _errno
from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.balance.picker import LiveInstance
from gateway.errors import GatewayError, Reason
from gateway.h1.framing import BodyReader, ChunkedReader, CloseReader, LengthReader
from gateway.h1.response import ResponseHead, check_partial_response_head, parse_response_head
from gateway.proxy.deadlines import Timed
from gateway.proxy.forward import asked_for, is_upgrade
from gateway.proxy.transport import Transport

if TYPE_CHECKING:
    from gateway.proxy.context import Context
    from gateway.proxy.exchange import Exchange

HEAD_BYTES: Final = 65536  # of one response head
INTERIM_RESPONSES: Final = 16  # 1xx before the final one; more is an instance that never comes to the point


class UpstreamState(Enum):
    """Where an upstream connection is in its life."""

    CONNECTING = "connecting"
    HEAD = "head"  # a request is being sent or its response head is awaited
    BODY = "body"
    IDLE = "idle"
    TUNNEL = "tunnel"
    CLOSED = "closed"


# Looked up once: a member of an enum costs a search through its class each time.
_CONNECTING: Final = UpstreamState.CONNECTING
_HEAD: Final = UpstreamState.HEAD
_BODY: Final = UpstreamState.BODY
_IDLE: Final = UpstreamState.IDLE
_TUNNEL: Final = UpstreamState.TUNNEL
_CLOSED: Final = UpstreamState.CLOSED


class Upstream(Timed):
    """The machine of one upstream connection."""

    __slots__ = (
        "_buffer",
        "_close_after",
        "_ctx",
        "_interim",
        "_keepalive_idle",
        "_last_head",
        "_reader",
        "exchange",
        "instance",
        "is_congested",
        "reused",
        "state",
        "transport",
    )

    def __init__(self, ctx: Context, instance: LiveInstance, keepalive_idle: float) -> None:
        super().__init__()
        self._ctx = ctx
        self._keepalive_idle = keepalive_idle
        self._buffer = b""
        self._reader: BodyReader | None = None
        self._close_after = False
        self._interim = 0
        self._last_head: ResponseHead | None = None  # final, of this connection
        self.instance = instance
        self.exchange: Exchange | None = None
        self.reused = False
        self.is_congested = False  # a write said so, and `on_drained` has not come yet
        self.state = _CONNECTING
        self.transport: Transport

    def open(self, exchange: Exchange, connect_timeout: float) -> None:
        """Begin to connect for an exchange. Raises OSError when that fails at once."""
        self.exchange = exchange
        self.transport = self._ctx.network.connect(self.instance.host, self.instance.port, self)
        self._ctx.deadlines.arm(self, self._ctx.now + connect_timeout)

    def reuse(self, exchange: Exchange) -> None:
        """Take the connection out of idleness for an exchange."""
        self.exchange = exchange
        self.reused = True
        self.state = _HEAD

    @property
    def was_silent(self) -> bool:
        """Has the instance sent nothing of a response yet?"""
        return not self._buffer and not self._interim

    def switch_to_tunnel(self) -> None:
        """From now on the connection carries bytes, not messages."""
        self.state = _TUNNEL

    def close(self) -> None:
        """Close, whatever the state."""
        if self.state is _CLOSED:
            return
        if self.state is _IDLE:
            self._leave_pool()
        self._detach()
        self.transport.close()

    # --- what the connection delivers ------------------------------------------------------------

    def on_connected(self) -> None:
        self.state = _HEAD
        if self.exchange is not None:
            self.exchange.on_connected()

    def on_connect_failed(self, errno: int) -> None:
        reason = Reason.CONNECT_REFUSED if errno == _errno.ECONNREFUSED else Reason.CONNECT_FAILED
        self._fail(reason, _errno.errorcode.get(errno, str(errno)))

    def on_data(self, data: bytes) -> None:
        state = self.state
        if state is _HEAD:
            self._on_head_data(data)
        elif state is _BODY:
            self._on_body_data(data)
        elif state is _TUNNEL:
            assert self.exchange is not None
            self.exchange.tunnel.on_upstream_data(data)
        else:  # idle: nobody asked for anything
            self.close()

    def on_relayed(self, size: int, is_congested: bool) -> None:
        reader = self._reader
        exchange = self.exchange
        assert isinstance(reader, LengthReader)
        assert exchange is not None
        reader.skip(size)
        if reader.done:
            self._end_response(b"")
        exchange.bytes_out += size
        exchange.go_on(reader.done, is_congested)

    def on_eof(self) -> None:
        if self.state is _TUNNEL:
            assert self.exchange is not None
            self.exchange.tunnel.on_upstream_eof()
        elif self.state is _BODY and isinstance(self._reader, CloseReader):
            exchange = self.exchange
            self.close()
            assert exchange is not None
            exchange.on_response_body(b"", True, b"")
        else:
            self._on_gone("closed the connection")

    def on_lost(self, errno: int) -> None:
        self._on_gone(_errno.errorcode.get(errno, str(errno)))

    def on_drained(self) -> None:
        self.is_congested = False
        if self.exchange is not None:
            self.exchange.on_upstream_drained()

    def on_deadline(self, now: float) -> None:
        if self.state is _IDLE:
            self.close()
        elif self.state is _CONNECTING:
            self._fail(Reason.CONNECT_TIMEOUT, "no connection in time")
        elif self.exchange is not None:
            self.exchange.on_timeout()

    def crash(self) -> None:
        exchange = self.exchange
        self.close()
        if exchange is not None:
            exchange.down.crash()

    # --- inside -----------------------------------------------------------------------------------

    def _on_head_data(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        last = self._last_head
        if last is not None and data.startswith(last.received):  # the same head again: nothing in it is new
            end = len(last.received)
            self._on_final_head(last, data[end:] if len(data) > end else b"")
            return
        start = 0
        while True:
            end = data.find(b"\r\n\r\n", start)
            if end < 0:
                self._keep_partial_head(data[start:])
                return
            end += 4
            try:
                if end - start > HEAD_BYTES:
                    raise GatewayError(Reason.BAD_RESPONSE, "the response head is too large")
                head = parse_response_head(data, start, end)
            except GatewayError as error:
                self._fail(error.reason, error.detail)
                return
            if head.status >= 200:
                self._last_head = head
                self._on_final_head(head, data[end:] if len(data) > end else b"")
                return
            if not self._on_interim_head(head, data[end:]):
                return
            start = end
            if start == len(data):
                return

    def _keep_partial_head(self, data: bytes) -> None:
        try:
            check_partial_response_head(data, HEAD_BYTES)
        except GatewayError as error:
            self._fail(error.reason, error.detail)
        else:
            self._buffer = data

    def _on_interim_head(self, head: ResponseHead, rest: bytes) -> bool:
        """Relay a 1xx response; False when the exchange does not go on here."""
        exchange = self.exchange
        assert exchange is not None
        self._interim += 1
        if head.status == 101:
            may_switch = exchange.request_done and is_upgrade(exchange.head)  # RFC 9110 7.8: not within a request
            if not may_switch or not head.upgrade or head.chunked or head.content_length > 0:
                self._fail(Reason.BAD_RESPONSE, "101 without an upgrade")
            elif not asked_for(exchange.head, head.upgrade):
                self._fail(Reason.BAD_RESPONSE, f"101 to {head.upgrade[:80]!r}, which the client did not offer")
            else:
                exchange.on_switching(head, rest)
            return False
        if self._interim > INTERIM_RESPONSES:
            self._fail(Reason.BAD_RESPONSE, f"over {INTERIM_RESPONSES} interim responses")
            return False
        exchange.on_interim(head)
        return self.exchange is exchange

    def _on_final_head(self, head: ResponseHead, rest: bytes) -> None:
        exchange = self.exchange
        assert exchange is not None
        self._close_after = head.close
        length = head.content_length
        if not head.has_body(exchange.method):
            self._end_response(rest)
            exchange.on_response(head, b"", True)
        elif length >= 0:
            if len(rest) == length:  # the usual small response
                self._end_response(b"")
                exchange.on_response(head, rest, True)
            else:
                self._begin_body(head, rest, LengthReader(length))
        elif head.chunked:
            self._begin_body(head, rest, ChunkedReader(Reason.BAD_RESPONSE))
        else:
            self._close_after = True
            self._begin_body(head, rest, CloseReader())

    def _begin_body(self, head: ResponseHead, rest: bytes, reader: BodyReader) -> None:
        exchange = self.exchange
        assert exchange is not None
        try:
            body = reader.feed(rest) if rest else b""
        except GatewayError as error:
            self._fail(error.reason, error.detail)
            return
        if reader.done:
            self._end_response(reader.rest)
            exchange.on_response(head, body, True, reader.trailers)
        else:
            self._reader = reader
            self.state = _BODY
            exchange.on_response(head, body, False)
            if isinstance(reader, LengthReader) and self.exchange is exchange:
                self.transport.relay(exchange.down.transport, reader.remaining)

    def _on_body_data(self, data: bytes) -> None:
        reader = self._reader
        exchange = self.exchange
        assert reader is not None
        assert exchange is not None
        try:
            body = reader.feed(data)
        except GatewayError as error:
            self._fail(error.reason, error.detail)
            return
        if reader.done:
            self._end_response(reader.rest)
            exchange.on_response_body(body, True, reader.trailers)
        else:
            exchange.on_response_body(body, False, b"")

    def _end_response(self, rest: bytes) -> None:
        """The response is complete: back to the pool, or closed if anything speaks against it."""
        exchange = self.exchange
        assert exchange is not None
        self._reader = None
        if rest or self._close_after or not exchange.request_done or not self.instance.eligible or self._ctx.draining:
            self.close()
            return
        self.exchange = None
        self._interim = 0
        self.state = _IDLE
        self.instance.idle.append(self)
        ctx = self._ctx
        ctx.stats.upstream_idle += 1
        ctx.deadlines.arm(self, ctx.now + self._keepalive_idle)

    def _leave_pool(self) -> None:
        idle = self.instance.idle
        if self in idle:
            idle.remove(self)
        self._ctx.stats.upstream_idle -= 1

    def _on_gone(self, detail: str) -> None:
        if self.state is _IDLE or self.exchange is None:
            self.close()
        elif self.state is _TUNNEL:
            self.exchange.tunnel.on_upstream_lost()
        elif self.state is _BODY:
            self._fail(Reason.RESPONSE_TRUNCATED, detail)
        else:
            self._fail(Reason.UPSTREAM_RESET, detail)

    def _fail(self, reason: Reason, detail: str) -> None:
        exchange = self.exchange
        silent = self.was_silent
        self.close()
        if exchange is not None:
            exchange.on_attempt_failed(reason, detail, stale=self.reused and silent and reason is Reason.UPSTREAM_RESET)

    def _detach(self) -> None:
        self.state = _CLOSED
        self.exchange = None
        self._ctx.deadlines.forget(self)


def take_idle(instance: LiveInstance, ctx: Context) -> Upstream | None:
    """The idle connection used last, so that the ones not needed run out of time."""
    if not instance.idle:
        return None
    upstream = instance.idle.pop()
    assert isinstance(upstream, Upstream)
    ctx.stats.upstream_idle -= 1
    return upstream
