"""Heads as forwarded: what the gateway adds to, and leaves out of, the message it understood."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.h1.fields import without
from gateway.h1.grammar import SANE_REQUEST_ID, TRACEPARENT
from gateway.h1.request import RequestHead
from gateway.h1.response import ResponseHead
from gateway.proxy import provenance
from gateway.routing.compiled import CompiledRoute

if TYPE_CHECKING:
    from gateway.proxy.context import Context
    from gateway.proxy.downstream import Downstream

_KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"
_CLOSE: Final = b"Connection: close\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
# Those that W3C Trace Context level 2 knows: sampled, and random trace id. All others are sent as 0.
_FLAGS: Final = (b"01", b"00", b"03", b"02")


def identify(head: RequestHead, ctx: Context) -> tuple[bytes, bytes]:
    """The request's id and its traceparent (W3C Trace Context): the client's, or one that starts a trace.

    A sane X-Request-ID of the client's is kept. A trace that begins here shares its id with the request,
    so that either finds the other. A trace that goes on keeps the caller's span as its parent: only a span that is
    recorded here takes that place (`tracing`).
    """
    digits = ctx.ids.next()
    trace = digits[:32]
    owned = head.fields.owned
    request_id = trace
    if owned:
        given = owned.get(b"x-request-id", ())
        if len(given) == 1 and SANE_REQUEST_ID.fullmatch(given[0]):
            request_id = given[0]
        found = parent(owned)
        if found is not None:
            flags = found[3] if found[3] in _FLAGS else b"%02x" % (int(found[3], 16) & 3)
            return request_id, b"00-%b-%b-%b" % (found[1], found[2], flags)
    flags = b"01" if ctx.samples_all or ctx.is_sampled(trace) else b"00"
    return request_id, b"00-%b-%b-%b" % (trace, digits[32:], flags)


def parent(owned: dict[bytes, list[bytes]]) -> re.Match[bytes] | None:
    """The client's traceparent, if it has a valid one."""
    parents = owned.get(b"traceparent", ())
    return TRACEPARENT.match(parents[0]) if len(parents) == 1 else None


def request_head(
    head: RequestHead, route: CompiledRoute, down: Downstream, ctx: Context, request_id: bytes, trace: bytes
) -> bytes:
    """The head to send upstream, always as HTTP/1.1."""
    fields = head.fields
    if down.static_for is fields and down.static_route is route:
        static = down.static_head
    else:
        static = _static_fields(head, route, down, ctx)
        down.static_for, down.static_route, down.static_head = fields, route, static
    target = head.target
    if route.rewrites_path:
        target = route.upstream_path(head.path) + target[len(head.path) :]
    return b"%b %b HTTP/1.1\r\n%bX-Request-ID: %b\r\ntraceparent: %b\r\n\r\n" % (
        head.method,
        target,
        static,
        request_id,
        trace,
    )


def _static_fields(head: RequestHead, route: CompiledRoute, down: Downstream, ctx: Context) -> bytes:
    """All that is the same for every request with these fields on this connection and route."""
    fields = head.fields
    origin = provenance.fields(head, down)
    block = fields.forward
    if route.header_names:  # the route's value, not one that the client made up
        block, origin = without(block, route.header_names), without(origin, route.header_names)
    parts = [block, origin]
    if route.host or route.host_is_instance:
        parts = [b"Host: %b\r\n" % route.host if route.host else b"", without(block, {b"host"}), origin]
    elif not fields.host_field:  # HTTP/1.0 may leave it out, HTTP/1.1 may not (RFC 9112 3.2)
        parts.append(b"Host: \r\n")
    via = b", ".join(fields.owned.get(b"via", ()))
    parts.append(ctx.via_field if not via else b"Via: " + via + b", " + ctx.via_field[5:])
    # W3C Trace Context 3.3: the vendors' state belongs to the trace that it came with, not to one begun here.
    if b"tracestate" in fields.owned and parent(fields.owned) is not None:
        parts.append(b"tracestate: %b\r\n" % b", ".join(fields.owned[b"tracestate"]))
    parts.append(route.header_block)
    if fields.chunked:
        parts.append(_CHUNKED)
    if is_upgrade(head):
        parts += (b"Connection: Upgrade\r\nUpgrade: ", fields.upgrade, b"\r\n")
    elif fields.te_trailers:
        parts.append(b"TE: trailers\r\nConnection: TE\r\n")
    return b"".join(parts)


def with_host(head: bytes, host: bytes) -> bytes:
    """A request head that has no Host yet, with this one."""
    end = head.index(b"\r\n") + 2
    return b"%bHost: %b\r\n%b" % (head[:end], host, head[end:])


def asked_for(head: RequestHead, protocols: bytes) -> bool:
    """Are these protocols of a 101, all of them, among those that the request offers? (RFC 9110 7.8)"""
    offered = head.fields.upgrade.lower().split(b", ")
    return all(each.strip(b" \t").lower() in offered for each in protocols.split(b","))


def is_upgrade(head: RequestHead) -> bool:
    """Does the request ask for an upgrade that is passed on? (`request` has left out HTTP/2.)"""
    return bool(head.fields.upgrade) and head.minor == 1


def response_head(
    head: ResponseHead, ctx: Context, request_id: bytes, *, chunked: bool, close: bool, keep_alive_1_0: bool
) -> bytes:
    """The head to send to the client.

    chunked: the body is sent chunked. close: the connection ends after it. keep_alive_1_0: the client is
    HTTP/1.0 and asked to keep the connection.
    """
    block = head.forward
    if head.status == 204 and head.content_length >= 0:
        block = without(block, {b"content-length"})  # RFC 9110 8.6: a 204 has none
    tail = b""
    if chunked:
        tail = _CHUNKED
    if close:
        tail += _CLOSE
    elif keep_alive_1_0:
        tail += _KEEP_ALIVE
    return b"HTTP/1.1 %d %b\r\n%b%bX-Request-ID: %b\r\n%b\r\n" % (
        head.status,
        head.phrase,
        block,
        ctx.gateway_field,
        request_id,
        tail,
    )


def interim_head(head: ResponseHead) -> bytes:
    """A 1xx response, relayed (RFC 9110 15.2)."""
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (head.status, head.phrase, head.forward)


def switching_head(head: ResponseHead, ctx: Context, request_id: bytes) -> bytes:
    """A 101 response, relayed (RFC 9110 7.8)."""
    return b"HTTP/1.1 101 %b\r\n%bConnection: Upgrade\r\nUpgrade: %b\r\n%bX-Request-ID: %b\r\n\r\n" % (
        head.phrase,
        head.forward,
        head.upgrade,
        ctx.gateway_field,
        request_id,
    )
