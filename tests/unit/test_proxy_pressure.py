"""Bounded memory: a side that does not read pauses the other, and what is kept of a request has a limit."""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import Reason
from gateway.proxy.request_body import REPLAY_BYTES
from tests.proxy_fakes import FakeTransport
from tests.proxy_harness import ROUTE, World, service
from tests.proxy_messages import GET, get, ok, parse, post


def flood(source: FakeTransport, piece: bytes, count: int) -> None:
    source.send(*[piece] * count)


def test_a_client_that_does_not_read_pauses_its_instance() -> None:
    with World() as world:
        client = world.client(GET)
        client.stop_reading()
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        flood(world.upstream, b"x" * 10_000, 100)
        assert not world.upstream.is_read()
        assert len(client.kept) < 100_000
        client.read_all()
        assert world.upstream.is_read()
        assert len(parse(client.take()).body) == 1_000_000
        assert world.ctx.stats.upstream_idle == 1


def test_an_instance_that_does_not_read_pauses_its_client() -> None:
    with World() as world:
        client = world.client(get(b"/", b"Content-Length: 1000000", method=b"POST"))
        world.upstream.stop_reading()
        flood(client, b"x" * 10_000, 100)
        assert not client.is_read()
        assert len(world.upstream.kept) < 100_000
        world.upstream.read_all()
        assert client.is_read()
        assert len(parse(world.upstream.take()).body) == 1_000_000
        world.upstream.send(ok())
        assert parse(client.take()).status == 200
        assert world.ctx.stats.upstream_idle == 1


def test_a_client_paused_at_the_end_of_its_request_is_read_again_for_the_next() -> None:
    with World() as world:
        client = world.client(get(b"/", b"Content-Length: 90000", method=b"POST"))
        world.upstream.stop_reading()
        client.send(b"x" * 90_000)
        assert not client.is_read()
        world.upstream.send(ok())
        assert client.is_read()
        world.upstream.read_all()
        client.take()
        client.send(GET)
        assert world.upstream.take().count(b"GET / ") == 1
        world.upstream.send(ok())
        assert parse(client.take()).status == 200


def test_what_is_kept_while_connecting_is_bounded_and_sent_whole() -> None:
    with World() as world:
        world.network.accepts = False
        client = world.client(get(b"/", b"Content-Length: 1000000", method=b"POST"))
        flood(client, b"x" * 10_000, 100)
        assert 1_000_000 - client.unread <= REPLAY_BYTES + 10_000
        world.upstream.accept()
        assert len(parse(world.upstream.take()).body) == 1_000_000
        world.upstream.send(ok())
        assert parse(client.take()).status == 200


def test_a_body_kept_while_connecting_survives_a_refused_connection() -> None:
    with World(service(2)) as world:
        world.network.accepts = False
        client = world.client(get(b"/", b"Content-Length: 200000", method=b"POST"))
        flood(client, b"x" * 10_000, 20)
        world.upstream.refuse()
        world.upstream.accept()
        assert len(parse(world.upstream.take()).body) == 200_000
        world.upstream.send(ok())
        assert parse(client.take()).status == 200


def test_a_body_once_sent_that_is_too_long_to_keep_is_not_repeated() -> None:
    with World(service(2)) as world:
        client = world.client(get(b"/", b"Content-Length: 200000", method=b"PUT"))
        flood(client, b"x" * 10_000, 10)
        world.upstream.reset()
        assert parse(client.take()).status == 502
        assert client.closed == "linger"
        assert world.last.attempts == 1


def test_a_long_body_that_came_before_the_connection_is_not_kept_behind_it() -> None:
    with World(service(2)) as world:
        world.network.accepts = False
        client = world.client(post(b"x" * (REPLAY_BYTES + 1), method=b"PUT"))
        world.upstream.accept()
        world.upstream.reset()
        assert parse(client.take()).status == 502
        assert world.last.attempts == 1


def test_a_body_that_is_still_coming_is_repeated_from_its_start() -> None:
    with World(service(2)) as world:
        client = world.client(get(b"/", b"Content-Length: 10", method=b"PUT") + b"01234")
        first = world.upstream
        first.reset()
        assert world.upstream is not first
        client.send(b"56789")
        assert parse(world.upstream.take()).body == b"0123456789"
        world.upstream.send(ok())
        assert parse(client.take()).status == 200
        assert world.codes() == {200: 1}


def test_a_stalled_client_is_not_its_instance_s_fault() -> None:
    with World(routes=[replace(ROUTE, stream_idle_timeout=5.0)]) as world:
        client = world.client(GET)
        client.stop_reading()
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        flood(world.upstream, b"x" * 10_000, 50)
        world.advance(5.2)
        assert client.closed == "abort"
        assert world.last.reason is Reason.STREAM_IDLE_TIMEOUT
        assert world.outcomes() == {"client_closed": 1}


def test_a_slow_reader_on_either_side_is_not_a_stalled_one() -> None:
    with World(routes=[replace(ROUTE, timeout=5.0, stream_idle_timeout=5.0)]) as world:
        client = world.client(get(b"/", b"Content-Length: 200000", method=b"POST"))
        world.upstream.stop_reading()
        flood(client, b"x" * 10_000, 20)
        for _ in range(5):
            world.advance(4.0)
            world.upstream.read_some(1000)
        world.upstream.read_all()
        client.stop_reading()
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
        flood(world.upstream, b"x" * 10_000, 20)
        for _ in range(5):
            world.advance(4.0)
            client.read_some(1000)
        client.read_all()
        assert len(parse(client.take()).body) == 200_000
        assert world.outcomes() == {"ok": 1}


def test_a_stalled_instance_is_not_its_client_s_fault() -> None:
    with World(routes=[replace(ROUTE, stream_idle_timeout=5.0)]) as world:
        client = world.client(get(b"/", b"Content-Length: 1000000", method=b"POST"))
        world.upstream.stop_reading()
        flood(client, b"x" * 10_000, 50)
        world.advance(5.2)
        assert parse(client.take()).status == 504
        assert world.last.reason is Reason.RESPONSE_TIMEOUT
        assert world.outcomes() == {"response_timeout": 1}
