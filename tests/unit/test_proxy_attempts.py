"""What an exchange can tell of its attempts when it is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.proxy.attempts import Attempt
from tests.proxy_harness import ROUTE, START, World, service
from tests.proxy_messages import get, ok, post

ECONNREFUSED = 111


def told(attempt: Attempt) -> tuple[str, str, float, float, float]:
    """Where, with what outcome; seconds to the connection, to the head, in all."""
    times = (attempt.connect_seconds, attempt.head_seconds, attempt.seconds)
    connect, head, whole = (round(each, 6) for each in times)
    return attempt.instance.host, attempt.outcome, connect, head, whole


def test_an_answered_attempt_is_told_without_having_been_recorded() -> None:
    with World(service(3)) as world:
        world.network.accepts = False
        world.client(get())
        world.ctx.now += 0.25
        world.upstream.accept()
        world.ctx.now += 0.5
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        world.ctx.now += 1.0
        world.upstream.send(b"hello")
        (attempt,) = world.last.history
        assert told(attempt) == (world.upstream.host, "200", 0.25, 0.75, 1.75)
        assert (attempt.started, attempt.candidates) == (START, 3)
        assert (attempt.is_reused, attempt.is_stale, attempt.detail) == (False, False, "")


def test_a_connection_from_the_pool_has_no_time_to_connect() -> None:
    with World() as world:
        client = world.client(get())
        world.upstream.send(ok(b"hello"))
        world.ctx.now += 1.0
        client.send(get())
        world.ctx.now += 0.125
        world.upstream.send(ok(b"hello"))
        (attempt,) = world.last.history
        assert told(attempt) == ("10.0.0.1", "200", -1.0, 0.125, 0.125)
        assert attempt.is_reused


def test_each_failed_attempt_has_its_own_instance_times_and_outcome() -> None:
    with World(service(3)) as world:
        world.network.accepts = False
        world.client(get())
        first = world.upstream
        world.ctx.now += 0.5
        first.refuse(ECONNREFUSED)
        second = world.upstream
        world.ctx.now += 0.25
        second.accept()
        world.ctx.now += 0.25
        second.eof()
        third = world.upstream
        third.accept()
        world.ctx.now += 0.125
        third.send(ok(b"hello"))
        history = world.last.history
        assert [told(each) for each in history] == [
            (first.host, "connect_refused", -1.0, -1.0, 0.5),
            (second.host, "upstream_reset", 0.25, -1.0, 0.5),
            (third.host, "200", 0.0, 0.125, 0.125),
        ]
        assert [each.started for each in history] == [START, START + 0.5, START + 1.0]
        assert [each.detail for each in history] == ["ECONNREFUSED", "closed the connection", ""]
        assert len({first.host, second.host, third.host}) == 3


def test_a_connection_that_the_instance_had_closed_is_told_as_stale() -> None:
    with World() as world:
        client = world.client(get())
        world.upstream.send(ok(b"hello"))
        old = world.upstream
        client.send(get())
        old.reset()
        world.upstream.send(ok(b"hello"))
        stale, answered = world.last.history
        assert (stale.is_stale, stale.is_reused, stale.outcome) == (True, True, "upstream_reset")
        assert (answered.is_stale, answered.is_reused, answered.outcome) == (False, False, "200")


def test_the_last_attempt_is_told_once_when_every_one_failed() -> None:
    with World(service(1), routes=[replace(ROUTE, retry_count=1)]) as world:
        world.network.refuses = {"10.0.0.1"}
        world.client(get())
        assert [each.outcome for each in world.last.history] == ["connect_failed"] * 2
        assert world.last.attempts == 2


def test_no_instance_no_attempt() -> None:
    with World(replace(service(1), instances=())) as world:
        world.client(get())
        assert world.last.history == ()


@pytest.mark.parametrize("connects", [True, False])
def test_a_client_that_leaves_ends_the_attempt_under_way(connects: bool) -> None:
    with World() as world:
        world.network.accepts = connects
        client = world.client(get())
        world.ctx.now += 2.0
        client.reset()
        (attempt,) = world.last.history
        assert told(attempt) == ("10.0.0.1", "client_closed", 0.0 if connects else -1.0, -1.0, 2.0)
        assert not attempt.is_stale


def test_an_answer_that_ends_too_soon_has_its_status_and_the_reason() -> None:
    with World() as world:
        world.client(get())
        world.ctx.now += 0.5
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        world.ctx.now += 0.5
        world.upstream.eof()
        (attempt,) = world.last.history
        assert told(attempt) == ("10.0.0.1", "response_truncated", 0.0, 0.5, 1.0)
        assert attempt.status == 200


def test_a_timeout_is_told_with_how_long_it_took() -> None:
    with World(service(2), routes=[replace(ROUTE, timeout=3.0)]) as world:
        world.client(post(b"hello"))
        world.advance(4.0)
        (attempt,) = world.last.history
        assert attempt.outcome == "response_timeout"
        assert 3.0 <= attempt.seconds <= 3.3
