"""Which failed attempts are repeated, where, and how often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Reason
from gateway.proxy.budget import FLOOR, WAIT_SECONDS
from gateway.proxy.retry import IDEMPOTENT, may_repeat
from gateway.proxy.upstream import Upstream, UpstreamState
from tests.proxy_fakes import FakeTransport
from tests.proxy_harness import ROUTE, World, instance, service
from tests.proxy_messages import GET, get, ok, parse, post

METHODS = (b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"POST", b"PATCH")
ENETUNREACH, ECONNREFUSED = 101, 111


def answer(world: World, client: FakeTransport) -> int:
    """The instance at hand answers; the status that the client receives."""
    world.upstream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    return parse(client.take()).status


# --- the rule -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("method", METHODS)
def test_the_rule_is_what_the_reason_allows(reason: Reason, method: bytes) -> None:
    any_method = {Reason.CONNECT_REFUSED, Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT}
    idempotent = {Reason.UPSTREAM_RESET, Reason.RESPONSE_TIMEOUT}
    expected = reason in any_method or (reason in idempotent and method in IDEMPOTENT)
    assert may_repeat(reason, method, replayable=True) == expected
    assert not may_repeat(reason, method, replayable=False)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("errno", [ECONNREFUSED, ENETUNREACH])
def test_a_connection_that_is_not_made_sends_any_request_to_another_instance(method: bytes, errno: int) -> None:
    with World(service(2)) as world:
        world.network.accepts = False
        client = world.client(post(b"hello", method=method))
        first = world.upstream
        first.refuse(errno)
        assert world.upstream.host != first.host
        world.upstream.accept()
        assert parse(world.upstream.take()).body == b"hello"
        assert answer(world, client) == 204
        assert world.last.attempts == 2
        assert world.ctx.stats.retries == 1
        assert world.outcomes(int(first.host[-1])) == {
            "connect_refused" if errno == ECONNREFUSED else "connect_failed": 1
        }


def test_a_connection_that_fails_at_once_sends_the_request_to_another_instance() -> None:
    with World(service(2)) as world:
        world.network.refuses = {"10.0.0.1"}
        for _ in range(3):
            client = world.client(post())
            assert answer(world, client) == 204
        assert {each.host for each in world.upstreams} == {"10.0.0.2"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", ["eof", "reset"])
def test_a_connection_lost_before_any_answer_repeats_idempotent_requests_only(method: bytes, end: str) -> None:
    with World(service(2)) as world:
        client = world.client(post(b"hello", method=method))
        first = world.upstream
        first.send(b"HTTP/1.")  # part of a head is not an answer yet
        if end == "eof":
            first.eof()
        else:
            first.reset()
        if method in IDEMPOTENT:
            assert world.upstream.host != first.host
            assert parse(world.upstream.take()).body == b"hello"
            assert answer(world, client) == 204
        else:
            assert len(world.upstreams) == 1
            assert parse(client.take()).status == 502
            assert client.is_open()
            assert world.last.reason is Reason.UPSTREAM_RESET


def test_nothing_is_repeated_once_the_client_has_a_byte_of_the_response() -> None:
    with World(service(2)) as world:
        client = world.client(GET)
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        world.upstream.reset()
        assert client.closed == "abort"
        assert len(world.upstreams) == 1


def test_an_interim_response_does_not_prevent_a_repetition() -> None:
    with World(service(2)) as world:
        client = world.client(GET)
        world.upstream.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        world.upstream.reset()
        world.upstream.send(ok())
        assert client.take().count(b"HTTP/1.1 ") == 2
        assert world.last.attempts == 2


def test_a_502_of_an_instance_is_an_answer_and_not_repeated() -> None:
    with World(service(2)) as world:
        client = world.client(GET)
        world.upstream.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        assert parse(client.take()).status == 502
        assert world.last.reason is None
        assert world.outcomes(int(world.upstream.host[-1])) == {"bad_status": 1}


# --- connections that went stale in the pool ---------------------------------------------------------------


def stale(world: World, count: int = 1) -> FakeTransport:
    """A client, and `count` idle connections to one instance that are about to turn out dead."""
    clients = [world.client(GET) for _ in range(count)]
    for upstream in list(world.upstreams):
        upstream.send(ok())
    assert world.ctx.stats.upstream_idle == count
    clients[0].take()
    return clients[0]


@pytest.mark.parametrize("retry_count", [0, 3])
def test_a_stale_connection_is_replaced_by_a_new_one_at_once(retry_count: int) -> None:
    with World(routes=[replace(ROUTE, retry_count=retry_count)]) as world:
        client = stale(world, 5)
        client.send(GET)
        next(each for each in world.upstreams if each.received.count(b"GET / ") == 2).reset()
        assert len(world.upstreams) == 6  # a new one, none of the other four
        world.upstream.send(ok(b"fresh"))
        assert parse(client.take()).body == b"fresh"
        assert world.last.attempts == 2
        assert world.outcomes() == {"ok": 6, "upstream_reset": 1}


def test_a_stale_connection_says_nothing_of_its_instance() -> None:
    with World(service(consecutive_failures=1)) as world:
        client = stale(world)
        client.send(GET)
        world.upstream.eof()
        world.upstream.send(ok())
        assert next(iter(world.ctx.services["users"].instances.values())).consecutive_failures == 0


def test_a_post_on_a_stale_connection_is_not_sent_twice() -> None:
    with World(service(2)) as world:
        client = world.client(GET)
        world.upstream.send(ok())
        client.send(GET)
        world.upstream.send(ok())
        client.take()
        client.send(post())
        used = next(each for each in world.upstreams if b"POST" in each.received)
        used.reset()
        assert parse(client.take()).status == 502
        assert len(world.upstreams) == 2


def test_a_new_connection_that_dies_is_not_stale() -> None:
    with World(routes=[replace(ROUTE, retry_count=0)]) as world:
        client = stale(world)
        client.send(GET)
        world.upstream.reset()
        world.upstream.reset()
        assert parse(client.take()).status == 502
        assert world.last.attempts == 2
        assert len(world.upstreams) == 2


def test_a_reused_connection_that_had_begun_to_answer_is_not_stale() -> None:
    with World(service(), routes=[replace(ROUTE, retry_count=0)]) as world:
        client = stale(world)
        client.send(GET)
        world.upstream.send(b"HTTP/1.1 2")
        world.upstream.reset()
        assert parse(client.take()).status == 502
        assert world.last.attempts == 1


# --- how often ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_count", [0, 1, 3])
def test_retry_count_bounds_the_attempts(retry_count: int) -> None:
    with World(service(8), routes=[replace(ROUTE, retry_count=retry_count)]) as world:
        client = world.client(GET)
        for upstream in world.upstreams:  # grows while they fail
            upstream.reset()
        assert parse(client.take()).status == 502
        assert world.last.attempts == retry_count + 1
        hosts = [each.host for each in world.upstreams]
        assert len(set(hosts)) == len(hosts) == retry_count + 1


def test_when_all_instances_were_tried_any_is_better_than_none() -> None:
    with World(service(2)) as world:
        client = world.client(GET)
        for _ in range(3):
            world.upstream.reset()
        assert answer(world, client) == 204
        assert world.last.attempts == 4
        assert {each.host for each in world.upstreams[:2]} == {"10.0.0.1", "10.0.0.2"}


def test_no_more_than_the_budget_is_repeated_at_one_time_and_the_rest_waits_its_turn() -> None:
    with World(service(2, max_ejected_percent=0)) as world:
        clients = [world.client(GET) for _ in range(FLOOR + 2)]
        for upstream in world.upstreams[: FLOOR + 2]:
            upstream.reset()
        assert len(world.upstreams) == FLOOR + 2 + FLOOR
        assert all(client.take() == b"" for client in clients)
        world.upstreams[FLOOR + 2].send(ok())
        assert len(world.upstreams) == FLOOR + 2 + FLOOR + 1
        while world.ctx.stats.in_flight:
            for upstream in world.upstreams:
                if isinstance(upstream.machine, Upstream) and upstream.machine.state is UpstreamState.HEAD:
                    upstream.send(ok())
        assert [parse(client.take()).status for client in clients] == [200] * (FLOOR + 2)
        assert world.codes() == {200: FLOOR + 2}


def test_a_turn_that_does_not_come_in_time_leaves_the_failure() -> None:
    with World(service(2, max_ejected_percent=0)) as world:
        clients = [world.client(GET) for _ in range(FLOOR + 1)]
        for upstream in world.upstreams[: FLOOR + 1]:
            upstream.reset()
        world.advance(WAIT_SECONDS + 0.1)
        assert parse(clients[FLOOR].take()).status == 502
        assert world.last.reason is Reason.UPSTREAM_RESET
        assert [client.take() for client in clients[:FLOOR]] == [b""] * FLOOR


def test_a_client_that_leaves_while_it_waits_for_a_turn_is_forgotten() -> None:
    with World(service(2, max_ejected_percent=0)) as world:
        clients = [world.client(GET) for _ in range(FLOOR + 1)]
        for upstream in world.upstreams[: FLOOR + 1]:
            upstream.reset()
        attempts = len(world.upstreams)
        clients[FLOOR].reset()
        world.upstreams[attempts - 1].send(ok())
        assert len(world.upstreams) == attempts
        assert world.codes() == {499: 1, 200: 1}


def test_a_service_that_refuses_everything_fails_every_request_once() -> None:
    with World(service(3)) as world:
        world.network.refuses = {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
        clients = [world.client(GET) for _ in range(20)]
        assert [parse(client.take()).status for client in clients] == [502] * 20
        assert world.codes() == {502: 20}
        world.advance(2.0)  # past the short while that refused instances are left alone


# --- nobody to ask ------------------------------------------------------------------------------------------


def test_without_an_instance_it_is_503_with_retry_after() -> None:
    with World(replace(service(), instances=())) as world:
        client = world.client(GET)
        response = parse(client.take())
        assert (response.status, response[b"Retry-After"]) == (503, b"1")
        assert b'"reason": "no_healthy_instance"' in response.body
        assert client.is_open()
        assert world.last.attempts == 0


def test_instances_that_may_not_take_traffic_get_none() -> None:
    record = replace(service(), instances=tuple(replace(instance(cell), eligible=False) for cell in (1, 2)))
    with World(record) as world:
        assert parse(world.client(GET).take()).status == 503
        assert world.upstreams == []


def test_max_in_flight_sends_elsewhere_and_then_says_overloaded() -> None:
    with World(service(2, max_in_flight=1)) as world:
        clients = [world.client(GET) for _ in range(3)]
        assert [each.host for each in world.upstreams] in (["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"])
        response = parse(clients[2].take())
        assert (response.status, response[b"Retry-After"]) == (503, b"1")
        assert world.last.reason is Reason.OVERLOADED
        assert (world.in_flight(1), world.in_flight(2)) == (1, 1)
        world.upstreams[0].send(ok())
        clients[2].send(GET)
        assert world.in_flight(1) + world.in_flight(2) == 2


def test_an_instance_that_fails_in_a_row_is_ejected_and_readmitted() -> None:
    with World(service(2, consecutive_failures=2, eject_time=10.0), routes=[replace(ROUTE, retry_count=0)]) as world:
        hosts = []
        for _ in range(8):
            client = world.client(GET)
            hosts.append(world.upstream.host)
            if hosts[-1] == "10.0.0.1":
                world.upstream.reset()
            else:
                world.upstream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            client.take()
        assert hosts.count("10.0.0.1") == 2
        assert hosts[-3:] == ["10.0.0.2"] * 3
        world.advance(10.1)
        world.client(get(b"/after"))
        world.client(get(b"/after"))
        assert {each.host for each in world.upstreams[-2:]} == {"10.0.0.1", "10.0.0.2"}


def test_the_last_instance_is_never_ejected() -> None:
    with World(service(1, consecutive_failures=1, max_ejected_percent=100)) as world:
        for _ in range(3):
            client = world.client(post())
            world.upstream.reset()
            assert parse(client.take()).status == 502
        assert len(world.upstreams) == 3
