"""More services than connections, on few nodes: each node's checks are watched, and one change asks for one service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio

from discovery.consul_sd import sweeps
from discovery.consul_sd.fetching import FETCHERS
from discovery.consul_sd.transport import Transport
from discovery.model import Instance, Standing
from tests.consul import ConsulServer
from tests.integration.test_consul_discovery import Seen, address, standing, watched

BUDGET = FETCHERS + 1 + 3  # three nodes have a watch each: n1, n2 and the agent's own
NAMES = [f"s{number:02}" for number in range(BUDGET + 2)]
OTHERS = set(NAMES) - {"s00"}
ALL_CHECKS = "/v1/health/state/any"


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        for number, name in enumerate(NAMES):
            put(server, name, 9000 + number)
        yield server


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all that Consul is asked for."""
    asked = list[str]()
    send = Transport.send

    async def noting(self: Transport, method: str, path: str, params: Sequence[tuple[str, Any]], data: str = "") -> Any:
        asked.append(path)
        return await send(self, method, path, params, data)

    monkeypatch.setattr(Transport, "send", noting)
    return asked


def put(
    consul: ConsulServer,
    name: str,
    port: int,
    *,
    node: str = "n1",
    check: str = "passing",
    output: str = "",
    weight: int = 1,
) -> None:
    """One instance straight into the catalog; `check` is its status, "" for no check, and `output` what that says."""
    service = {
        "ID": f"{name}-{port}",
        "Service": name,
        "Address": "127.0.0.1",
        "Port": port,
        "Weights": {"Passing": weight, "Warning": 1},
    }
    body: dict[str, object] = {"Node": node, "Address": "127.0.0.1", "Service": service}
    if check:
        checked = {"CheckID": f"c-{name}-{port}", "Name": "app", "Status": check, "ServiceID": f"{name}-{port}"}
        checked["Output"] = output
        body["Checks"] = [{**checked, "ServiceName": name, "Node": node}]
    consul.put("/v1/catalog/register", body)


def take(consul: ConsulServer, node: str, service_id: str = "") -> None:
    consul.put("/v1/catalog/deregister", {"Node": node, **({"ServiceID": service_id} if service_id else {})})


async def wait_for_question(asked: list[str], path: str) -> None:
    """Until Consul has been asked for the path: no event tells of that, so it is looked at again and again."""
    with trio.fail_after(10.0):
        while path not in asked:
            await trio.sleep(0.01)


async def wait_for_all(seen: Seen) -> None:
    await seen.wait_until(lambda: all(seen.answers.get(name) for name in NAMES))
    await seen.wait_until(lambda: seen.state is not None and not seen.state.stale)


def weight(instance: Instance) -> int:
    return instance.weight


async def test_one_change_asks_for_one_service(consul: ConsulServer, asked: list[str]) -> None:
    async with watched(consul, *NAMES, budget=BUDGET) as seen:
        await wait_for_all(seen)
        asked.clear()
        put(consul, "s00", 9100)
        await seen.wait_for("s00", address, "127.0.0.1:9000", "127.0.0.1:9100")
        put(consul, "s00", 9100, check="critical")
        await seen.wait_for("s00", standing, Standing.PASSING, Standing.CRITICAL)
        take(consul, "n1", "s00-9100")
        await seen.wait_for("s00", address, "127.0.0.1:9000")
        assert not seen.answers["s00"][0].provisional
        await trio.sleep(1.5 * sweeps.EXPLAIN_WAIT)  # no sweep follows
        assert ALL_CHECKS not in asked
        assert not OTHERS.intersection(path.rpartition("/")[2] for path in asked)
        assert asked.count("/v1/health/service/s00") <= 4


async def test_a_node_that_comes_and_goes_is_followed(consul: ConsulServer, asked: list[str]) -> None:
    async with watched(consul, *NAMES, budget=BUDGET, grace=5.0) as seen:
        await wait_for_all(seen)
        put(consul, "s00", 9200, node="n2")
        await seen.wait_for("s00", address, "127.0.0.1:9000", "127.0.0.1:9200")
        put(consul, "s00", 9200, node="n2", check="critical")
        await seen.wait_for("s00", standing, Standing.PASSING, Standing.CRITICAL)
        await wait_for_question(asked, "/v1/health/node/n2")
        take(consul, "n2")
        await seen.wait_for("s00", address, "127.0.0.1:9000")
        assert not seen.answers["s00"][0].provisional
        assert ALL_CHECKS not in asked


