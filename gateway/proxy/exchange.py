"""One request with its response: attempts on instances, the relay between both sides, the account of it.

Phases:  (route, pick, connect or reuse, send) = an attempt, repeated while `retry` allows;  relay of the
response;  finish, always reached exactly once, which writes counters and the access log line.
From the first byte of the response to the client on, nothing can be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.balance.picker import LiveInstance
from gateway.errors import GatewayError, Reason
from gateway.h1.framing import chunked_piece
from gateway.h1.request import RequestHead
from gateway.h1.response import ResponseHead
from gateway.proxy import account, attempts, forward, patience, reply, shortage, tracing
from gateway.proxy.budget import RetryTurn
from gateway.proxy.request_body import RequestBody
from gateway.proxy.retry import may_repeat
from gateway.proxy.service import LiveService
from gateway.proxy.tunnel import Tunnel
from gateway.proxy.upstream import Upstream, UpstreamState, take_idle
from gateway.routing.compiled import CompiledRoute

if TYPE_CHECKING:
    from gateway.proxy.context import Context
    from gateway.proxy.downstream import Downstream

_JOIN_BYTES: Final = 16384  # a head and a body piece up to this size leave in one write
_NO_INSTANCES: Final[tuple[LiveInstance, ...]] = ()


class Exchange:
    """See the module. Attributes without underscore are read by the access log."""

    __slots__ = (
        "_body", "_chunked_down", "_close", "_flowing", "_key", "_tried", "_turn", "_was_stale", "attempt_started",
        "attempts", "bytes_out", "candidates", "connect_seconds", "ctx", "deadline", "detail", "down", "failed",
        "head", "head_bytes", "instance", "is_reused", "method", "reason", "request_done", "request_id",
        "response_started", "route", "service", "span", "started", "status", "trace", "tunnel", "up",
        "upstream_seconds",
    )  # fmt: skip

    def __init__(
        self, down: Downstream, head: RequestHead, route: CompiledRoute, service: LiveService, ctx: Context
    ) -> None:
        self.ctx = ctx
        self.down = down
        self.head = head
        self.method = head.method
        self.route = route
        self.service = service
        self.started = ctx.now
        self.request_id, self.trace, self.span = tracing.identify(head, ctx)
        self.status = 0
        self.reason: Reason | None = None
        self.detail = ""
        self.attempts: int = 0
        self.failed = attempts.NONE  # those that ended without a whole response
        self.candidates = 0
        self.instance: LiveInstance | None = None
        self.bytes_out = 0
        self.upstream_seconds: float = -1.0
        self.response_started = False
        self.tunnel: Tunnel
        self._body: RequestBody | None = None
        self.request_done = not head.fields.chunked and head.fields.content_length <= 0
        self.deadline = ctx.now + route.timeout
        self.head_bytes = b""  # to send upstream
        self._flowing = False  # head and kept body are on their way: body pieces go straight to the upstream
        self._tried = _NO_INSTANCES
        self._was_stale = False
        self._turn: RetryTurn | None = None  # of the service's retry budget
        self.up: Upstream | None = None
        self.attempt_started = 0.0
        self.connect_seconds: float = -1.0  # of the attempt; less than 0: not connected, or reused
        self.is_reused = False
        self._chunked_down = False
        self._close = False
        self._key = b""

    def start(self, body: bytes) -> None:
        """Begin; `body` is what came behind the head."""
        ctx = self.ctx
        ctx.stats.in_flight += 1
        self.service.in_flight += 1
        if ctx.stats.in_flight > ctx.most_in_flight:
            self.fail(Reason.OVERLOADED, "the worker is at limits.in_flight")
            return
        if not self.request_done:
            try:
                self._body = RequestBody(self.head.fields, ctx.settings.body_bytes)
            except GatewayError as error:
                self.fail(error.reason, error.detail)
                return
        if self.service.needs_key:
            self._key = account.hash_key(self.service.record.hash_on, self.head, self.down, ctx)
        self.head_bytes = forward.request_head(self.head, self.route, self.down, ctx, self.request_id, self.trace)
        if body:
            self.on_request_data(body)
            if self.status:  # refused
                return
        self._attempt()

    @property
    def bytes_in(self) -> int:
        """Bytes received from the client behind the head, framing left out."""
        if self.status == 101:
            return self.tunnel.bytes_in
        return self._body.received if self._body is not None else 0

    def on_request_data(self, data: bytes) -> None:
        """Bytes from the client while the request body is not done."""
        body = self._body
        assert body is not None
        try:
            out = body.feed(data)
        except GatewayError as error:
            self.fail(error.reason, error.detail)
            return
        up = self.up if self._flowing else None
        is_congested = False
        if up is not None:
            body.forget_if_long()
            is_congested = bool(out) and not up.transport.write(out)
        elif body.is_long:
            self.down.transport.pause()
        self._after_request_data(body, up, is_congested)

    def on_request_relayed(self, size: int, is_congested: bool) -> None:
        """The same, of bytes that the upstream connection has taken already."""
        assert self._body is not None
        self._body.skip(size)
        self._after_request_data(self._body, self.up, is_congested)

    def _after_request_data(self, body: RequestBody, up: Upstream | None, is_congested: bool) -> None:
        if body.is_done:
            self.request_done = True
            self.deadline = self.ctx.now + self.route.timeout  # counts from the end of the request
            self.down.on_body_end(body.rest)
        if up is None:
            return
        if is_congested:
            up.is_congested = True
            self.down.transport.pause()
        body.let_past(self.down.transport, up.transport)
        patience.await_response(self, up)

    def on_client_gone(self) -> None:
        """The client's connection failed, or it sent EOF before the end of its request."""
        if self.status and not self.response_started:
            return
        if not self.status:
            self.reason, self.status = Reason.CLIENT_CLOSED, Reason.CLIENT_CLOSED.status
        self.drop_attempt(Reason.CLIENT_CLOSED)
        self._finish(close=True, aborted=True)

    def on_client_drained(self) -> None:
        """The client has taken what was kept for it."""
        up = self.up
        if up is None:
            return
        if up.state is UpstreamState.TUNNEL:
            self.tunnel.on_client_drained()
        elif up.state is UpstreamState.BODY:
            patience.await_bytes(self, up)
            up.transport.resume()

    def _attempt(self) -> None:
        ctx, service, only = self.ctx, self.service, self.route.only
        self.candidates = service.count(only)
        instance = service.choose(only, ctx.now, self._key, self._tried)
        if instance is None:
            self.fail(*service.why_nobody(self.candidates))
            return
        self.instance = instance
        attempts.begin(self, instance)
        up = take_idle(instance, ctx) if not self._was_stale else None
        self.is_reused = up is not None
        if up is not None:
            up.reuse(self)
            self.up = up
            self._send_request(up)
            return
        up = Upstream(ctx, instance, service.record.keepalive_idle)
        self.up = up
        self._flowing = False
        try:
            seconds = min(service.record.connect_timeout, self.deadline - ctx.now)
            up.open(self, min(seconds, self.route.per_try_timeout or seconds))
        except OSError as error:
            shortage.on_not_connected(self, error)

    def on_connected(self) -> None:
        """The upstream connection is open."""
        assert self.up is not None
        self.connect_seconds = self.ctx.now - self.attempt_started
        self._send_request(self.up)

    def _send_request(self, up: Upstream) -> None:
        self._flowing = True
        body = self._body
        head = self.head_bytes
        if self.route.host_is_instance:
            head = forward.with_host(head, up.instance.authority.encode())
        if body is None:
            up.transport.write(head)
        else:
            up.is_congested = not up.transport.write(body.behind(head))
            body.forget_if_long()
            body.let_past(self.down.transport, up.transport)
            if not up.is_congested:
                self.down.transport.resume()
        patience.await_response(self, up)

    def on_upstream_drained(self) -> None:
        """The instance has taken what was kept for it."""
        up = self.up
        if up is None:
            return
        if up.state is UpstreamState.TUNNEL:
            self.tunnel.on_upstream_drained()
            return
        self.deadline = max(self.deadline, self.ctx.now + self.route.timeout)  # it has the request's body only now
        patience.await_response(self, up)
        self.down.transport.resume()

    def on_timeout(self) -> None:
        """The upstream connection's deadline passed, in whatever phase it is in."""
        patience.on_timeout(self)

    def on_attempt_failed(self, reason: Reason, detail: str, *, stale: bool) -> None:
        """The attempt is over without a whole response; the upstream connection is closed already.

        stale: a reused connection died before a byte of a response, as happens when an instance closes
        it at its own idle timeout. That says nothing of the instance.
        """
        ctx = self.ctx
        instance = self.instance
        assert instance is not None
        self.up = None
        self._flowing = False
        attempts.end(self, instance, reason, detail, stale=stale)
        self.detail = f"{instance.address}: {detail}"
        if self.response_started:
            self.fail(reason if reason is Reason.STREAM_IDLE_TIMEOUT else Reason.RESPONSE_TRUNCATED, self.detail)
            return
        if stale:
            self._was_stale = True  # the others in the pool are likely to be: a new connection next
        else:
            self._tried = (*self._tried, instance)
        tries_left = len(self._tried) <= self.route.retry_count and self.attempts <= 2 * self.route.retry_count + 1
        if (
            tries_left
            and ctx.now < self.deadline
            and may_repeat(reason, self.method, replayable=self._body is None or self._body.is_replayable)
        ):
            self.reason = reason  # in case the retry's turn does not come
            if self._turn is None:
                self._turn = self.service.retries.ask(self, self.service.in_flight, ctx.now, self.deadline)
            if self._turn.is_granted:
                self.on_retry_granted()
        else:
            self.fail(reason, self.detail)

    def on_retry_granted(self) -> None:
        """The retry budget has room for another attempt."""
        self.reason = None
        self.ctx.stats.retries += 1
        self._attempt()

    def on_retry_refused(self) -> None:
        """It had none in time: the failure stands."""
        self._turn = None
        assert self.reason is not None
        self.fail(self.reason, self.detail)

    # --- response -------------------------------------------------------------------------------

    def on_interim(self, head: ResponseHead) -> None:
        """A 1xx response: relayed at once, to clients that can understand it (RFC 9110 15.2)."""
        if self.head.minor == 1:
            self.down.transport.write(forward.interim_head(head))

    def on_response(self, head: ResponseHead, body: bytes, done: bool, trailers: bytes = b"") -> None:
        """The final response's head, with the first of its body. When done, the upstream is released already."""
        ctx = self.ctx
        request = self.head
        self.status = head.status
        self.response_started = True
        self.upstream_seconds = ctx.now - self.attempt_started
        close = not request.keep_alive or ctx.draining or not self.request_done or self.down.is_last
        if head.content_length < 0 and head.has_body(self.method):
            if request.minor == 1:
                self._chunked_down = True
            else:
                close = True
        self._close = close
        out = forward.response_head(
            head, ctx, self.request_id, chunked=self._chunked_down, close=close, keep_alive_1_0=request.minor == 0
        )
        self.bytes_out = len(body)
        if self._chunked_down:
            body = chunked_piece(body, trailers, is_last=done)
        if len(body) <= _JOIN_BYTES:
            is_congested = not self.down.transport.write(out + body if body else out)
        else:
            self.down.transport.write(out)
            is_congested = not self.down.transport.write(body)
        self.go_on(done, is_congested)

    def on_response_body(self, body: bytes, done: bool, trailers: bytes) -> None:
        """More of the response body; `body` may be empty. When done, the upstream is released already."""
        self.bytes_out += len(body)
        if self._chunked_down:
            body = chunked_piece(body, trailers, is_last=done)
        self.go_on(done, bool(body) and not self.down.transport.write(body))

    def go_on(self, done: bool, is_congested: bool) -> None:
        """After a part of the response was written."""
        instance = self.instance
        if is_congested:
            self.down.is_congested = True
        if done:
            assert instance is not None
            self.up = None
            account.end_response(self.ctx, self.service, instance, self.status, self.upstream_seconds)
            self._finish(close=self._close)
            return
        up = self.up
        if up is not None:
            patience.await_bytes(self, up)
            if is_congested:
                up.transport.pause()

    # --- upgrades -------------------------------------------------------------------------------

    def on_switching(self, head: ResponseHead, rest: bytes) -> None:
        """101: both connections become a tunnel."""
        assert self.up is not None
        self.status = 101
        self.response_started = True
        self.upstream_seconds = self.ctx.now - self.attempt_started
        self.tunnel = Tunnel(self, self.down, self.up, self.ctx, self.route.stream_idle_timeout)
        self.tunnel.begin(forward.switching_head(head, self.ctx, self.request_id), rest)

    def end_tunnel(self) -> None:
        """One side has ended: pass on what is kept, then close both."""
        if self.up is not None:
            self.up.close()
            self._close = True
            self.go_on(True, False)

    # --- ends -----------------------------------------------------------------------------------

    def fail_internally(self) -> None:
        """A fault of the gateway's own: answered with 500 if that is still possible."""
        self.drop_attempt(Reason.INTERNAL)
        self.fail(Reason.INTERNAL, self.detail)

    def fail(self, reason: Reason, detail: str) -> None:
        """Give up: answer with the reason's status, or abort the message if its head is out."""
        self.reason = reason
        self.detail = detail
        if self.up is not None:
            self.drop_attempt(reason)
        if self.response_started:
            self._finish(close=True, aborted=True)
            return
        self.status = reason.status
        head = self.head
        may_go_on = head.keep_alive and head.minor == 1 and self.request_done
        close = not may_go_on or self.ctx.draining or self.down.is_last
        if not self.down.transport.write(
            reply.problem(reason, self.ctx, self.request_id, head_only=self.method == b"HEAD", close=close)
        ):
            self.down.is_congested = True
        self._finish(close=close)

    def drop_attempt(self, reason: Reason) -> None:
        """End an attempt under way for a reason that is not the instance's."""
        up, self.up = self.up, None
        if up is None:
            return
        self._flowing = False
        up.close()
        attempts.drop(self, reason)

    def _finish(self, *, close: bool, aborted: bool = False) -> None:
        ctx = self.ctx
        ctx.stats.in_flight -= 1
        self.service.in_flight -= 1
        turn, self._turn = self._turn, None
        account.finish(ctx, self)
        self.down.on_exchange_done(close=close, aborted=aborted, request_done=self.request_done)
        if turn is not None:
            turn.end()  # last: it may begin another exchange's attempt
