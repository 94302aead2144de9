"""The gateway restarts while Consul is down: what Consul said last is used, once it has passed a probe."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
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
consul = "user-service"
[services.health]
type = "none"
[[routes]]
path = "/users/*"
service = "users"
"""
TAGS = ["gw.path=/web/*", "gw.health.interval=0.2"]


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer("") as server:
        yield server


def source(gateway: RunningGateway, name: str = "consul") -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in gateway.status()["discovery"] if each["source"] == name)
    return found


def instances(gateway: RunningGateway, service: str) -> dict[str, dict[str, Any]]:
    services = {each["name"]: each for each in gateway.status()["services"]}
    return {each["address"]: each for each in services[service]["instances"]} if service in services else {}


def saved(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("state/gw/edge-*.discovery"))


def restart(gateway: RunningGateway, folder: Path, consul: ConsulServer) -> RunningGateway:
    gateway.signal(signal.SIGTERM)
    assert gateway.wait_end() == 0
    return start_gateway(folder, CONFIG, arguments=["--consul", consul.address])


def test_instances_and_routes_outlive_the_gateway_and_consul(tmp_path: Path, consul: ConsulServer) -> None:
    with start_backend("alive") as alive, start_backend("dead") as dead, start_backend("unprobed") as unprobed:
        consul.register("web", alive.port, tags=TAGS)
        consul.register("web", dead.port, tags=TAGS)
        consul.register("user-service", unprobed.port)
        consul.put_key("gw/routes/kept", 'path = "/kept/*"\nservice = "users"')
        with start_gateway(tmp_path, CONFIG, arguments=["--consul", consul.address]) as first:
            first.wait_until(lambda: len(instances(first, "web")) == 2 and instances(first, "users"))
            first.wait_until(lambda: first.get("/kept/1").status == 200)
            consul.kill()
            first.wait_until(lambda: source(first)["stale"])
            dead.kill()
            with restart(first, tmp_path, consul) as gateway:
                started = datetime.now(UTC)
                gateway.wait_until(lambda: gateway.get("/ready").status == 200)
                assert instances(gateway, "web")[alive.address]["eligible"]  # ready only once it was probed
                assert gateway.get("/web/1").status == 200
                assert gateway.get("/users/1").status == 200
                assert gateway.get("/kept/1").status == 200
                assert dead.address in instances(gateway, "web")
                assert not instances(gateway, "web")[dead.address]["eligible"]
                kept = instances(gateway, "users")[unprobed.address]
                assert (kept["eligible"], kept["reason"]) == (True, "provisional")
                assert "before the gateway's restart" in kept["detail"]
                state = source(gateway)
                assert state["stale"]
                assert state["restored"]
                assert state["stale_since"] == state["last_success"]
                assert datetime.fromisoformat(state["last_success"]) < started

                consul.start()
                consul.register("web", alive.port, tags=TAGS)
                gateway.wait_until(lambda: not source(gateway)["stale"])
                gateway.wait_until(lambda: instances(gateway, "web")[alive.address]["reason"] == "eligible")
                assert not source(gateway)["restored"]
                lost = instances(gateway, "users")[unprobed.address]  # Consul came back empty: no proof
                assert (lost["eligible"], lost["reason"]) == (True, "provisional")
                assert "kept for 30 s" in lost["detail"]


def test_a_kill_loses_no_more_than_the_last_second(tmp_path: Path, consul: ConsulServer) -> None:
    with start_backend("one") as one, start_gateway(tmp_path, CONFIG, arguments=["--consul", consul.address]) as first:
        consul.register("web", one.port, tags=TAGS)
        first.wait_until(lambda: f"web-{one.port}" in saved(tmp_path), 5.0)
        consul.kill()
        first.signal(signal.SIGKILL)
        first.process.wait(10)
        with start_gateway(tmp_path, CONFIG, arguments=["--consul", consul.address]) as gateway:
            gateway.wait_until(lambda: gateway.get("/web/1").status == 200)
            gateway.wait_until(lambda: gateway.get("/ready").status == 200)


@pytest.mark.parametrize("content", [b"\x00rubbish", b"gw-discovery 1 sha256:00\n{}", b""])
def test_a_file_that_is_damaged_is_ignored_with_one_line(tmp_path: Path, consul: ConsulServer, content: bytes) -> None:
    path = tmp_path / "seen"
    path.write_bytes(content)
    with (
        start_backend("one") as one,
        start_gateway(
            tmp_path, f'[consul]\naddress = "{consul.address}"\nstate_file = "{path}"\n', workers=1
        ) as gateway,
    ):
        gateway.wait_until(lambda: gateway.get("/ready").status == 200)
        (line,) = gateway.events("the saved view of Consul is ignored, and will be replaced")
        assert line["file"] == str(path)
        consul.register("web", one.port, tags=TAGS)
        gateway.wait_until(lambda: f"web-{one.port}" in path.read_text())


def test_off_keeps_nothing(tmp_path: Path, consul: ConsulServer) -> None:
    with (
        start_backend("one") as one,
        start_gateway(tmp_path, f'[consul]\naddress = "{consul.address}"\nstate_file = "off"\n', workers=1) as gateway,
    ):
        consul.register("web", one.port, tags=TAGS)
        gateway.wait_until(lambda: gateway.get("/web/1").status == 200)
        gateway.signal(signal.SIGTERM)
        assert gateway.wait_end() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"gateway.toml"}
