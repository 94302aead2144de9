"""Records of requests as OpenTelemetry's spans, by its stable semantic conventions for HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway.trace_record import AttemptRecord, RequestRecord

Attributes = dict[str, str | int | float | bool]

_METHODS: Final = frozenset(
    (b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"TRACE")
)  # those that the conventions know by name
_HOST: Final = re.compile(r"(?:\[(.*)\]|([^:]*))(?::([0-9]*))?")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSET: Final = Status(StatusCode.UNSET)


class SpanMaker:
    """Makes the spans of one gateway."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope

    def spans(self, request: RequestRecord) -> Iterator[ReadableSpan]:
        """The server span and the client spans of a request."""
        trace_id = int(request.trace_id, 16)
        state = TraceState.from_header([_text(request.state)]) if request.state else TraceState()
        server = SpanContext(trace_id, int(request.span_id, 16), False, _SAMPLED, state)
        caller = None
        if request.parent_id:
            caller = SpanContext(trace_id, int(request.parent_id, 16), True, _SAMPLED, state)
        method = _text(request.method) if request.method in _METHODS else "HTTP"
        is_error = request.status >= 500
        yield ReadableSpan(
            name=f"{method} {request.route}" if request.route else method,
            context=server,
            parent=caller,
            resource=self._resource,
            attributes=_server_attributes(request),
            kind=SpanKind.SERVER,
            instrumentation_scope=self._scope,
            status=Status(StatusCode.ERROR) if is_error else _UNSET,
            start_time=_ns(request.started),
            end_time=_ns(request.ended),
        )
        for number, each in enumerate(request.attempts):
            failed = bool(each.reason) or each.status >= 400
            # The clocks' offset is rounded: no attempt begins before its request or ends after it.
            started = max(_ns(each.started), _ns(request.started))
            yield ReadableSpan(
                name=method,
                context=SpanContext(trace_id, int(each.span_id, 16), False, _SAMPLED, state),
                parent=server,
                resource=self._resource,
                attributes=_client_attributes(request, each, number),
                kind=SpanKind.CLIENT,
                instrumentation_scope=self._scope,
                status=Status(StatusCode.ERROR, each.detail or None) if failed else _UNSET,
                start_time=started,
                end_time=max(started, min(_ns(each.ended), _ns(request.ended))),
            )


def _common(request: RequestRecord) -> Attributes:
    attributes: Attributes = {"http.request.method": _text(request.method)}
    if request.method not in _METHODS:
        attributes |= {"http.request.method": "_OTHER", "http.request.method_original": _text(request.method)}
    return attributes | {"gw.service": request.service, "gw.request_id": _text(request.request_id)}


def _server_attributes(request: RequestRecord) -> Attributes:
    attributes = _common(request) | {
        "url.path": _text(request.path),
        "url.scheme": _text(request.scheme),
        "http.response.status_code": request.status,
        "network.protocol.version": f"1.{request.minor}",
        "network.peer.address": _text(request.peer),
        "client.address": _text(request.client),
        "gw.worker": request.worker,
    }
    if request.host:
        match = _HOST.fullmatch(_text(request.host))
        attributes["server.address"] = match[1] or match[2] if match else _text(request.host)
        if match and match[3]:
            attributes["server.port"] = int(match[3])
    if request.user_agent:
        attributes["user_agent.original"] = _text(request.user_agent)
    if request.route:
        attributes |= {"http.route": request.route, "gw.route": request.route_label}
    if request.reason or request.status >= 500:
        attributes["error.type"] = request.reason or str(request.status)
    return attributes


def _client_attributes(request: RequestRecord, each: AttemptRecord, number: int) -> Attributes:
    host, _, port = each.name.rpartition(":")
    attributes = _common(request) | {
        "url.full": f"http://{each.name}{_text(request.forwarded_path)}",
        "server.address": host.strip("[]"),
        "server.port": int(port),
        "network.peer.address": each.host,
        "network.peer.port": each.port,
        "network.protocol.version": "1.1",
        "gw.connection.reused": each.is_reused,
    }
    if number:
        attributes["http.request.resend_count"] = number
    if each.status:
        attributes["http.response.status_code"] = each.status
    if each.connect_seconds >= 0:
        attributes["gw.connect_seconds"] = round(each.connect_seconds, 6)
    if each.head_seconds >= 0:
        attributes["gw.response_head_seconds"] = round(each.head_seconds, 6)
    if each.is_stale:
        attributes["gw.connection.stale"] = True
    if each.reason or each.status >= 400:
        attributes["error.type"] = each.reason or str(each.status)
    return attributes


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
