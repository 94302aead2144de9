"""A connection that begins with a PROXY protocol header: whose it is, and when it is let go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Reason
from tests.proxy_harness import PEER, SETTINGS, World, service
from tests.proxy_messages import GET, get, ok, parse

SPOKEN = replace(SETTINGS, proxy_protocol=True)
HEADER = b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 80\r\n"


def test_the_address_it_tells_is_the_client_s() -> None:
    with World(settings=SPOKEN) as world:
        client = world.client(HEADER + GET)
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == b"198.51.100.7"
        world.upstream.send(ok())
        assert parse(client.take()).status == 200
        client.send(get(b"/again"))  # on the kept connection it still is
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == b"198.51.100.7"


@pytest.mark.parametrize(
    "header", [HEADER, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes((198, 51, 100, 7)) + bytes(8)]
)
def test_it_may_come_in_any_pieces(header: bytes) -> None:
    with World(settings=SPOKEN) as world:
        data = header + GET
        world.client(*(data[at : at + 1] for at in range(len(data))))
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == b"198.51.100.7"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"])
def test_a_proxy_that_speaks_for_itself_is_the_client(header: bytes) -> None:
    with World(settings=SPOKEN) as world:
        world.client(header + GET)
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == PEER.encode()


def test_trust_follows_the_address_and_not_the_proxy() -> None:
    settings = replace(SPOKEN, trusted_proxies=("10.0.0.0/8",))
    forged = get(b"/", b"X-Forwarded-For: 203.0.113.9")
    with World(settings=settings) as world:
        world.client(HEADER + forged, peer="10.0.0.1")
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == b"198.51.100.7"
        world.client(b"PROXY TCP4 10.1.1.1 192.0.2.1 40000 80\r\n" + forged)
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == b"203.0.113.9, 10.1.1.1"


def test_balancing_by_client_uses_it() -> None:
    with World(service(20, balance="hash"), settings=SPOKEN) as world:
        hosts = []
        for header in (HEADER, HEADER, HEADER.replace(b".7 ", b".8 ")):
            client = world.client(header + GET)
            world.upstream.send(ok())
            client.reset()
            hosts.append(world.last.instance)
        assert hosts[0] == hosts[1] != hosts[2]


@pytest.mark.parametrize("data", [GET, b"PROXY TCP4 1.2.3.4\r\n" + GET, b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c"])
def test_a_connection_without_it_is_closed_without_a_word(data: bytes) -> None:
    with World(settings=SPOKEN) as world:
        client = world.client(data)
        assert client.take() == b""
        assert client.closed == "close"
        assert (world.last.status, world.last.reason) == (400, Reason.BAD_PROXY_HEADER)
        assert world.upstreams == []


def test_it_has_the_time_of_a_head() -> None:
    with World(settings=SPOKEN) as world:
        silent, slow = world.client(), world.client(HEADER[:-1])
        world.advance(9.9)
        assert not silent.closed
        assert not slow.closed
        world.advance(0.2)
        assert (silent.closed, silent.take()) == ("close", b"")
        assert (slow.closed, slow.take()) == ("close", b"")
        assert [line.reason for line in world.log.lines] == [Reason.BAD_PROXY_HEADER]


def test_a_look_whether_the_port_is_open_leaves_no_trace() -> None:
    with World(settings=SPOKEN) as world:
        world.client().eof()
        world.client(HEADER).eof()
        assert world.log.lines == []


def test_a_draining_worker_does_not_wait_for_it() -> None:
    with World(settings=SPOKEN) as world:
        client = world.client()
        world.drain()
        world.advance(1.0)
        assert client.closed


def test_a_reload_holds_for_new_connections() -> None:
    with World() as world:
        kept = world.client()
        world.publish(settings=SPOKEN)
        kept.send(GET)
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == PEER.encode()
        world.client(HEADER + GET)
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == b"198.51.100.7"
        world.publish(settings=SETTINGS)
        world.client(GET)
        assert parse(world.upstream.take())[b"X-Forwarded-For"] == PEER.encode()
