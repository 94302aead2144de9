"""What changes under way: new generations of instances, routes and settings; a drain; and the counters throughout."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.proxy.downstream import DRAIN_IDLE
from gateway.shm.layout import DURATION_BOUNDS, I_EJECTED_UNTIL_NS, I_LATENCY_US, instance_word
from gateway.snapshot.model import Standby
from tests.proxy_harness import ROUTE, SETTINGS, World, instance, service
from tests.proxy_messages import GET, get, ok, parse, post

EMPTY = replace(service(), instances=())


def test_an_exchange_under_way_ends_well_when_its_instance_goes() -> None:
    with World() as world:
        client = world.client(GET)
        world.publish(EMPTY)
        world.upstream.send(ok())
        assert parse(client.take()).body == b"ok"
        assert client.is_open()
        assert world.upstream.closed  # not pooled
        assert world.codes() == {200: 1}
        client.send(GET)
        assert parse(client.take()).status == 503


def test_a_response_under_way_ends_well_when_its_instance_goes() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
        world.publish(EMPTY)
        world.upstream.send(b"re")
        assert parse(client.take()).body == b"here"
        assert world.upstream.closed


@pytest.mark.parametrize("standby", [Standby.DRAINING, Standby.UNHEALTHY, Standby.CRITICAL, Standby.EJECTED])
def test_idle_connections_of_an_instance_on_standby_are_closed(standby: Standby) -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(ok())
        assert world.upstream.is_open()
        world.publish(replace(service(), instances=(instance(1, standby),)))
        assert world.upstream.closed
        client.take()
        client.send(GET)
        assert parse(client.take()).status == 503
        world.publish(service())
        client.send(GET)
        world.upstream.send(ok())
        assert parse(client.take()).status == 200
        assert len(world.upstreams) == 2


def test_a_failed_attempt_is_not_repeated_on_an_instance_that_went() -> None:
    with World(service(2)) as world:
        world.client(GET)
        first = world.upstream
        remaining = tuple(each for each in service(2).instances if each.host == first.host)
        world.publish(replace(service(), instances=remaining))
        first.reset()
        assert world.upstream.host == first.host


def test_nothing_is_repeated_once_the_service_is_gone() -> None:
    other = replace(service(), name="other", instances=(instance(9),))
    with World(service(2)) as world:
        client = world.client(GET)
        world.publish(other, routes=[replace(ROUTE, service="other")])
        world.upstream.reset()
        assert len(world.upstreams) == 1
        assert parse(client.take()).status in (502, 503)
        client.send(GET)
        assert world.upstream.host == "10.0.0.9"
        world.upstream.send(ok())


def test_idle_connections_of_a_service_that_is_gone_are_closed() -> None:
    with World() as world:
        world.client(GET)
        world.upstream.send(ok())
        world.publish(replace(service(), name="other", instances=()), routes=[replace(ROUTE, service="other")])
        assert world.upstream.closed
        assert world.ctx.stats.upstream_idle == 0


def test_an_instance_that_came_back_under_another_cell_is_counted_there() -> None:
    moved = replace(service(), instances=(replace(instance(1), cell=7),))
    with World() as world:
        client = world.client(GET)
        world.publish(moved)
        world.upstream.send(ok())
        assert world.upstream.closed
        client.send(GET)
        assert (world.in_flight(1), world.in_flight(7)) == (0, 1)
        world.upstream.send(ok())
        assert (world.outcomes(1), world.outcomes(7)) == ({"ok": 1}, {"ok": 1})


def test_what_is_known_of_an_instance_outlives_generations() -> None:
    with World(service(2, consecutive_failures=1), routes=[replace(ROUTE, retry_count=0)]) as world:
        world.client(GET)
        ejected = world.upstream.host
        world.upstream.reset()
        world.publish(service(3, consecutive_failures=1))
        for _ in range(6):
            world.client(GET)
        assert ejected not in {each.host for each in world.upstreams[1:]}


def test_an_ejection_is_forgotten_with_its_instance() -> None:
    with World(service(2, consecutive_failures=1), routes=[replace(ROUTE, retry_count=0)]) as world:
        world.client(GET)
        cell = int(world.upstream.host[-1])
        word = instance_word(0, cell, I_EJECTED_UNTIL_NS)
        world.upstream.reset()
        assert world.ctx.words[word] == int((world.ctx.now + 30.0) * 1e9)
        world.publish(EMPTY)
        assert world.ctx.words[word] == 0


def test_a_request_that_is_still_coming_in_finds_the_newest_route() -> None:
    with World() as world:
        client = world.client(GET[:10])
        world.publish(
            replace(service(), name="other", instances=(instance(9),)), routes=[replace(ROUTE, service="other")]
        )
        client.send(GET[10:])
        assert world.upstream.host == "10.0.0.9"
        world.upstream.send(ok())


def test_routes_change_between_requests_of_one_connection() -> None:
    with World() as world:
        client = world.client(GET * 2)
        world.publish(routes=[replace(ROUTE, path="/elsewhere")])
        world.upstream.send(ok())
        received = client.take()
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 404 " in received


def test_settings_hold_for_what_begins_after_them() -> None:
    with World() as world:
        client = world.client(GET)
        world.publish(settings=replace(SETTINGS, name="north", body_bytes=3))
        world.upstream.send(ok())
        assert parse(client.take())[b"X-Gateway"] == b"north"
        client.send(post(b"hello"))
        assert parse(client.take()).status == 413


# --- drain ---------------------------------------------------------------------------------------------------


def test_a_drain_lets_what_is_under_way_finish_and_says_close() -> None:
    with World() as world:
        busy = world.client(GET)
        streaming = world.client(GET)
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
        world.drain()
        world.upstreams[0].send(ok())
        assert parse(busy.take())[b"Connection"] == b"close"
        assert busy.closed
        assert world.upstreams[0].closed
        world.upstream.send(b"re")
        world.advance(DRAIN_IDLE + 0.1)
        assert parse(streaming.take()).body == b"here"
        assert streaming.closed


def test_a_drain_closes_idle_connections_on_both_sides_soon() -> None:
    with World() as world:
        client, fresh = world.client(GET), world.client()
        world.upstream.send(ok())
        world.drain()
        assert world.upstream.closed
        world.advance(DRAIN_IDLE + 0.1)
        assert client.closed
        assert fresh.closed


def test_a_request_that_comes_during_a_drain_is_answered_as_the_last() -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(ok())
        client.take()
        world.drain()
        client.send(GET + GET)
        world.upstream.send(ok())
        assert parse(client.take())[b"Connection"] == b"close"
        assert client.closed
        assert len(world.upstreams) == 2


def test_ready_says_draining() -> None:
    with World() as world:
        client = world.client(GET[:10])
        world.drain()
        client.send(GET[10:].replace(b"\r\n\r\n", b"\r\nX: 1\r\n\r\n"))
        world.upstream.send(ok())
        late = world.client(get(b"/ready"))
        assert parse(late.take()).body == b'{"status": "draining"}\n'
        assert late.closed


# --- what is counted -------------------------------------------------------------------------------------------


def test_a_request_is_in_flight_exactly_while_it_is() -> None:
    with World() as world:
        client = world.client()
        assert (world.ctx.stats.in_flight, world.in_flight()) == (0, 0)
        client.send(GET)
        assert (world.ctx.stats.in_flight, world.in_flight()) == (1, 1)
        world.upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        assert (world.ctx.stats.in_flight, world.in_flight()) == (1, 1)
        world.upstream.send(b"k")
        assert (world.ctx.stats.in_flight, world.in_flight()) == (0, 0)


def test_codes_and_durations_are_counted_by_route() -> None:
    routes = [ROUTE, replace(ROUTE, cell=2, path="/slow")]
    with World(routes=routes) as world:
        client = world.client(GET)
        world.upstream.send(ok())
        client.send(get(b"/slow"))
        world.advance(0.3)
        world.upstream.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        client.send(get(b"/health"))
        assert world.codes(1) == {200: 1}
        assert world.codes(2) == {404: 1}
        assert world.codes(0) == {200: 1}
        slow = world.ledger.route_totals(2)
        assert [bound for bound, count in zip(DURATION_BOUNDS, slow.buckets, strict=False) if count] == [0.5]
        assert slow.sum_us == pytest.approx(300_000, abs=2)
        assert world.ctx.words[instance_word(0, 1, I_LATENCY_US)] == pytest.approx(300_000, abs=2)


def test_connections_are_counted() -> None:
    with World() as world:
        clients = [world.client() for _ in range(3)]
        clients[0].eof()
        stats = world.ctx.stats
        assert (stats.connections, stats.connections_total) == (2, 3)
        clients[1].reset()
        assert (stats.connections, stats.connections_total) == (1, 3)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_errors_of_an_instance_count_against_it(status: int) -> None:
    with World() as world:
        client = world.client(GET)
        world.upstream.send(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        assert parse(client.take()).status == status
        assert (world.codes(), world.outcomes()) == ({status: 1}, {"bad_status": 1})


def test_the_log_hears_of_every_request_once() -> None:
    with World() as world:
        client = world.client(get(b"/health") + post(b"hello") + GET)
        world.upstream.send(ok(b"four"))
        world.upstream.reset()
        world.upstream.send(ok())
        client.send(b"nonsense\r\n\r\n")
        lines = [(line.status, line.attempts, line.bytes_in, line.bytes_out) for line in world.log.lines]
        assert lines == [(200, 1, 5, 4), (200, 2, 0, 2), (400, 0, 0, 0)]
        assert world.ctx.stats.requests == 4


def test_the_log_can_be_off() -> None:
    with World() as world:
        world.log.enabled = False
        world.client(GET + get(b"*", method=b"OPTIONS") + b"nonsense\r\n\r\n")
        world.upstream.send(ok())
        assert world.log.lines == []
        assert world.ctx.stats.requests == 3
