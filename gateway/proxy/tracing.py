"""Distributed tracing: which requests are sampled, the spans they get, and what is written down when they end.

A request that is sampled has a server span, and a client span for each of its attempts. A span is but an id until the
exchange is over; then one record tells all (`gateway.trace_record`), and what becomes of it is another process's
business. Who does not record does not change what it passes on: the caller's `traceparent` goes on as it came, so
that no span behind the gateway has a parent that nobody knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.balance.instance import LiveInstance
from gateway.proxy import attempts, b3, forward, provenance
from gateway.trace_record import pack

if TYPE_CHECKING:
    from gateway.h1.request import RequestHead
    from gateway.proxy.attempts import Attempt
    from gateway.proxy.context import Context
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.gate import OwnAnswer

_LONGEST: Final = 1024  # bytes of a path or a user agent that are written down
_SAMPLED: Final = (0x31, 0x33)  # last digits of the flags that say so: "1", and "3" (of a random trace id)


class Span:
    """The spans of one sampled request: the server's, and a client's for each attempt so far."""

    __slots__ = ("_b3", "_clients", "_ctx", "_next", "parent", "server", "state", "trace")

    def __init__(self, ctx: Context, trace: bytes, parent: bytes, state: bytes, fields: b3.B3 | None) -> None:
        digits = ctx.ids.next()
        self._ctx = ctx
        self._b3 = fields
        self._next = digits[16:32]
        self._clients: tuple[bytes, ...] = ()
        self.trace = trace  # 32 digits, the others 16
        self.server = digits[:16]
        self.parent = parent  # b"" if the trace begins here
        self.state = state

    @property
    def client(self) -> bytes:
        """The id of the present attempt's span, or of the first one's before that begins."""
        return self._next

    def attempt(self, head: bytes) -> bytes:
        """An attempt begins: the head to send, which names its span. `head` is the last attempt's, or the first."""
        if not self._clients:
            self._clients = (self._next,)
            fields = self._b3
            return head if fields is None else fields.forwarded(head, self.trace, self._next, self.server)
        last = self._next
        self._next = self._ctx.ids.next()[:16]
        self._clients = (*self._clients, self._next)
        return head.replace(last, self._next)

    def finish(self, exchange: Exchange) -> None:
        """The exchange is over: write it down."""
        ctx = self._ctx
        route = exchange.route
        path = exchange.head.path
        since = ctx.wall - ctx.now
        tries = attempts.history(exchange)
        told = tuple([_attempt(tries[at], self._clients[at], since) for at in range(len(tries))])
        record = _record(
            ctx, self, exchange.head, exchange.down, exchange.started + since, exchange.status,
            "" if exchange.reason is None else exchange.reason.slug, route.record.path, route.label,
            exchange.service.name, exchange.request_id, route.upstream_path(path) if route.rewrites_path else path,
            told,
        )  # fmt: skip
        ctx.spans.append((record, 1 + len(told)))


class Tracer:
    """One worker's, while tracing is on."""

    __slots__ = ("_accepts_b3", "_ctx", "_records")

    def __init__(self, ctx: Context, *, records: bool, accepts_b3: bool) -> None:
        self._ctx = ctx
        self._records = records
        self._accepts_b3 = accepts_b3

    def record_own(
        self, down: Downstream, head: RequestHead, request_id: bytes, trace: bytes, answer: OwnAnswer
    ) -> None:
        """A request that found no route, or that the gateway answered by its route's rules: a server span alone."""
        span, _ = self.decide(head, trace)
        if span is None:
            return
        ctx = self._ctx
        route = answer.route
        record = _record(
            ctx, span, head, down, ctx.wall, answer.status, "" if answer.reason is None else answer.reason.slug,
            "" if route is None else route.record.path, "" if route is None else route.label,
            "" if route is None else route.service, request_id, head.path, (),
        )  # fmt: skip
        ctx.spans.append((record, 1))

    def decide(self, head: RequestHead, trace: bytes) -> tuple[Span | None, bytes]:
        """The spans of a request that is sampled, and the traceparent to pass on. `trace` is as `identify` made it."""
        ctx = self._ctx
        owned = head.fields.owned
        parent = b""
        state = b""
        fields: b3.B3 | None = None
        if owned and b"traceparent" in owned and forward.parent(owned) is not None:
            parent = trace[36:52]
            state = b",".join(owned.get(b"tracestate", ()))
        elif self._accepts_b3:
            fields = b3.read(head.fields.block)
            if fields is not None:
                parent = fields.span
                trace = _of_b3(fields, trace, ctx)
        if not self._records or trace[54] not in _SAMPLED:
            return None, trace
        span = Span(ctx, trace[3:35], parent, state, fields)
        return span, b"%b%b%b" % (trace[:36], span.client, trace[52:])


def identify(head: RequestHead, ctx: Context) -> tuple[bytes, bytes, Span | None]:
    """A request's id, its traceparent as forwarded, and its spans if it is sampled and recorded."""
    request_id, trace = forward.identify(head, ctx)
    if ctx.tracer is None:
        return request_id, trace, None
    span, trace = ctx.tracer.decide(head, trace)
    return request_id, trace, span


def _of_b3(fields: b3.B3, started: bytes, ctx: Context) -> bytes:
    """The traceparent that says what B3 fields say. `started`: that of a trace begun here, for what they do not say."""
    trace = fields.trace_id if fields.trace else started[3:35]
    is_sampled = fields.state != b"0" if fields.state else ctx.is_sampled(trace)
    return b"00-%b-%b-%b" % (trace, fields.span or started[36:52], b"01" if is_sampled else b"00")


def _attempt(each: Attempt, span_id: bytes, since: float) -> tuple[object, ...]:
    """The values of an AttemptRecord. `since`: when the worker's clock was 0, in Unix seconds."""
    instance: LiveInstance = each.instance
    started = each.started + since
    return (
        span_id, started, started + each.seconds, instance.host, instance.port, instance.authority,
        each.connect_seconds, each.head_seconds, each.status, "" if each.reason is None else each.reason.slug,
        each.detail, each.is_reused, each.is_stale,
    )  # fmt: skip


def _record(
    ctx: Context,
    span: Span,
    head: RequestHead,
    down: Downstream,
    started: float,
    status: int,
    reason: str,
    route: str,
    label: str,
    service: str,
    request_id: bytes,
    forwarded_path: bytes,
    tries: tuple[object, ...],
) -> bytes:
    """A RequestRecord."""
    client = provenance.client_address(head, down, ctx.trusts) if down.trusted else down.peer
    return pack(
        (
            span.trace, span.server, span.parent, span.state, started, ctx.wall, head.method, head.path[:_LONGEST],
            forwarded_path[:_LONGEST], head.minor, provenance.scheme(head, down), head.fields.host_field, client,
            down.peer, _user_agent(head.fields.block), status, reason, route, label, service, request_id, ctx.row,
            tries,
        )
    )  # fmt: skip


def _user_agent(block: bytes) -> bytes:
    lower = b"\n" + block.lower()
    start = lower.find(b"\nuser-agent:")
    if start < 0:
        return b""
    return block[start + 11 : block.index(b"\r", start)].strip(b" \t")[:_LONGEST]