async def test_more_nodes_than_connections_share_one_watch(
    consul: ConsulServer, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "SWEEP_INTERVAL", 0.2)
    async with watched(consul, *NAMES, budget=BUDGET) as seen:
        await wait_for_all(seen)
        for number in range(2, 5):
            put(consul, "s00", 9200 + number, node=f"n{number}")
        ports = [9000, 9202, 9203, 9204]
        await seen.wait_for("s00", address, *(f"127.0.0.1:{port}" for port in ports))
        await wait_for_question(asked, ALL_CHECKS)
        put(consul, "s01", 9300, node="n4")
        await seen.wait_for("s01", address, "127.0.0.1:9001", "127.0.0.1:9300")
        for number in range(2, 5):
            take(consul, f"n{number}")
        await seen.wait_for("s00", address, "127.0.0.1:9000")
        await seen.wait_for("s01", address, "127.0.0.1:9001")
        asked.clear()
        put(consul, "s01", 9301)
        await seen.wait_for("s01", address, "127.0.0.1:9001", "127.0.0.1:9301")
        await wait_for_question(asked, "/v1/health/node/n1")


async def test_what_hides_behind_an_explained_write_is_found_in_a_sweep_of_nodes(
    consul: ConsulServer, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "LATE_SWEEP", 2.0)
    monkeypatch.setattr(sweeps, "SWEEP_INTERVAL", 0.2)
    async with watched(consul, *NAMES, budget=BUDGET) as seen:
        await wait_for_all(seen)
        asked.clear()
        heavy = {"ID": "s01-9001", "Service": "s01", "Address": "127.0.0.1", "Port": 9001}
        failed = {"Node": "n1", "CheckID": "c-s00-9000", "Name": "app", "ServiceID": "s00-9000"}
        both = [  # one write, of which only the check of the other service tells
            {"Service": {"Verb": "set", "Node": "n1", "Service": {**heavy, "Weights": {"Passing": 7, "Warning": 1}}}},
            {"Check": {"Verb": "set", "Check": {**failed, "Status": "critical"}}},
        ]
        consul.put("/v1/txn", both)
        await seen.wait_for("s00", standing, Standing.CRITICAL)
        assert [weight(each) for each in seen.answers["s01"]] == [1]
        await seen.wait_for("s01", weight, 7)
        assert "/v1/catalog/node/n1" in asked
        assert "/v1/health/service/s02" not in asked  # a sweep names what changed


async def test_a_check_that_only_says_something_else_explains_no_write(
    consul: ConsulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "LATE_SWEEP", 600.0)
    monkeypatch.setattr(sweeps, "SWEEP_INTERVAL", 0.2)
    async with watched(consul, *NAMES, budget=BUDGET) as seen:
        await wait_for_all(seen)
        put(consul, "s01", 9001, output="200 OK", weight=7)  # one write: the watch of the node's checks wakes, too
        await seen.wait_for("s01", weight, 7)


async def test_a_break_loses_nothing(consul: ConsulServer) -> None:
    async with watched(consul, *NAMES, budget=BUDGET, grace=1.0) as seen:
        await wait_for_all(seen)
        consul.kill()
        await seen.wait_until(lambda: seen.state is not None and seen.state.stale)
        consul.start()  # knows nothing any more
        put(consul, "s00", 9000)
        await seen.wait_until(lambda: any(each.provisional for each in seen.answers["s01"]))
        await seen.wait_until(lambda: seen.state is not None and not seen.state.stale)
        await seen.wait_for("s01", address)  # the grace is over
        await seen.wait_for("s00", lambda each: (each.address, each.provisional), ("127.0.0.1:9000", False))
        put(consul, "s00", 9100)
        await seen.wait_for("s00", address, "127.0.0.1:9000", "127.0.0.1:9100")
