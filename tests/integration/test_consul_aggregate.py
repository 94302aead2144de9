"""More services than the budget of connections: all are known and followed over a few."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import trio

from discovery.consul_sd import sweeps
from discovery.consul_sd.fetching import FETCHERS
from discovery.model import Standing
from tests.consul import ConsulServer
from tests.integration.test_consul_discovery import Seen, address, standing, watched

MANY = 500
MOST_CONNECTIONS = 4 + FETCHERS + 2  # watches (nodes, checks of two, catalog), queries, a sweep, a question of rights
CHECK = {"TTL": "1h", "Status": "passing"}


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def connections(consul: ConsulServer) -> int:
    """The connections of this process to Consul, as the kernel lists them."""
    port = urlsplit(consul.address).port
    listed = subprocess.run(["ss", "-tnpH", "state", "established"], capture_output=True, text=True, check=True)
    return sum(f"127.0.0.1:{port} " in line and f"pid={os.getpid()}," in line for line in listed.stdout.splitlines())


def register_many(consul: ConsulServer, count: int) -> list[str]:
    """Services without checks straight into the catalog: quicker than through the agent."""
    names = [f"s{number:03}" for number in range(count)]
    for name in names:
        service = {"ID": f"{name}-1", "Service": name, "Address": "127.0.0.1", "Port": 9001}
        consul.put("/v1/catalog/register", {"Node": "far", "Address": "127.0.0.1", "Service": service})
    return names


async def cpu_of_a_moment() -> float:
    """The share of a CPU that this process uses in half a second."""
    began = time.process_time()
    await trio.sleep(0.5)
    return (time.process_time() - began) / 0.5


async def wait_for_all(seen: Seen, names: list[str]) -> None:
    await seen.wait_until(lambda: all(seen.answers.get(name) for name in names), within=60.0)


async def test_500_services_are_known_and_followed_over_a_few_connections(consul: ConsulServer) -> None:
    names = register_many(consul, MANY)
    async with watched(consul, *names) as seen:
        await wait_for_all(seen, names)
        assert connections(consul) <= MOST_CONNECTIONS
        await seen.wait_until(lambda: seen.state is not None and not seen.state.stale)
        with trio.fail_after(20.0):
            while await cpu_of_a_moment() > 0.1:  # nothing to do is nothing done
                pass

        consul.register("s123", 9002, check=CHECK)  # shows in the checks
        await seen.wait_for("s123", address, "127.0.0.1:9001", "127.0.0.1:9002")
        consul.set_check("s123-9002", "critical")
        await seen.wait_for("s123", standing, Standing.PASSING, Standing.CRITICAL)
        consul.deregister("s123-9002")
        await seen.wait_for("s123", address, "127.0.0.1:9001")
        assert not any(each.provisional for each in seen.answers["s123"])

        assert connections(consul) <= MOST_CONNECTIONS


async def test_what_no_check_tells_of_is_found_all_the_same(
    consul: ConsulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "SWEEP_INTERVAL", 0.2)
    for port in (9001, 9002):
        consul.register("web", port)
    consul.register("other", 9003)
    # A short grace: Consul may lose its leader for a moment on a starved machine, which makes removals provisional.
    async with watched(consul, "web", "other", budget=1, grace=1.0, watch_tags=False) as seen:
        await seen.wait_for("web", address, "127.0.0.1:9001", "127.0.0.1:9002")
        consul.register("web", 9004)  # no check, the same tags: only the catalog's index tells
        await seen.wait_for("web", address, "127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9004")
        consul.register("web", 9001, weight=7)
        await seen.wait_until(lambda: 7 in {each.weight for each in seen.answers["web"]})
        consul.deregister("web-9002")
        await seen.wait_for("web", address, "127.0.0.1:9001", "127.0.0.1:9004")
        assert not any(each.provisional for each in seen.answers["web"])
        consul.maintain_node(reason="kernel")
        await seen.wait_for("web", standing, Standing.MAINTENANCE, Standing.MAINTENANCE)
        consul.maintain_node(enable=False)
        await seen.wait_for("web", standing, Standing.PASSING, Standing.PASSING)
        consul.deregister("web-9001")
        consul.deregister("web-9004")
        await seen.wait_for("web", address)


async def test_an_outage_makes_it_stale_and_loses_nothing(consul: ConsulServer) -> None:
    consul.register("web", 9001)
    consul.register("other", 9002)
    async with watched(consul, "web", "other", budget=1, grace=1.0, watch_tags=False) as seen:
        await seen.wait_for("web", address, "127.0.0.1:9001")
        await seen.wait_for("other", address, "127.0.0.1:9002")
        consul.kill()
        await seen.wait_until(lambda: seen.state is not None and seen.state.stale)
        consul.start()
        consul.register("other", 9002)
        await seen.wait_until(lambda: any(each.provisional for each in seen.answers["web"]))
        await seen.wait_until(lambda: seen.state is not None and not seen.state.stale)
        await seen.wait_for("web", address)  # the grace is over
        await seen.wait_for("other", lambda each: (each.address, each.provisional), ("127.0.0.1:9002", False))


async def test_services_that_come_and_go_change_the_way_they_are_asked(consul: ConsulServer) -> None:
    names = [f"s{number}" for number in range(6)]
    for number, name in enumerate(names):
        consul.register(name, 9000 + number)
    async with watched(consul, *names[:2], budget=3, watch_tags=False) as seen:
        await wait_for_all(seen, names[:2])
        before = connections(consul)
        seen.source.update(frozenset(names))
        await wait_for_all(seen, names)
        consul.register("s0", 9100, check=CHECK)
        await seen.wait_for("s0", address, "127.0.0.1:9000", "127.0.0.1:9100")
        seen.source.update(frozenset(names[:1]))
        consul.deregister("s0-9000")
        await seen.wait_for("s0", address, "127.0.0.1:9100")
        with trio.fail_after(5.0):
            while connections(consul) > before:
                await trio.sleep(0.01)
