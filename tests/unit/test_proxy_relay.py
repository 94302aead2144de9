"""Bodies of known length that go past the machines: counted, ended and given up like any other."""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import Reason
from gateway.proxy.request_body import REPLAY_BYTES
from tests.proxy_harness import ROUTE, SETTINGS, World
from tests.proxy_messages import GET, get, ok, parse, post

BODY = bytes(range(256)) * 400
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
LONG_POST = post(BODY)
SENT_ONCE = len(LONG_POST) - len(BODY) + REPLAY_BYTES + 1  # so much of it, and it is not kept for another attempt


def world(timeout: float = 30.0) -> World:
    return World(routes=[replace(ROUTE, timeout=timeout, stream_idle_timeout=10.0)], relays=True)


def test_a_response_goes_past_and_its_connection_is_used_again() -> None:
    with world() as made:
        client = made.client(GET)
        made.upstream.send(HEAD, BODY[:1000])
        assert made.upstream.relayed == 1000
        made.upstream.send(BODY[1000:70_001], BODY[70_001:])
        assert made.upstream.relayed == len(BODY)
        assert parse(client.take()).body == BODY
        assert made.last.bytes_out == len(BODY)
        assert made.ctx.stats.upstream_idle == 1
        client.send(GET)
        made.upstream.send(ok())
        assert parse(client.take()).body == b"ok"
        assert len(made.upstreams) == 1


def test_what_comes_behind_the_response_does_not_go_past() -> None:
    with world() as made:
        client = made.client(GET)
        made.upstream.send(HEAD, BODY + b"HTTP/1.1 200 OK\r\n")
        assert made.upstream.relayed == len(BODY)
        assert parse(client.take()).body == BODY
        assert made.upstream.closed  # nobody asked for more


def test_an_upload_goes_past_once_it_is_not_kept_any_more() -> None:
    with world() as made:
        client = made.client(LONG_POST[:SENT_ONCE])
        assert client.relayed == 0
        client.send(LONG_POST[SENT_ONCE:] + GET)
        assert client.relayed == len(LONG_POST) - SENT_ONCE
        assert parse(made.upstream.take()).body == BODY
        made.upstream.send(ok())
        assert made.last.bytes_in == len(BODY)
        assert made.upstream.take().startswith(b"GET / ")  # the pipelined one
        made.upstream.send(ok())
        assert client.take().count(b"HTTP/1.1 200") == 2


def test_an_upload_that_can_be_repeated_does_not_go_past() -> None:
    with world() as made:
        client = made.client(post(BODY[:50_000])[:1000])
        client.send(post(BODY[:50_000])[1000:])
        assert client.relayed == 0
        made.upstream.send(ok())
        assert parse(client.take()).status == 200


def test_chunks_do_not_go_past() -> None:
    with world() as made:
        client = made.client(GET)
        made.upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        made.upstream.send(*[b"5\r\nhello\r\n"] * 3, b"0\r\n\r\n")
        assert made.upstream.relayed == 0
        assert parse(client.take()).body.count(b"hello") == 3


def test_a_response_cut_short_is_not_taken_for_complete() -> None:
    with world() as made:
        client = made.client(GET)
        made.upstream.send(HEAD, BODY[:-1])
        made.upstream.eof()
        assert client.closed == "abort"
        assert (made.last.reason, made.last.bytes_out) == (Reason.RESPONSE_TRUNCATED, len(BODY) - 1)
        assert made.ctx.stats.upstream_idle == 0


def test_a_client_that_leaves_takes_its_instance_s_connection_along() -> None:
    with world() as made:
        client = made.client(GET)
        made.upstream.send(HEAD, BODY[:-1])
        client.reset()
        assert made.upstream.closed
        assert made.outcomes() == {"client_closed": 1}


def test_a_client_that_leaves_within_its_upload_takes_the_connection_along() -> None:
    with world() as made:
        client = made.client(LONG_POST[:SENT_ONCE])
        client.send(LONG_POST[SENT_ONCE:-1])
        client.eof()
        assert made.upstream.closed
        assert made.last.bytes_in == len(BODY) - 1


def test_an_instance_that_ends_within_an_upload_is_not_sent_the_rest() -> None:
    with world() as made:
        client = made.client(LONG_POST[:SENT_ONCE])
        made.upstream.reset()
        assert parse(client.take()).status == 502
        assert client.closed == "linger"
        assert len(made.upstreams) == 1


def test_an_early_answer_ends_an_upload() -> None:
    with world() as made:
        client = made.client(LONG_POST[:SENT_ONCE])
        made.upstream.send(ok(b"enough"))
        assert parse(client.take()).body == b"enough"
        assert client.closed == "linger"
        assert made.upstream.closed


def test_a_client_that_does_not_read_pauses_its_instance() -> None:
    with world() as made:
        client = made.client(GET)
        made.upstream.send(HEAD)
        client.stop_reading()
        made.upstream.send(*(BODY[at : at + 10_000] for at in range(0, len(BODY), 10_000)))
        assert not made.upstream.is_read()
        assert made.upstream.relayed == 10_000  # behind what is kept it has to go through
        client.read_all()
        assert parse(client.take()).body == BODY


def test_an_instance_that_does_not_read_pauses_its_client() -> None:
    with World(settings=replace(SETTINGS, body_bytes=len(BODY)), relays=True) as made:
        client = made.client(LONG_POST[:SENT_ONCE])
        made.upstream.take()
        made.upstream.stop_reading()
        client.send(*([LONG_POST[SENT_ONCE : SENT_ONCE + 1]] * 2), LONG_POST[SENT_ONCE + 2 :])
        made.upstream.read_all()
        assert client.is_read()
        assert len(made.upstream.take()) == len(LONG_POST) - SENT_ONCE


def test_a_response_that_goes_past_moves_its_deadline() -> None:
    with world() as made:
        client = made.client(GET)
        made.upstream.send(HEAD)
        for at in range(3):
            made.advance(9.0)
            made.upstream.send(BODY[at : at + 1])
        assert made.upstream.relayed == 3
        made.advance(9.9)
        assert client.is_open()
        made.advance(0.2)
        assert client.closed == "abort"
        assert made.last.reason is Reason.STREAM_IDLE_TIMEOUT


def test_an_upload_that_goes_past_moves_its_deadline() -> None:
    with world(timeout=5.0) as made:
        client = made.client(LONG_POST[:SENT_ONCE])
        for at in range(3):
            made.advance(9.0)
            client.send(LONG_POST[SENT_ONCE + at : SENT_ONCE + at + 1])
        assert client.relayed == 3
        made.advance(10.1)
        assert parse(client.take()).status == 408


def test_a_body_that_went_past_is_followed_by_the_next_request_s_timeout() -> None:
    with world(timeout=5.0) as made:
        client = made.client(get())
        made.upstream.send(HEAD, BODY)
        assert parse(client.take()).body == BODY
        client.send(GET)
        made.advance(5.1)
        assert parse(client.take()).status == 504
