"""The gateway's own limits and lacks: 503 `overloaded` with Retry-After, and no instance is blamed."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from gateway.errors import Reason
from tests.proxy_harness import SETTINGS, World, service
from tests.proxy_messages import GET, ok, parse


def test_past_the_limit_of_requests_in_flight_it_sheds_and_goes_on() -> None:
    with World(settings=replace(SETTINGS, in_flight=2)) as world:
        clients = [world.client(GET) for _ in range(3)]
        response = parse(clients[2].take())
        assert (response.status, response[b"Retry-After"]) == (503, b"1")
        assert world.last.reason is Reason.OVERLOADED
        assert clients[2].is_open()
        assert world.in_flight() == 2
        world.upstreams[0].send(ok())
        clients[2].send(GET)
        assert world.in_flight() == 2
        world.upstreams[0].send(ok())
        assert parse(clients[2].take()).status == 200


def test_a_reload_changes_the_limit() -> None:
    with World() as world:
        world.publish(settings=replace(SETTINGS, in_flight=1))
        clients = [world.client(GET) for _ in range(2)]
        assert parse(clients[1].take()).status == 503
        world.publish(settings=SETTINGS)
        clients[1].send(GET)
        assert world.in_flight() == 2


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL])
def test_what_the_machine_lacks_is_not_the_instances_failure(number: int) -> None:
    with World(service(2, consecutive_failures=1)) as world:
        world.network.refuses = {"10.0.0.1", "10.0.0.2"}
        world.network.error = OSError(number, os.strerror(number))
        for _ in range(5):
            response = parse(world.client(GET).take())
            assert (response.status, response[b"Retry-After"]) == (503, b"1")
            assert (world.last.reason, world.last.attempts) == (Reason.OVERLOADED, 0)
        assert world.ejections == []
        assert world.outcomes(1) == world.outcomes(2) == {}
        assert len(world.reports) == 1  # not one for each
        world.reports.clear()
        world.network.refuses.clear()
        client = world.client(GET)
        world.upstream.send(ok())
        assert parse(client.take()).status == 200


def test_a_lack_of_descriptors_costs_idle_connections() -> None:
    with World(service(1)) as world:
        for _ in range(3):
            world.client(GET)
        for upstream in world.upstreams:
            upstream.send(ok())
        assert world.ctx.stats.upstream_idle == 3
        world.publish(service(2))
        world.network.refuses = {"10.0.0.2"}
        world.network.error = OSError(errno.EMFILE, "Too many open files")
        while not world.reports:
            world.client(GET)  # to the second instance, every other time
        assert world.last.reason is Reason.OVERLOADED
        assert world.ctx.stats.upstream_idle == 0
        world.reports.clear()


def test_another_error_is_still_the_instances() -> None:
    with World(service(1)) as world:
        world.network.refuses = {"10.0.0.1"}
        assert parse(world.client(GET).take()).status == 502
        assert world.last.reason is Reason.CONNECT_FAILED
