"""Every wait has an end: what fires, when, and what it is called."""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import Reason
from tests.proxy_harness import ROUTE, World, service
from tests.proxy_messages import GET, get, ok, parse, post


def status(world: World, received: bytes) -> tuple[int, Reason | None]:
    return parse(received).status, world.last.reason


def test_a_connection_that_is_not_made_in_time_sends_any_request_to_another_instance() -> None:
    with World(service(2, connect_timeout=2.0)) as world:
        world.network.accepts = False
        client = world.client(post())
        first = world.upstream
        world.advance(1.9)
        assert world.upstream is first
        world.advance(0.2)
        assert first.closed
        assert world.upstream.host != first.host
        world.upstream.accept()
        world.upstream.send(ok())
        assert parse(client.take()).status == 200
        assert world.outcomes(int(first.host[-1])) == {"connect_timeout": 1}


def test_the_route_s_timeout_bounds_all_connects_together() -> None:
    with World(service(8, connect_timeout=4.0), routes=[replace(ROUTE, timeout=6.0, retry_count=5)]) as world:
        world.network.accepts = False
        client = world.client(GET)
        world.advance(5.9)
        assert client.take() == b""
        world.advance(0.2)
        assert status(world, client.take()) == (504, Reason.CONNECT_TIMEOUT)
        assert world.last.attempts == 2


def test_a_response_head_that_does_not_come_in_time_is_504() -> None:
    with World(service(2), routes=[replace(ROUTE, timeout=5.0)]) as world:
        client = world.client(GET)
        world.advance(4.9)
        assert client.take() == b""
        world.advance(0.2)
        assert status(world, client.take()) == (504, Reason.RESPONSE_TIMEOUT)
        assert client.is_open()
        assert world.upstream.closed
        assert len(world.upstreams) == 1  # no time is left for another attempt


def test_interim_responses_do_not_put_the_timeout_off() -> None:
    with World(routes=[replace(ROUTE, timeout=5.0)]) as world:
        client = world.client(GET)
        for _ in range(5):
            world.upstream.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            world.advance(1.02)
        assert b"HTTP/1.1 504 " in client.take()


def test_interim_responses_that_are_not_read_do_not_put_the_timeout_off() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: %b\r\n\r\n" % (b"x" * 50_000)
    with World(routes=[replace(ROUTE, timeout=5.0)]) as world:
        client = world.client(GET)
        client.stop_reading()
        world.upstream.send(hints, hints)
        world.advance(4.0)
        client.read_all()
        world.advance(1.1)
        assert b"HTTP/1.1 504 " in client.take()


def test_per_try_timeout_leaves_time_for_another_instance() -> None:
    with World(service(3), routes=[replace(ROUTE, timeout=5.0, per_try_timeout=2.0)]) as world:
        client = world.client(GET)
        world.advance(2.1)
        assert len(world.upstreams) == 2
        world.advance(2.1)
        assert len(world.upstreams) == 3
        assert len({each.host for each in world.upstreams}) == 3
        world.advance(1.0)
        assert status(world, client.take()) == (504, Reason.RESPONSE_TIMEOUT)
        assert world.last.attempts == 3


def test_per_try_timeout_bounds_the_connect_too() -> None:
    with World(service(2), routes=[replace(ROUTE, per_try_timeout=1.0)]) as world:
        world.network.accepts = False
        world.client(GET)
        world.advance(1.1)
        assert len(world.upstreams) == 2


def test_a_post_that_is_not_answered_in_time_is_not_repeated() -> None:
    with World(service(3), routes=[replace(ROUTE, per_try_timeout=2.0)]) as world:
        client = world.client(post())
        world.advance(2.1)
        assert status(world, client.take()) == (504, Reason.RESPONSE_TIMEOUT)
        assert len(world.upstreams) == 1


def test_the_timeout_of_an_upload_counts_from_its_end() -> None:
    with World(routes=[replace(ROUTE, timeout=5.0, stream_idle_timeout=10.0)]) as world:
        client = world.client(get(b"/", b"Content-Length: 4", method=b"POST"))
        for byte in b"body":
            world.advance(9.0)
            client.send(bytes((byte,)))
        world.advance(4.9)
        assert client.take() == b""
        world.advance(0.2)
        assert status(world, client.take()) == (504, Reason.RESPONSE_TIMEOUT)


def test_an_upload_that_stalls_is_408_and_not_its_instance_s_fault() -> None:
    with World(routes=[replace(ROUTE, stream_idle_timeout=10.0)]) as world:
        client = world.client(get(b"/", b"Content-Length: 4", method=b"POST") + b"bo")
        world.advance(10.1)
        assert status(world, client.take()) == (408, Reason.BODY_TIMEOUT)
        assert client.closed == "linger"
        assert world.upstream.closed
        assert world.outcomes() == {"client_closed": 1}


def test_a_response_that_stalls_is_cut() -> None:
    with World(routes=[replace(ROUTE, timeout=5.0, stream_idle_timeout=10.0)]) as world:
        client = world.client(GET)
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(3):
            world.advance(9.0)
            world.upstream.send(b"x")
        world.advance(9.9)
        assert client.is_open()
        world.advance(0.2)
        assert client.closed == "abort"
        assert world.last.reason is Reason.STREAM_IDLE_TIMEOUT
        assert (world.codes(), world.outcomes()) == ({200: 1}, {"response_timeout": 1})


def test_what_an_earlier_response_left_to_be_read_does_not_move_a_later_request_s_deadline() -> None:
    with World(routes=[replace(ROUTE, timeout=5.0, stream_idle_timeout=50.0)]) as world:
        client = world.client(GET)
        client.stop_reading()
        world.upstream.send(ok(b"x" * 70_000))
        client.send(get(b"/second"))
        assert world.in_flight() == 0  # not begun before the first is read
        client.read_all()
        assert world.in_flight() == 1
        client.take()
        world.advance(5.1)
        assert status(world, client.take()) == (504, Reason.RESPONSE_TIMEOUT)


def test_a_deadline_of_one_request_is_not_another_s() -> None:
    with World(routes=[replace(ROUTE, timeout=5.0)]) as world:
        client = world.client()
        for _ in range(4):
            client.send(GET)
            world.advance(4.0)
            world.upstream.send(ok())
            assert parse(client.take()).status == 200
        assert world.outcomes() == {"ok": 4}
