"""An OTLP receiver for tests: HTTP on loopback, decoded with OpenTelemetry's own protobuf messages.

with OtlpReceiver() as receiver:
    receiver.url                     # "http://127.0.0.1:41234/v1/traces"
    receiver.spans()                 # all that came so far, taken apart
    receiver.status = 503            # what it answers from now on
"""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SERVER, CLIENT = Span.SpanKind.SPAN_KIND_SERVER, Span.SpanKind.SPAN_KIND_CLIENT
Values = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span; ids are hexadecimal, times nanoseconds of Unix time."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    started: int
    ended: int
    attributes: Values
    is_error: bool
    description: str
    resource: Values


class OtlpReceiver:
    """See the module."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.headers: list[dict[str, str]] = []  # of every request, names in lower case
        self._spans: list[ReceivedSpan] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                if receiver.status == 200 and self.path == "/v1/traces":
                    receiver._spans += _decode(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(receiver.status if self.path == "/v1/traces" else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def spans(self, trace_id: str = "") -> list[ReceivedSpan]:
        """What came so far, of one trace if it is named; earlier ones first."""
        found = [each for each in list(self._spans) if not trace_id or each.trace_id == trace_id]
        return sorted(found, key=lambda each: (each.started, each.kind == CLIENT))

    def __enter__(self) -> OtlpReceiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _decode(body: bytes) -> list[ReceivedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        _received(span, _values(list(of_resource.resource.attributes)))
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _received(span: Span, resource: Values) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        state=span.trace_state,
        started=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_values(list(span.attributes)),
        is_error=span.status.code == 2,
        description=span.status.message,
        resource=resource,
    )


def _values(pairs: list[KeyValue]) -> Values:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}
