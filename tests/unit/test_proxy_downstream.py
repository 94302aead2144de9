"""A client's connection: requests in order, the gateway's own answers, refusals, and how it ends."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.errors import Reason
from gateway.proxy.downstream import PIPELINE_BYTES, Downstream
from tests.proxy_fakes import FakeTransport
from tests.proxy_harness import ROUTE, SETTINGS, World
from tests.proxy_messages import GET, get, ok, parse, post

NO_ROUTES = [replace(ROUTE, path="/api/*")]


def problem(client: FakeTransport) -> tuple[int, str]:
    """Status and reason of the problem that the client received, after a check of its form."""
    response = parse(client.take())
    body = json.loads(response.body)
    assert response[b"Content-Type"] == b"application/problem+json"
    assert response[b"Cache-Control"] == b"no-store"
    assert response[b"X-Gateway"] == b"edge"
    assert int(response[b"Content-Length"]) == len(response.body)
    assert response[b"X-Request-ID"].decode() == body["request_id"]
    assert set(body) == {"type", "title", "status", "reason", "detail", "request_id"}
    assert body["status"] == response.status
    assert "10.0.0" not in response.body.decode()
    return response.status, body["reason"]


def test_requests_of_a_kept_connection_share_one_upstream_connection() -> None:
    with World() as world:
        client = world.client()
        for body in (b"one", b"two", b"three"):
            client.send(GET)
            world.upstream.send(ok(body))
            assert parse(client.take()).body == body
        assert len(world.upstreams) == 1
        assert world.codes() == {200: 3}
        assert world.outcomes() == {"ok": 3}
        assert world.ctx.stats.requests == 3


def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    with World() as world:
        client = world.client(get(b"/1") + get(b"/2") + post(b"body", path=b"/3") + get(b"/4"))
        for path in (b"/1", b"/2", b"/3", b"/4"):
            request = parse(world.upstream.take())
            assert request.line.split()[1] == path
            assert client.take() == b""
            world.upstream.send(ok(path))
            assert parse(client.take()).body == path


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_requests_may_arrive_in_any_pieces(size: int) -> None:
    requests = (get(b"/1", b"X-A: 1"), post(b"body", path=b"/2"), b"\r\n" + get(b"/3"))
    stream = b"".join(requests)
    with World() as world:
        client = world.client()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        for path, end in ((b"/1", b"\r\n\r\n"), (b"/2", b"body"), (b"/3", b"\r\n\r\n")):
            received = b""
            while not (path in received and received.endswith(end)):
                if pieces:
                    client.send(pieces.pop(0))
                received += world.upstream.take() if world.upstreams else b""
            world.upstream.send(ok(path))
            assert client.take().endswith(path)
        assert world.codes() == {200: 3}


def test_a_thousand_pipelined_requests_do_not_recurse() -> None:
    with World() as world:
        client = world.client(GET * 1000)
        for _ in range(1000):
            world.upstream.send(ok())
        assert client.take().count(b"\r\n\r\nok") == 1000


@pytest.mark.parametrize("path", [b"/health", b"/nowhere"])
def test_a_thousand_pipelined_requests_that_the_gateway_answers_do_not_recurse(path: bytes) -> None:
    with World(routes=NO_ROUTES) as world:
        client = world.client(get(path) * 1000)
        assert client.take().count(b"HTTP/1.1 ") == 1000


def test_a_thousand_pipelined_requests_that_fail_at_once_do_not_recurse() -> None:
    with World() as world:
        world.network.refuses = {"10.0.0.1"}
        client = world.client(GET * 1000)
        assert client.take().count(b"HTTP/1.1 502 ") == 1000


def test_what_a_client_sends_ahead_is_bounded() -> None:
    with World() as world:
        client = world.client(GET)
        ahead = get(b"/ahead", b"X-A: " + b"a" * 1000)
        client.send(*[ahead * 20] * 20)
        received = 400 * len(ahead) - client.unread
        assert received <= PIPELINE_BYTES + 20 * len(ahead)
        for _ in range(50):
            world.upstream.send(ok())
        assert 400 * len(ahead) - client.unread - 50 * len(ahead) <= PIPELINE_BYTES + 20 * len(ahead)
        for _ in range(351):
            world.upstream.send(ok())
        assert client.take().count(b"HTTP/1.1 200") == 401


def test_responses_to_a_client_that_never_reads_are_bounded() -> None:
    with World() as world:
        client = world.client()
        client.stop_reading()
        client.send(*[GET * 50] * 20)
        answered = 0
        while world.in_flight():
            world.upstream.send(ok(b"x" * 10_000))
            answered += 1
        assert answered < 20
        client.read_all()
        while world.in_flight():
            world.upstream.send(ok(b"x" * 10_000))
        assert client.take().count(b"HTTP/1.1 200") == 1000


@pytest.mark.parametrize("path", [b"/health", b"/nowhere"])
def test_own_answers_to_a_client_that_never_reads_are_bounded(path: bytes) -> None:
    with World(routes=NO_ROUTES) as world:
        client = world.client()
        client.stop_reading()
        client.send(*[get(path) * 5000] * 2)
        assert len(client.kept) < 100_000
        client.read_all()
        assert client.take().count(b"HTTP/1.1 ") == 10_000


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_host"),
        (get(b"/", b"Host: other"), 400, "bad_host"),
        (b"GET /\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "malformed_request"),
        (get(b"/", b"X-A : 1"), 400, "malformed_request"),
        (get(b"/", b" folded"), 400, "malformed_request"),
        (get(b"/", b"Content-Length: 1", b"Content-Length: 1"), 400, "ambiguous_length"),
        (get(b"/", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400, "ambiguous_length"),
        (get(b"/", b"Transfer-Encoding: xchunked"), 400, "ambiguous_length"),
        (get(b"/", b"Transfer-Encoding: gzip, chunked"), 501, "transfer_coding_not_supported"),
        (b"GET /" + b"a" * 9000, 414, "target_too_long"),
        (get(b"/", b"X-A: " + b"a" * 9000), 431, "header_too_large"),
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 9000, 431, "header_too_large"),
        (get(b"/", *[b"X-A: 1"] * 30), 431, "header_too_large"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
    ],
)
def test_what_has_no_certain_meaning_is_refused_and_the_connection_closed(
    request_: bytes, status: int, reason: str
) -> None:
    with World() as world:
        client = world.client(request_ + GET)
        assert problem(client) == (status, reason)
        assert client.closed == "linger"
        assert world.upstreams == []
        assert world.codes(0) == {status: 1}
        assert [line.status for line in world.log.lines] == [status]


def test_without_a_route_it_is_404_and_the_connection_stays() -> None:
    with World(routes=NO_ROUTES) as world:
        client = world.client(get(b"/nowhere"))
        assert problem(client) == (404, "no_route")
        assert client.is_open()
        client.send(post(path=b"/nowhere"))
        assert problem(client) == (404, "no_route")
        assert client.closed == "linger"  # nobody reads the body
        assert world.codes(0) == {404: 2}


@pytest.mark.parametrize("target", [b"example.com:443", b"/"])
def test_connect_is_405_with_what_is_allowed_instead(target: bytes) -> None:
    with World() as world:
        client = world.client(b"CONNECT %b HTTP/1.1\r\nHost: example.com:443\r\n\r\n" % target)
        assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in client.received
        assert problem(client) == (405, "method_not_allowed")
        assert client.closed


def test_another_method_is_405_with_allow() -> None:
    with World(routes=[replace(ROUTE, methods=("GET", "POST"))]) as world:
        client = world.client(get(b"/", method=b"DELETE"))
        assert b"\r\nAllow: GET, POST\r\n" in client.received
        assert problem(client) == (405, "method_not_allowed")
        assert client.is_open()


def test_a_problem_that_answers_head_has_no_body() -> None:
    with World(routes=NO_ROUTES) as world:
        client = world.client(get(b"/nowhere", method=b"HEAD"))
        response = parse(client.take())
        assert (response.status, response.body) == (404, b"")
        assert int(response[b"Content-Length"]) > 0


def test_health_and_ready_answer_before_any_route() -> None:
    with World() as world:
        client = world.client(get(b"/health") + get(b"/ready?x") + get(b"/health", method=b"HEAD"))
        assert client.received.count(b"HTTP/1.1 200 OK\r\n") == 3
        assert client.take().count(b'{"status": "ok"}') == 2
        world.publish(settings=replace(SETTINGS, ready=False))
        client.send(get(b"/health") + get(b"/ready"))
        assert client.received.count(b"HTTP/1.1 200 OK\r\n") == 1
        assert b"503 Service Unavailable\r\n" in client.received
        assert client.take().endswith(b'{"status": "not ready"}\n')
        assert world.upstreams == []
        assert world.codes(0) == {200: 4, 503: 1}


def test_options_of_the_server_itself_is_answered() -> None:
    with World() as world:
        client = world.client(get(b"*", method=b"OPTIONS"))
        assert parse(client.take()).status == 200
        assert world.upstreams == []


def test_http_1_0_closes_unless_asked_to_keep_the_connection() -> None:
    with World() as world:
        client = world.client(get(version=b"1.0"))
        world.upstream.send(ok())
        assert parse(client.take())[b"Connection"] == b"close"
        assert client.closed
        client = world.client(get(b"/", b"Connection: keep-alive", version=b"1.0"))
        world.upstream.send(ok())
        assert parse(client.take())[b"Connection"] == b"keep-alive"
        assert client.is_open()


@pytest.mark.parametrize("path", [b"/health", b"/nowhere", b"/api/down"])
def test_http_1_0_is_never_left_to_wait_for_the_end_of_an_own_answer(path: bytes) -> None:
    """A connection that is kept must say so to an HTTP/1.0 client, or the client waits for it to close."""
    with World(routes=NO_ROUTES) as world:
        world.network.refuses = {"10.0.0.1"}
        client = world.client(get(path, b"Connection: keep-alive", version=b"1.0"))
        assert parse(client.take())[b"Connection"] == (b"close" if client.closed else b"keep-alive")


def test_connection_close_of_the_client_is_honoured() -> None:
    with World() as world:
        client = world.client(get(b"/", b"Connection: close") + GET)
        world.upstream.send(ok())
        assert parse(client.take())[b"Connection"] == b"close"
        assert client.closed
        assert world.codes() == {200: 1}


def test_a_client_that_half_closes_gets_its_response() -> None:
    with World() as world:
        client = world.client(GET)
        client.eof()
        assert client.is_open()
        world.upstream.send(ok())
        assert parse(client.take()).body == b"ok"
        assert client.closed == "close"
        assert world.codes() == {200: 1}


def test_a_client_that_half_closes_gets_the_responses_to_all_that_it_sent() -> None:
    with World() as world:
        client = world.client(GET * 3)
        client.eof()
        for _ in range(3):
            assert client.is_open()
            world.upstream.send(ok())
        received = client.take()
        assert received.count(b"HTTP/1.1 200 OK") == 3
        assert received.count(b"Connection: close") == 1
        assert client.closed == "close"


def test_a_client_that_half_closes_within_a_body_is_gone() -> None:
    with World() as world:
        client = world.client(post(b"hello")[:-2])
        client.eof()
        assert client.closed == "abort"
        assert world.upstream.closed
        assert world.last.reason is Reason.CLIENT_CLOSED
        assert world.codes() == {499: 1}


def test_a_client_that_half_closes_within_a_head_is_let_go() -> None:
    with World() as world:
        client = world.client(GET[:-2])
        client.eof()
        assert (client.closed, client.take()) == ("close", b"")
        client = world.client(GET + GET[:-2])
        client.eof()
        world.upstream.send(ok())
        assert client.closed == "close"


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"])
def test_a_client_that_resets_takes_its_attempt_along(sent: bytes) -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(sent)
        assert world.in_flight() == 1
        client.reset()
        assert world.in_flight() == 0
        assert world.ctx.stats.in_flight == 0
        assert world.upstream.closed
        assert world.outcomes() == {"client_closed": 1}


def test_a_client_that_resets_while_an_instance_is_being_connected_to() -> None:
    with World() as world:
        world.network.accepts = False
        client = world.client(GET)
        client.reset()
        assert world.upstream.closed
        assert world.outcomes() == {"client_closed": 1}
        assert world.codes() == {499: 1}


def test_a_head_that_does_not_come_in_time_is_408() -> None:
    with World() as world:
        client = world.client(GET[:-2] + b"X-A:")
        for _ in range(9):
            world.advance(1.0)
            client.send(b"a")
        assert client.take() == b""
        world.advance(1.1)
        assert problem(client) == (408, "header_timeout")
        assert client.closed == "linger"


def test_the_time_for_a_head_begins_with_its_first_byte() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(ok())
        client.take()
        world.advance(60.0)
        client.send(b"GET ")
        world.advance(9.9)
        assert client.is_open()
        world.advance(0.2)
        assert problem(client) == (408, "header_timeout")


def test_an_idle_connection_is_closed_without_a_word() -> None:
    with World() as world:
        fresh = world.client()
        world.advance(9.9)
        assert fresh.is_open()
        world.advance(0.2)
        assert (fresh.closed, fresh.take()) == ("close", b"")
        client = world.client(get(b"/health"))
        client.take()
        world.advance(74.9)
        assert client.is_open()
        world.advance(0.2)
        assert (client.closed, client.take()) == ("close", b"")


def test_a_crash_ends_its_own_connection_with_500_and_no_other() -> None:
    with World() as world:
        other = world.client(get(b"/other"))
        answer = world.upstream
        client = world.client(GET * 2)
        client.machine.crash()
        assert problem(client) == (500, "internal_error")
        assert client.closed
        assert world.upstream.closed
        assert world.codes() == {500: 1}
        answer.send(ok())
        assert parse(other.take()).status == 200


def test_a_crash_between_requests_and_in_a_response_cannot_be_answered() -> None:
    with World() as world:
        client = world.client()
        client.machine.crash()
        assert client.closed == "abort"
        client = world.client(GET)
        world.upstream.send(ok()[:-1])
        world.upstream.machine.crash()
        assert client.closed == "abort"
        assert isinstance(client.machine, Downstream)
        assert not client.machine.is_idle
