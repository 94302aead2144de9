"""Consul forgets, and nobody notices: agents restarted empty, servers without leader, under load."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import trio

from discovery.consul_sd.source import ConsulSource
from discovery.settings import ConsulSettings
from tests.backends import Backend, start_backend
from tests.consul import ConsulServer
from tests.consul_cluster import ConsulCluster
from tests.gateways import RunningGateway, start_gateway
from tests.integration.test_consul_discovery import Seen, address
from tests.loads import start_load, tell

TAGS = ["gw.path=/web/*", "gw.health.interval=0.2"]
CONFIG = """
[log]
access = "off"
[consul]
removal_grace = {grace}
"""


def instances(gateway: RunningGateway) -> dict[str, dict[str, Any]]:
    return {each["address"]: each for service in gateway.status()["services"] for each in service["instances"]}


def reasons(gateway: RunningGateway) -> set[str]:
    return {each["reason"] for each in instances(gateway).values()}


def consul_state(gateway: RunningGateway) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in gateway.status()["discovery"] if each["source"] == "consul")
    return found


def serve(
    stack: ExitStack, folder: Path, agent: ConsulServer, owner: ConsulServer, *, grace: float
) -> tuple[RunningGateway, list[Backend]]:
    """A gateway at `agent` with three instances that `owner` registered, all in use."""
    backends = [stack.enter_context(start_backend(f"b{n}", latency=0.005)) for n in range(3)]
    for backend in backends:
        owner.register("web", backend.port, tags=TAGS)
    arguments = ["--consul", agent.address]
    gateway = stack.enter_context(start_gateway(folder, CONFIG.format(grace=grace), arguments=arguments))
    gateway.wait_until(lambda: len(instances(gateway)) == 3 and reasons(gateway) == {"eligible"})
    return gateway, backends


def test_an_agent_restarted_empty_costs_no_request(tmp_path: Path) -> None:
    with ConsulServer() as consul, ExitStack() as stack:
        gateway, backends = serve(stack, tmp_path, consul, consul, grace=30)
        load = stack.enter_context(start_load(gateway.listen, "/web/1", connections=8))
        load.wait_for(100)
        consul.restart()  # its index begins anew as well
        gateway.wait_until(lambda: reasons(gateway) == {"provisional"})
        assert all("agent restarted" in each["detail"] for each in instances(gateway).values())
        load.wait_for(100)
        for backend in backends:
            consul.register("web", backend.port, tags=TAGS)
        gateway.wait_until(lambda: reasons(gateway) == {"eligible"} and not consul_state(gateway)["stale"])
        load.wait_for(100)
        report = load.stop()
        tell("an agent restarted empty", report.summary())
        assert report.failures == ()
        assert set(report.instances) == {"b0", "b1", "b2"}


def test_a_client_agent_that_takes_its_services_back_after_its_restart_costs_no_request(tmp_path: Path) -> None:
    with ConsulCluster(tmp_path, servers=1, clients=1) as cluster, ExitStack() as stack:
        (client,) = cluster.clients
        folder = tmp_path / "gateway"
        folder.mkdir()
        gateway, backends = serve(stack, folder, client, client, grace=30)
        load = stack.enter_context(start_load(gateway.listen, "/web/1", connections=8))
        load.wait_for(100)
        client.restart_empty()  # the servers list what it had until it has joined them again, and takes it back
        server = cluster.servers[0]
        gateway.wait_until(lambda: server.get("/v1/catalog/service/web") == [], 30)
        gateway.wait_until(lambda: reasons(gateway) == {"provisional"})
        for backend in backends:
            client.register("web", backend.port, tags=TAGS)
        gateway.wait_until(lambda: reasons(gateway) == {"eligible"})
        load.wait_for(100)
        report = load.stop()
        tell("a client agent restarted empty", report.summary())
        assert report.failures == ()


def test_the_loss_of_a_leader_costs_no_request(tmp_path: Path) -> None:
    with ConsulCluster(tmp_path, servers=3) as cluster, ExitStack() as stack:
        leader = cluster.leader()
        follower, other = (agent for agent in cluster.servers if agent is not leader)
        folder = tmp_path / "gateway"
        folder.mkdir()
        gateway, backends = serve(stack, folder, follower, follower, grace=30)
        load = stack.enter_context(start_load(gateway.listen, "/web/1", connections=8))
        load.wait_for(100)
        leader.kill()
        cluster.wait_for_leader(follower, other)
        load.wait_for(100)
        assert len(instances(gateway)) == 3
        follower.deregister(f"web-{backends[0].port}")  # one of three, and the watch is unbroken: out at once
        gateway.wait_until(lambda: backends[0].address not in instances(gateway), 5.0)
        report = load.stop()
        tell("a leader lost", report.summary())
        assert report.failures == ()


async def test_servers_without_any_leader_change_nothing_and_make_it_stale(tmp_path: Path) -> None:
    with ConsulCluster(tmp_path, servers=3) as cluster:
        follower, *others = sorted(cluster.servers, key=lambda agent: agent.is_leader())
        follower.register("web", 9001)
        source = ConsulSource(ConsulSettings(address=follower.address), frozenset({"web"}), wait=0.5)
        seen = Seen(source)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.run, seen.emit)
            await seen.wait_for("web", address, "127.0.0.1:9001")
            for agent in others:
                agent.kill()
            await seen.wait_until(lambda: seen.state is not None and seen.state.stale)
            assert seen.state is not None
            assert "no leader" in seen.state.error
            assert [each.address for each in seen.answers["web"]] == ["127.0.0.1:9001"]
            nursery.cancel_scope.cancel()
