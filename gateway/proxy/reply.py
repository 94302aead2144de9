"""Responses of the gateway itself: problem+json errors (RFC 9457), health and readiness."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from gateway.errors import Reason

if TYPE_CHECKING:
    from gateway.h1.request import RequestHead
    from gateway.proxy.context import Context

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus} | {413: b"Content Too Large"}
RETRY_AFTER_SECONDS = 1
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"  # instead of CONNECT, which no route takes


def problem(
    reason: Reason, ctx: Context, request_id: bytes, *, head_only: bool, close: bool, allow: bytes = b""
) -> bytes:
    """A whole error response. It says what happened and the request's id, never anything of the inside."""
    body = json.dumps(
        {
            "type": "about:blank",
            "title": _PHRASES[reason.status].decode(),
            "status": reason.status,
            "reason": reason.slug,
            "detail": reason.sentence,
            "request_id": request_id.decode("latin-1"),
        }
    ).encode()
    extra = b""
    if reason.status == 503:
        extra = b"Retry-After: %d\r\n" % RETRY_AFTER_SECONDS
    elif reason is Reason.METHOD_NOT_ALLOWED:
        extra = b"Allow: %b\r\n" % (allow or _METHODS)
    return _response(
        reason.status, b"application/problem+json", body, ctx, request_id, extra, head_only=head_only, close=close
    )


def redirect(status: int, location: bytes, ctx: Context, request_id: bytes, *, close: bool) -> bytes:
    """A whole redirect, without a body."""
    return (b"HTTP/1.1 %d %b\r\nDate: %b\r\nLocation: %b\r\nContent-Length: 0\r\n%bX-Request-ID: %b\r\n%b\r\n") % (
        status,
        _PHRASES[status],
        ctx.date,
        location,
        ctx.gateway_field,
        request_id,
        b"Connection: close\r\n" if close else b"",
    )


def own(head: RequestHead, ctx: Context, request_id: bytes, *, close: bool) -> tuple[int, bytes]:
    """Status and whole response of the gateway's own paths: /health, /ready, and `OPTIONS *` (RFC 9110 9.3.7)."""
    status, answer = 200, "ok"
    is_leaving = ctx.draining and not ctx.is_replaced
    if head.path == b"/ready" and (is_leaving or not ctx.settings.ready):
        status, answer = 503, "draining" if is_leaving else "not ready"
    body = json.dumps({"status": answer}).encode() + b"\n"
    head_only = head.method == b"HEAD"
    return status, _response(status, b"application/json", body, ctx, request_id, b"", head_only=head_only, close=close)


def must_close(head: RequestHead, ctx: Context) -> bool:
    """Must the connection end after an answer that did not wait for the request's body?"""
    has_body = head.fields.chunked or head.fields.content_length > 0
    return not head.keep_alive or head.minor == 0 or has_body or ctx.draining


def _response(
    status: int,
    media_type: bytes,
    body: bytes,
    ctx: Context,
    request_id: bytes,
    extra: bytes,
    *,
    head_only: bool,
    close: bool,
) -> bytes:
    return (
        b"HTTP/1.1 %d %b\r\nDate: %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"
        b"%b%bX-Request-ID: %b\r\n%b\r\n%b"
    ) % (
        status,
        _PHRASES[status],
        ctx.date,
        media_type,
        len(body),
        extra,
        ctx.gateway_field,
        request_id,
        b"Connection: close\r\n" if close else b"",
        b"" if head_only else body,
    )
