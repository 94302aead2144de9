"""Slow and long heads: time counts from where it should, and the gateway's is not to be had for nothing."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.proxy_harness import SETTINGS, World
from tests.proxy_messages import GET, ok, parse


def test_a_head_has_its_own_time_even_where_idle_connections_have_less() -> None:
    with World(settings=replace(SETTINGS, idle_timeout=1.0, header_timeout=5.0)) as world:
        client = world.client(GET)
        world.upstream.send(ok())
        client.take()
        world.advance(0.9)
        client.send(GET[:10])
        world.advance(4.8)
        assert not client.closed
        client.send(GET[10:])
        assert world.upstream.take()
        world.upstream.send(ok())
        client.take()
        world.advance(0.9)
        client.send(GET[:10])
        world.advance(5.1)
        assert parse(client.take()).status == 408


def test_empty_lines_buy_no_time() -> None:
    with World(settings=replace(SETTINGS, idle_timeout=4.0, header_timeout=2.0)) as world:
        client = world.client(GET)
        world.upstream.send(ok())
        client.take()
        for _ in range(4):
            client.send(b"\r")
            world.advance(0.5)
            client.send(b"\n")
            world.advance(0.5)
        world.advance(0.1)
        assert client.closed


@pytest.mark.parametrize("piece", [b"y", b"X: y\r\n"])
def test_a_long_head_in_small_pieces_is_not_looked_at_anew_each_time(piece: bytes) -> None:
    settings = replace(SETTINGS, header_bytes=65536, headers=100_000)
    with World(settings=settings) as world:
        client = world.client(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        began = time.process_time()
        for _ in range(60_000 // len(piece)):
            client.machine.on_data(piece)
        assert time.process_time() - began < 20.0
        client.send(b"y" * 65536)
        assert parse(client.take()).status == 431


def test_what_is_wrong_with_a_long_head_is_found_before_it_is_whole() -> None:
    with World() as world:
        client = world.client(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 4000)
        client.send(b"\0")
        client.send(b"y" * 2000)
        assert parse(client.take()).status == 400


def test_endless_empty_lines_are_taken_at_once() -> None:
    with World() as world:
        client = world.client()
        began = time.process_time()
        client.machine.on_data(b"\r\n" * 131_072)
        client.machine.on_data(b"\r\n" * 131_072 + GET)
        assert time.process_time() - began < 2.0
        world.run()
        assert parse(world.upstream.take()).line == b"GET / HTTP/1.1"
