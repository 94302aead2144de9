"""Records of requests as OpenTelemetry's spans."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind

from gateway.trace_record import AttemptRecord, RequestRecord
from gateway.tracing.spans import SpanMaker

MAKER = SpanMaker(Resource({"service.name": "edge"}), InstrumentationScope("gw", "1"))
FAILED = AttemptRecord(
    b"3" * 16, 1000.0, 1000.5, "10.0.0.1", 80, "one.example:80", -1.0, -1.0, 0, "connect_refused", "ECONNREFUSED",
    False, False,
)  # fmt: skip
ANSWERED = FAILED._replace(
    span_id=b"4" * 16, started=1000.5, ended=1001.0, connect_seconds=0.1, head_seconds=0.3, status=200, reason="",
    detail="", host="::1", name="[::1]:80",
)  # fmt: skip
REQUEST = RequestRecord(
    b"1" * 32, b"2" * 16, b"5" * 16, b"a=1,b=2", 1000.0, 1001.0, b"GET", b"/users/1", b"/1", 1, b"https",
    b"api.example:8443", b"192.0.2.7", b"10.9.9.9", b"curl", 200, "", "/users/*", "api.example/users/*", "users",
    b"r-1", 3, (FAILED, ANSWERED),
)  # fmt: skip


def made(request: RequestRecord) -> list[ReadableSpan]:
    return list(MAKER.spans(request))


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_request_is_a_server_span_with_its_attempts_below() -> None:
    server, first, second = made(REQUEST)
    assert [each.name for each in (server, first, second)] == ["GET /users/*", "GET", "GET"]
    assert [each.kind for each in (server, first, second)] == [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.CLIENT]
    assert server.context is not None
    assert server.parent is not None
    assert (server.context.trace_id, server.parent.span_id) == (int("1" * 32, 16), int("5" * 16, 16))
    assert server.parent.is_remote
    assert server.context.trace_state.to_header() == "a=1,b=2"
    assert first.parent == second.parent == server.context
    times = [(each.start_time, each.end_time) for each in (server, first, second)]
    second_ns = 1_000_000_000
    assert times == [
        (1000 * second_ns, 1001 * second_ns),
        (1000 * second_ns, 1000 * second_ns + second_ns // 2),
        (1000 * second_ns + second_ns // 2, 1001 * second_ns),
    ]


def test_the_server_span_says_what_the_conventions_ask_for() -> None:
    assert attributes(made(REQUEST)[0]) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/users/*",
        "url.path": "/users/1",
        "url.scheme": "https",
        "server.address": "api.example",
        "server.port": 8443,
        "client.address": "192.0.2.7",
        "network.peer.address": "10.9.9.9",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl",
        "gw.route": "api.example/users/*",
        "gw.service": "users",
        "gw.request_id": "r-1",
        "gw.worker": 3,
    }


def test_a_failed_attempt_says_why() -> None:
    _, failed, _ = made(REQUEST)
    assert attributes(failed) == {
        "http.request.method": "GET",
        "url.full": "http://one.example:80/1",
        "server.address": "one.example",
        "server.port": 80,
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 80,
        "network.protocol.version": "1.1",
        "error.type": "connect_refused",
        "gw.service": "users",
        "gw.request_id": "r-1",
        "gw.connection.reused": False,
    }
    assert (failed.status.is_ok, failed.status.description) == (False, "ECONNREFUSED")


def test_an_answered_attempt_has_its_status_and_times() -> None:
    answered = made(REQUEST)[2]
    found = attributes(answered)
    assert answered.status.is_ok
    assert "error.type" not in found
    assert (found["http.request.resend_count"], found["http.response.status_code"]) == (1, 200)
    assert (found["server.address"], found["gw.connect_seconds"], found["gw.response_head_seconds"]) == (
        "::1",
        0.1,
        0.3,
    )


@pytest.mark.parametrize(
    ("status", "reason", "server_ok", "client_ok", "kind"),
    [
        (200, "", True, True, None),
        (404, "", True, False, None),
        (500, "", False, False, "500"),
        (502, "upstream_reset", False, False, "upstream_reset"),
        (499, "client_closed", True, False, "client_closed"),
    ],
)
def test_what_counts_as_an_error(status: int, reason: str, server_ok: bool, client_ok: bool, kind: str | None) -> None:
    attempt = ANSWERED._replace(status=status, reason=reason)
    server, client = made(REQUEST._replace(status=status, reason=reason, attempts=(attempt,)))
    assert (server.status.is_ok, client.status.is_ok) == (server_ok, client_ok)
    assert attributes(server).get("error.type") == kind


def test_a_method_that_is_not_known_does_not_make_names() -> None:
    server, client = made(REQUEST._replace(method=b"BREW", route="", attempts=(ANSWERED,)))
    assert (server.name, client.name) == ("HTTP", "HTTP")
    found = attributes(server)
    assert (found["http.request.method"], found["http.request.method_original"]) == ("_OTHER", "BREW")
    assert "http.route" not in found


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        (b"api.example", "api.example", None),
        (b"[::1]", "::1", None),
        (b"[::1]:80", "::1", 80),
        (b"", None, None),
        (b"a:", "a", None),
    ],
)
def test_the_host_field_is_the_servers_address(host: bytes, address: str | None, port: int | None) -> None:
    found = attributes(made(REQUEST._replace(host=host))[0])
    assert (found.get("server.address"), found.get("server.port")) == (address, port)


def test_rounding_never_puts_an_attempt_outside_of_its_request() -> None:
    attempt = ANSWERED._replace(started=999.9999998, ended=1001.0000002)
    server, client = made(REQUEST._replace(attempts=(attempt,)))
    assert (client.start_time, client.end_time) == (server.start_time, server.end_time)


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert made(REQUEST._replace(path=b"/\xff", user_agent=b"\xfe", state=b"\xff", host=b"\xff"))
