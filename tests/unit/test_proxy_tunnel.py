"""Upgrades: when a connection becomes a tunnel, what passes through it, and how it ends."""

from __future__ import annotations

import pytest

from gateway.errors import Reason
from gateway.proxy.downstream import PIPELINE_BYTES
from gateway.proxy.tunnel import TUNNEL_IDLE
from tests.proxy_fakes import FakeTransport
from tests.proxy_harness import World, service
from tests.proxy_messages import GET, get, ok, parse

UPGRADE = get(b"/chat", b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Key: x")
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n"
)


def tunnel(world: World) -> FakeTransport:
    """A client whose connection is a tunnel."""
    client = world.client(UPGRADE)
    world.upstream.take()
    world.upstream.send(SWITCHING)
    assert parse(client.take()).status == 101
    return client


def test_an_upgrade_is_passed_on_and_its_acceptance_back() -> None:
    with World() as world:
        client = world.client(UPGRADE)
        request = parse(world.upstream.take())
        assert (request[b"Connection"], request[b"Upgrade"]) == (b"Upgrade", b"WebSocket")
        assert request[b"Sec-WebSocket-Key"] == b"x"
        world.upstream.send(SWITCHING)
        response = parse(client.take())
        assert response.line == b"HTTP/1.1 101 Switching Protocols"
        assert (response[b"Connection"], response[b"Upgrade"]) == (b"Upgrade", b"websocket")
        assert response[b"Sec-WebSocket-Accept"] == b"y"
        assert response[b"X-Gateway"] == b"edge"


def test_bytes_pass_both_ways_unchanged() -> None:
    with World() as world:
        client = tunnel(world)
        client.send(b"\x81\x00GET / HTTP/1.1\r\n\r\n", b"more")
        assert world.upstream.take() == b"\x81\x00GET / HTTP/1.1\r\n\r\nmore"
        world.upstream.send(b"\x82\x00", b"HTTP/1.1 500 X\r\n\r\n")
        assert client.take() == b"\x82\x00HTTP/1.1 500 X\r\n\r\n"
        world.upstream.eof()
        assert (world.last.status, world.last.bytes_in, world.last.bytes_out) == (101, 24, 20)
        assert world.codes() == {101: 1}
        assert world.outcomes() == {"ok": 1}


def test_what_either_side_sends_ahead_is_passed_on() -> None:
    with World() as world:
        client = world.client(UPGRADE + b"early")
        client.send(b" bird")
        assert parse(world.upstream.take()).body == b""
        world.upstream.send(SWITCHING + b"welcome")
        assert parse(client.take()).body == b"welcome"
        assert world.upstream.take() == b"early bird"


def test_a_client_that_sent_much_ahead_is_read_again() -> None:
    with World() as world:
        client = world.client(UPGRADE)
        client.send(b"x" * (PIPELINE_BYTES + 1))
        assert not client.is_read()
        world.upstream.send(SWITCHING)
        client.send(b"more")
        assert world.upstream.take().endswith(b"xmore")


@pytest.mark.parametrize("end", ["eof", "reset"])
@pytest.mark.parametrize("side", ["client", "upstream"])
def test_the_end_of_either_side_ends_both(side: str, end: str) -> None:
    with World() as world:
        client = tunnel(world)
        ending = client if side == "client" else world.upstream
        ending.send(b"last words")
        if end == "eof":
            ending.eof()
        else:
            ending.reset()
        assert client.closed
        assert world.upstream.closed
        assert (world.upstream if side == "client" else client).take() == b"last words"
        assert world.ctx.stats.in_flight == 0


def test_what_is_kept_for_a_slow_reader_is_still_sent_when_the_other_side_ends() -> None:
    with World() as world:
        client = tunnel(world)
        client.stop_reading()
        world.upstream.send(b"kept")
        world.upstream.eof()
        assert client.take() == b"kept"
        assert client.closed in ("close", "linger")


def test_each_side_pauses_the_other_when_it_does_not_read() -> None:
    with World() as world:
        client = tunnel(world)
        for source, sink in ((client, world.upstream), (world.upstream, client)):
            sink.stop_reading()
            source.send(*[b"x" * 10_000] * 50)
            assert not source.is_read()
            assert len(sink.kept) < 100_000
            sink.read_all()
            assert source.is_read()
            assert len(sink.take()) == 500_000


