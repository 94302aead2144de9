"""Instances that misbehave, and which upstream connections are used again."""

from __future__ import annotations

import pytest

from gateway.errors import Reason
from gateway.proxy.upstream import HEAD_BYTES, INTERIM_RESPONSES, Upstream, UpstreamState
from tests.proxy_harness import World, service
from tests.proxy_messages import GET, get, ok, parse, post

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "response",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 600 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: \x00\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        CHUNKED + b"Content-Length: 1\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * HEAD_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * (INTERIM_RESPONSES + 1),
    ],
)
def test_a_response_without_a_certain_meaning_is_502_and_not_repeated(response: bytes) -> None:
    with World(service(2)) as world:
        client = world.client(GET)
        world.upstream.send(response)
        received = client.take().replace(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"")
        assert parse(received).status == 502
        assert b'"reason": "bad_response"' in received
        assert client.is_open()
        assert len(world.upstreams) == 1
        assert world.upstream.closed
        assert world.last.instance == world.upstream.host
        assert world.outcomes(int(world.last.instance.rpartition(".")[2])) == {"bad_response": 1}


@pytest.mark.parametrize("end", ["eof", "reset"])
@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        CHUNKED + b"\r\n",
        CHUNKED + b"\r\n5\r\nhell",
        CHUNKED + b"\r\n5\r\nhello\r\n",
        CHUNKED + b"\r\n5\r\nhello\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_response_that_is_cut_short_is_never_taken_for_a_whole_one(response: bytes, end: str, version: bytes) -> None:
    with World() as world:
        client = world.client(get(version=version))
        world.upstream.send(response)
        if end == "eof":
            world.upstream.eof()
        else:
            world.upstream.reset()
        received = parse(client.take())
        assert received.status == 200
        assert not received.body.endswith(b"0\r\n\r\n")
        assert client.closed == "abort"  # seen as a reset, whatever framing there was
        assert world.last.reason is Reason.RESPONSE_TRUNCATED
        assert world.codes() == {200: 1}
        assert world.outcomes() == {"upstream_reset": 1}


def test_a_reset_is_not_the_end_of_a_response_that_ends_with_its_connection() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        world.upstream.reset()
        assert client.closed == "abort"
        assert not client.take().endswith(b"0\r\n\r\n")


def test_bad_chunking_within_a_response_is_noticed_and_the_client_told() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(CHUNKED + b"\r\n5\r\nhello\r\n", b"oops\r\n")
        assert client.closed == "abort"
        assert world.upstream.closed
        assert world.outcomes() == {"bad_response": 1}


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (GET, ok() + b"HTTP/1.1 200 OK\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\nbody"),
        (GET, CHUNKED + b"\r\n0\r\n\r\nx"),
        (get(method=b"HEAD"), ok(b"a body that HEAD must not have")),
    ],
)
def test_a_connection_with_bytes_after_the_response_is_not_used_again(request_: bytes, response: bytes) -> None:
    with World() as world:
        client = world.client(request_)
        world.upstream.send(response)
        assert parse(client.take()).status in (200, 204)
        assert client.is_open()
        assert world.upstream.closed
        client.send(GET)
        assert len(world.upstreams) == 2
        world.upstream.send(ok())
        assert parse(client.take()).body == b"ok"


@pytest.mark.parametrize(
    "response",
    [
        ok(b"ok", b"Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: Close, x\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_connection_that_the_instance_ends_is_not_used_again(response: bytes) -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(response)
        assert world.upstream.closed
        assert b"Connection" not in parse(client.take())
        assert client.is_open()


def test_a_connection_that_http_1_0_keeps_is_used_again() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
        client.send(GET)
        assert len(world.upstreams) == 1
        world.upstream.send(ok())


def test_interim_responses_are_counted_by_request() -> None:
    with World() as world:
        client = world.client()
        for _ in range(INTERIM_RESPONSES):
            client.send(GET)
            world.upstream.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2 + ok())
        assert client.take().count(b"HTTP/1.1 200 ") == INTERIM_RESPONSES
        assert len(world.upstreams) == 1


@pytest.mark.parametrize("event", ["bytes", "eof", "reset", "time"])
def test_an_idle_connection_that_stirs_is_closed(event: str) -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(ok())
        assert world.ctx.stats.upstream_idle == 1
        if event == "bytes":
            world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        elif event == "eof":
            world.upstream.eof()
        elif event == "reset":
            world.upstream.reset()
        else:
            world.advance(29.9)
            assert world.upstream.is_open()
            world.advance(0.2)
        assert world.upstream.closed
        assert world.ctx.stats.upstream_idle == 0
        client.take()
        client.send(GET)
        world.upstream.send(ok(b"new"))
        assert parse(client.take()).body == b"new"
        assert world.outcomes() == {"ok": 2}


def test_the_connection_used_last_is_used_first() -> None:
    with World() as world:
        clients = [world.client(GET) for _ in range(3)]
        for upstream in world.upstreams:
            upstream.send(ok())
        assert world.ctx.stats.upstream_idle == 3
        world.advance(20.0)
        clients[0].send(GET)
        assert world.upstreams[2].take().count(b"GET / ") == 2
        world.upstreams[2].send(ok())
        world.advance(20.0)
        assert [bool(upstream.closed) for upstream in world.upstreams] == [True, True, False]


def test_an_instance_s_connections_are_its_own() -> None:
    with World(service(3)) as world:
        client = world.client()
        for _ in range(6):
            client.send(GET)
            hosts = [each.host for each in world.upstreams]
            current = next(each for each in world.upstreams if each.received.count(b"GET / ") and not each.closed)
            current.take()
            current.send(ok())
        assert sorted(hosts) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_a_crash_while_idle_only_closes() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(ok())
        world.upstream.machine.crash()
        world.upstream.machine.crash()
        assert isinstance(world.upstream.machine, Upstream)
        assert world.upstream.machine.state is UpstreamState.CLOSED
        assert client.is_open()


def test_a_crash_in_a_response_that_has_not_begun_is_500() -> None:
    with World() as world:
        client = world.client(post())
        world.upstream.machine.crash()
        assert parse(client.take()).status == 500
        assert world.outcomes() == {"client_closed": 1}
        assert world.codes() == {500: 1}
