"""What Consul and an operator say of an instance: each with its reason, and neither undoes the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends import start_backend
from tests.consul import ConsulServer
from tests.gateways import RunningGateway, start_gateway

CONFIG = """
[log]
access = "off"
[[services]]
name = "users"
consul = "users"
health = { interval = 0.2 }
[[routes]]
path = "/*"
service = "users"
"""


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def shown(gateway: RunningGateway) -> dict[str, Any]:
    """The only instance, or nothing."""
    instances = gateway.status()["services"][0]["instances"]
    return instances[0] if instances else {}


def test_maintenance_checks_and_drains_are_told_apart(tmp_path: Path, consul: ConsulServer) -> None:
    with (
        start_backend("one") as one,
        start_gateway(tmp_path, CONFIG, workers=1, arguments=["--consul", consul.address]) as gateway,
    ):
        asked = {"service": "users", "instance": one.address}
        service_id = consul.register_ttl("users", one.port)
        consul.set_check(service_id, "passing")
        gateway.wait_until(lambda: shown(gateway).get("eligible"))
        consul.maintain(service_id, reason="new disk")
        gateway.wait_until(lambda: shown(gateway)["reason"] == "maintenance")
        assert "new disk" in shown(gateway)["detail"]
        consul.maintain(service_id, enable=False)
        gateway.wait_until(lambda: shown(gateway)["eligible"])
        consul.set_check(service_id, "critical", "disk full")
        gateway.wait_until(lambda: shown(gateway)["reason"] == "critical")
        assert "disk full" in shown(gateway)["detail"]
        assert gateway.admin_post("/api/drain", asked).status == 200
        assert shown(gateway)["reason"] == "critical", "Consul's word is the stronger reason"
        consul.set_check(service_id, "passing")
        gateway.wait_until(lambda: shown(gateway)["reason"] == "draining")
        consul.deregister(service_id)
        gateway.wait_until(lambda: not shown(gateway))
        (drain,) = gateway.status()["services"][0]["drains"]
        assert (drain["address"], drain["listed"]) == (one.address, False)
        consul.set_check(consul.register_ttl("users", one.port, id="again"), "passing")
        gateway.wait_until(lambda: shown(gateway).get("health") == "healthy")
        gateway.wait_until(lambda: shown(gateway)["reason"] == "draining")
        assert gateway.get("/").status == 503
        assert gateway.admin_post("/api/undrain", asked).status == 200
        gateway.wait_until(lambda: gateway.get("/").status == 200)
        story = [(each["who"], each["reason"]) for each in shown(gateway)["history"]]
    expected = [
        ("consul", "came"),
        ("consul", "maintenance_begun"),
        ("consul", "maintenance_over"),
        ("consul", "check_critical"),
        ("consul", "check_passing"),
        ("consul", "left"),
        ("consul", "came"),
        ("operator", "undrained"),
    ]
    assert [each for each in story if each in expected] == expected