def test_a_tunnel_without_a_byte_for_long_is_ended() -> None:
    with World() as world:
        client = tunnel(world)
        world.advance(TUNNEL_IDLE - 1)
        client.send(b"still there")
        world.advance(TUNNEL_IDLE - 1)
        assert client.is_open()
        world.advance(2)
        assert client.closed
        assert world.upstream.closed
        assert world.last.reason is Reason.STREAM_IDLE_TIMEOUT


@pytest.mark.parametrize("protocol", [b"h2c", b"H2C", b"HTTP/2.0", b"h2c-14, h2"])
def test_http_2_is_not_let_past_every_rule(protocol: bytes) -> None:
    lines = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABk")
    with World() as world:
        client = world.client(get(b"/", *lines))
        request = parse(world.upstream.take())
        assert b"Upgrade" not in request
        assert b"Connection" not in request
        assert b"HTTP2-Settings" not in request
        world.upstream.send(ok())
        assert parse(client.take()).status == 200


def test_of_several_protocols_http_2_alone_is_not_passed_on() -> None:
    with World() as world:
        world.client(get(b"/", b"Connection: Upgrade", b"Upgrade: h2c,websocket"))
        assert parse(world.upstream.take())[b"Upgrade"] == b"websocket"


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        get(b"/", b"Upgrade: websocket"),
        get(b"/", b"Connection: Upgrade", b"Upgrade: websocket", version=b"1.0"),
        get(b"/", b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 5", method=b"POST") + b"hel",
    ],
)
def test_an_upgrade_that_nobody_asked_for_or_that_comes_too_soon_is_a_bad_response(request_: bytes) -> None:
    with World() as world:
        client = world.client(request_)
        world.upstream.send(SWITCHING)
        assert parse(client.take()).status == 502
        assert world.upstream.closed
        assert world.outcomes() == {"bad_response": 1}


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 101 X\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_an_acceptance_that_is_not_one_is_a_bad_response(response: bytes) -> None:
    with World() as world:
        client = world.client(UPGRADE)
        world.upstream.send(response)
        assert parse(client.take()).status == 502


@pytest.mark.parametrize(
    ("offered", "accepted", "status"),
    [
        (b"websocket", b"WebSocket", 101),
        (b"websocket, IRC/6.9", b"irc/6.9", 101),
        (b"TLS/1.3, websocket", b"TLS/1.3,  websocket", 101),
        (b"websocket", b"irc", 502),
        (b"websocket", b"websocket, irc", 502),
        (b"IRC/6.9", b"IRC/7", 502),
        (b"websocket, h2c", b"h2c", 502),
    ],
)
def test_only_protocols_that_the_client_offered_are_switched_to(offered: bytes, accepted: bytes, status: int) -> None:
    with World() as world:
        client = world.client(get(b"/", b"Connection: Upgrade", b"Upgrade: " + offered))
        world.upstream.send(b"HTTP/1.1 101 X\r\nUpgrade: %b\r\nConnection: Upgrade\r\n\r\n" % accepted)
        assert parse(client.take()).status == status
        assert bool(world.upstream.closed) is (status == 502)


def test_an_upgrade_that_is_declined_is_a_response_like_any_other() -> None:
    with World() as world:
        client = world.client(UPGRADE + GET)
        world.upstream.send(ok(b"no"))
        assert parse(client.take()).body == b"no"
        world.upstream.send(ok())
        assert parse(client.take()).body == b"ok"
        assert len(world.upstreams) == 1


def test_an_upgrade_is_retried_like_any_get() -> None:
    with World(service(2)) as world:
        client = world.client(UPGRADE)
        world.upstream.reset()
        world.upstream.send(SWITCHING)
        assert parse(client.take()).status == 101


def test_a_crash_in_a_tunnel_ends_both() -> None:
    with World() as world:
        client = tunnel(world)
        world.upstream.machine.crash()
        assert client.closed == "abort"
        assert world.upstream.closed
