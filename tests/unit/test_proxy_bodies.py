"""Bodies in both directions: framing, trailers, expectations, early answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Reason
from tests.proxy_harness import SETTINGS, World
from tests.proxy_messages import GET, get, ok, parse, post

CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
CHUNKED_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"


def unchunked(data: bytes) -> tuple[bytes, bytes]:
    """The content of a chunked body, and its trailer section; whole, or an assertion fails."""
    content = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            trailers, end, rest = data.rpartition(b"\r\n")
            assert (end, rest) == (b"\r\n", b"")
            return content, trailers
        assert data[length : length + 2] == b"\r\n"
        content += data[:length]
        data = data[length + 2 :]


def is_idle(world: World) -> bool:
    return world.ctx.stats.upstream_idle == 1 and not world.upstream.closed


# --- what has no body -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "response"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", CHUNKED_OK),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: a\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_a_response_without_a_body_ends_with_its_head(method: bytes, response: bytes) -> None:
    with World() as world:
        client = world.client(get(method=method))
        world.upstream.send(response)
        received = parse(client.take())
        assert received.body == b""
        assert b"Transfer-Encoding" not in received
        assert (b"Content-Length" in received) == (b"Content-Length: 5" in response)
        assert client.is_open()
        assert is_idle(world)
        client.send(GET)
        world.upstream.send(ok())
        assert parse(client.take()).body == b"ok"


# --- request bodies -----------------------------------------------------------------------------------


def test_a_body_with_a_length_is_forwarded_as_it_comes() -> None:
    with World() as world:
        client = world.client(post(b"hello")[:-3])
        assert parse(world.upstream.take()).body == b"he"
        client.send(b"l")
        assert world.upstream.take() == b"l"
        client.send(b"lo" + GET)
        assert world.upstream.take() == b"lo"
        world.upstream.send(ok())
        assert world.log.lines[0].bytes_in == 5
        assert world.upstream.take().startswith(b"GET / ")


def test_a_chunked_body_is_framed_anew_with_its_trailers() -> None:
    with World() as world:
        client = world.client(CHUNKED + b"3;ext=1\r\nab")
        request = parse(world.upstream.take())
        assert request[b"Transfer-Encoding"] == b"chunked"
        assert b"Content-Length" not in request
        received = request.body
        for piece in (b"c\r", b"\n002\r\nde\r\n0", b"\r\nX-Sum: 1\r\nx-b:2\r\n", b"\r\n"):
            client.send(piece)
            received += world.upstream.take()
        assert unchunked(received) == (b"abcde", b"X-Sum: 1\r\nx-b:2\r\n")
        world.upstream.send(ok())
        assert world.last.bytes_in == 5
        assert is_idle(world)


@pytest.mark.parametrize("bad", [b"g\r\n", b"3\r\nabcd\r\n", b"-1\r\n", b"0\r\nContent-Length: 1\r\n\r\n", b"1\nx"])
def test_a_body_that_is_badly_chunked_is_400_and_what_came_of_it_is_not_completed(bad: bytes) -> None:
    with World() as world:
        client = world.client(CHUNKED + b"1\r\na\r\n")
        client.send(bad)
        assert parse(client.take()).status == 400
        assert client.closed == "linger"
        assert world.upstream.closed
        assert not world.upstream.take().endswith(b"0\r\n\r\n")
        assert world.outcomes() == {"client_closed": 1}


def test_a_body_that_is_badly_chunked_from_the_start_reaches_nobody() -> None:
    with World() as world:
        client = world.client(CHUNKED + b"g\r\n")
        assert parse(client.take()).status == 400
        assert world.upstreams == []


@pytest.mark.parametrize(
    "request_", [post(b"x" * 11), CHUNKED + b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n", post(b"x" * 11)[:-11]]
)
def test_a_body_over_the_limit_is_413(request_: bytes) -> None:
    with World(settings=replace(SETTINGS, body_bytes=10)) as world:
        client = world.client(request_)
        assert parse(client.take()).status == 413
        assert client.closed == "linger"
        assert world.upstreams == []
        assert world.last.reason is Reason.BODY_TOO_LARGE


def test_a_body_of_just_the_limit_passes() -> None:
    with World(settings=replace(SETTINGS, body_bytes=10)) as world:
        client = world.client(CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n0\r\n\r\n")
        world.upstream.send(ok())
        assert parse(client.take()).status == 200


# --- expectations and interim responses ------------------------------------------------------------


def test_expect_100_continue_goes_from_end_to_end() -> None:
    with World() as world:
        client = world.client(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT"))
        assert parse(world.upstream.take())[b"Expect"] == b"100-continue"
        assert client.take() == b""
        world.upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert world.upstream.take() == b"hello"
        world.upstream.send(ok())
        assert parse(client.take()).body == b"ok"
        assert is_idle(world)


def test_an_expectation_can_be_declined_before_the_body() -> None:
    with World() as world:
        client = world.client(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT"))
        world.upstream.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
        response = parse(client.take())
        assert (response.status, response[b"Connection"]) == (417, b"close")
        assert client.closed == "linger"
        assert world.upstream.closed


def test_interim_responses_are_relayed_before_the_final_one() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    with World() as world:
        client = world.client(GET)
        world.upstream.send(hints, hints[:20], hints[20:] + ok())
        received = client.take()
        assert received.startswith(hints * 2 + b"HTTP/1.1 200 OK\r\n")
        assert world.outcomes() == {"ok": 1}
        assert is_idle(world)


def test_interim_responses_are_not_relayed_to_http_1_0() -> None:
    with World() as world:
        client = world.client(get(version=b"1.0"))
        world.upstream.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + ok())
        assert client.take().startswith(b"HTTP/1.1 200 OK\r\n")


# --- response bodies -----------------------------------------------------------------------------------


def test_a_chunked_response_stays_chunked_with_its_trailers() -> None:
    with World() as world:
        client = world.client(get(b"/", b"TE: trailers", b"Connection: TE"))
        world.upstream.send(CHUNKED_OK, b"3\r\nab", b"c\r\n1;x\r\nd\r\n", b"0\r\nX-Sum: 1\r\n\r\n")
        response = parse(client.take())
        assert response[b"Transfer-Encoding"] == b"chunked"
        assert unchunked(response.body) == (b"abcd", b"X-Sum: 1\r\n")
        assert world.last.bytes_out == 4
        assert is_idle(world)


def test_a_chunked_response_in_one_piece() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(CHUNKED_OK + b"3\r\nabc\r\n0\r\n\r\n")
        assert unchunked(parse(client.take()).body) == (b"abc", b"")
        assert client.is_open()


def test_a_chunked_response_to_http_1_0_ends_with_the_connection() -> None:
    with World() as world:
        client = world.client(get(b"/", b"Connection: keep-alive", version=b"1.0"))
        world.upstream.send(CHUNKED_OK + b"3\r\nabc\r\n", b"0\r\nX-Sum: 1\r\n\r\n")
        response = parse(client.take())
        assert b"Transfer-Encoding" not in response
        assert (response.body, response[b"Connection"], client.closed) == (b"abc", b"close", "close")
        assert is_idle(world)


def test_a_response_that_ends_with_its_connection_becomes_chunked() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(UNTIL_CLOSE + b"abc", b"def")
        world.upstream.eof()
        response = parse(client.take())
        assert unchunked(response.body) == (b"abcdef", b"")
        assert client.is_open()
        assert world.outcomes() == {"ok": 1}


def test_a_response_that_ends_with_its_connection_closes_http_1_0_s_too() -> None:
    with World() as world:
        client = world.client(get(version=b"1.0"))
        world.upstream.send(UNTIL_CLOSE, b"abc")
        assert client.is_open()
        world.upstream.eof()
        assert (parse(client.take()).body, client.closed) == (b"abc", "close")


def test_an_empty_response_that_ends_with_its_connection() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(UNTIL_CLOSE)
        world.upstream.eof()
        assert unchunked(parse(client.take()).body) == (b"", b"")


def test_large_bodies_pass_unchanged() -> None:
    body = bytes(range(256)) * 400
    with World() as world:
        client = world.client(GET)
        whole = ok(body)
        world.upstream.send(*[whole[at : at + 30_000] for at in range(0, len(whole), 30_000)])
        assert parse(client.take()).body == body
        world.upstream.take()
        client.send(post(body))
        assert parse(world.upstream.take()).body == body
        world.upstream.send(ok(body))
        assert parse(client.take()).body == body
        assert is_idle(world)


# --- early responses -------------------------------------------------------------------------------------


def test_an_early_response_ends_both_connections_and_lets_the_client_read_it() -> None:
    with World() as world:
        client = world.client(post(b"x" * 100)[:-50])
        world.upstream.send(ok(b"no, thanks"))
        response = parse(client.take())
        assert (response.body, response[b"Connection"]) == (b"no, thanks", b"close")
        assert client.closed == "linger"
        assert world.upstream.closed
        assert world.outcomes() == {"ok": 1}


def test_a_response_that_begins_early_streams_beside_the_request() -> None:
    with World() as world:
        client = world.client(CHUNKED)
        world.upstream.take()
        world.upstream.send(CHUNKED_OK)
        assert parse(client.take())[b"Connection"] == b"close"
        for piece in (b"1\r\na\r\n", b"1\r\nb\r\n"):
            client.send(piece)
            assert world.upstream.take() == piece
            world.upstream.send(piece)
            assert client.take() == piece
        client.send(b"0\r\n\r\n")
        world.advance(40.0)  # longer than the timeout of a response head, shorter than that of a stream
        world.upstream.send(b"0\r\n\r\n")
        assert client.take() == b"0\r\n\r\n"
        assert client.closed == "close"
        assert world.outcomes() == {"ok": 1}
