"""Health tags of one instance: it is probed as they say, its siblings as their service says, and nothing is reset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.backends import start_backend
from tests.consul import ConsulServer
from tests.gateways import RunningGateway, start_gateway

CONFIG = """
[log]
access = "off"
[consul]
address = "{consul}"
[[services]]
name = "users"
consul = "users"
[services.health]
interval = 0.2
[[routes]]
path = "/*"
service = "users"
"""


def instances(gateway: RunningGateway) -> dict[str, Any]:
    return {each["address"]: each for each in gateway.status()["services"][0]["instances"]}


def test_each_instance_is_probed_by_its_own_tags(tmp_path: Path) -> None:
    with (
        ConsulServer() as consul,
        start_backend("one") as one,
        start_backend("two") as two,
        start_gateway(tmp_path, CONFIG.format(consul=consul.address)) as gateway,
    ):
        consul.register("users", one.port, tags=["gw.health.path=/status/404", "gw.health.expected_status=200-299,404"])
        consul.register("users", two.port)
        gateway.wait_until(lambda: [each["eligible"] for each in instances(gateway).values()] == [True, True])
        assert one.stats()["paths"]["/status/404"] >= 1
        assert one.stats()["health_checks"] == 0
        assert two.stats()["health_checks"] >= 1
        since = instances(gateway)[one.address]["since"]
        # Another question and a bad tag: asked at once, the health stays what it is, and the bad tag is reported.
        consul.register("users", one.port, tags=["gw.health.path=/status/204", "gw.health.interval=never"])
        gateway.wait_until(lambda: one.stats()["paths"].get("/status/204", 0) >= 2)
        problem = gateway.status()["problems"][0]
        assert "tag gw.health.interval=never" in problem["origin"]
        assert "must be seconds" in problem["message"]
        known = instances(gateway)
        assert (known[one.address]["since"], known[one.address]["eligible"]) == (since, True)
        consul.register("users", one.port, tags=["gw.health.path=/status/500"])
        gateway.wait_until(lambda: not instances(gateway)[one.address]["eligible"])
        assert instances(gateway)[two.address]["eligible"]
