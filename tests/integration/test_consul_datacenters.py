"""Two datacenters joined over WAN: a service fails over when nothing eligible is left, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends import start_backend
from tests.consul import ConsulServer
from tests.gateways import RunningGateway, start_gateway


@pytest.fixture(scope="module")
def near() -> Iterator[ConsulServer]:
    with ConsulServer(wan=True) as server:
        yield server


@pytest.fixture(scope="module")
def far(near: ConsulServer) -> Iterator[ConsulServer]:
    with ConsulServer(datacenter="dc2", wan=near) as server:
        server.wait_until(lambda: len(near.get("/v1/catalog/datacenters")) == 2)
        yield server


CONFIG = """
[consul]
address = "{address}"
[[services]]
name = "web"
consul = "web"
failover = ["dc2"]
health = {{ interval = 0.2, healthy_threshold = 1, unhealthy_threshold = 1 }}
[[routes]]
path = "/*"
service = "web"
"""

FAILS_OVER = "service fails over: no eligible instance in a nearer datacenter"
IS_BACK = "service is back in its own datacenter"


def service(gateway: RunningGateway) -> dict[str, Any]:
    (found,) = gateway.status()["services"]
    return dict(found)


def instances(gateway: RunningGateway) -> dict[str, tuple[str, str]]:
    return {each["origin"]: (each["datacenter"], each["reason"]) for each in service(gateway)["instances"]}


def answering(gateway: RunningGateway) -> str:
    answer = gateway.get("/")
    return answer.headers.get("x-backend", "") if answer.status == 200 else str(answer.status)


def test_traffic_leaves_with_the_last_local_instance_and_is_back_with_the_first(
    tmp_path: Path, near: ConsulServer, far: ConsulServer
) -> None:
    with start_backend("local") as local, start_backend("remote") as remote:
        near.register_ttl("web", local.port)
        far.register_ttl("web", remote.port)
        with start_gateway(tmp_path, CONFIG.format(address=near.address), workers=1) as gateway:
            gateway.wait_until(lambda: answering(gateway) == "local" and len(service(gateway)["instances"]) == 2)
            gateway.wait_until(
                lambda: instances(gateway) == {"consul dc1": ("dc1", "eligible"), "consul dc2": ("dc2", "reserve")}
            )
            assert (service(gateway)["datacenter"], service(gateway)["failover"]) == ("dc1", ["dc2"])
            assert not gateway.events(FAILS_OVER)

            near.set_check(f"web-{local.port}", "critical")
            gateway.wait_until(lambda: answering(gateway) == "remote")
            assert service(gateway)["datacenter"] == "dc2"
            assert instances(gateway) == {"consul dc1": ("dc1", "critical"), "consul dc2": ("dc2", "eligible")}
            gateway.wait_until(lambda: gateway.events(FAILS_OVER))
            (said,) = gateway.events(FAILS_OVER)
            assert (said["service"], said["datacenter"], said["previous"]) == ("web", "dc2", "dc1")

            near.set_check(f"web-{local.port}", "passing")
            gateway.wait_until(lambda: answering(gateway) == "local")
            gateway.wait_until(lambda: gateway.events(IS_BACK))
            (said,) = gateway.events(IS_BACK)
            assert said["datacenter"] == "dc1"
            states = {each["source"]: each["stale"] for each in gateway.status()["discovery"]}
            assert states == {"static": False, "consul": False, "consul dc2": False}


def test_a_datacenter_that_is_not_there_costs_nothing_but_a_stale_source(tmp_path: Path, near: ConsulServer) -> None:
    with start_backend("local") as local:
        near.register("web", local.port)
        config = CONFIG.format(address=near.address).replace('["dc2"]', '["nowhere"]')
        with start_gateway(tmp_path, config, workers=1) as gateway:
            gateway.wait_until(lambda: gateway.get("/ready").status == 200 and answering(gateway) == "local")
            states = {each["source"]: each for each in gateway.status()["discovery"]}
            assert "No path to datacenter" in states["consul nowhere"]["error"]
            assert not states["consul"]["stale"]


def test_a_service_may_live_in_another_datacenter(tmp_path: Path, near: ConsulServer, far: ConsulServer) -> None:
    with start_backend("remote") as remote:
        far.register("elsewhere", remote.port)
        config = CONFIG.format(address=near.address).replace('failover = ["dc2"]', 'datacenter = "dc2"')
        config = config.replace('consul = "web"', 'consul = "elsewhere"')
        with start_gateway(tmp_path, config, workers=1) as gateway:
            gateway.wait_until(lambda: answering(gateway) == "remote")
            assert service(gateway)["datacenter"] == "dc2"
