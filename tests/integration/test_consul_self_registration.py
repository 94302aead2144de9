"""`[consul] register = true`: the gateway is a service in Consul for as long as it serves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.consul import ConsulServer, free_ports
from tests.gateways import RunningGateway

CONFIG = """
[gateway]
name = "edge"
[consul]
register = true
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def start(folder: Path, consul: ConsulServer, config: str = CONFIG, listen: str = "127.0.0.1:0") -> RunningGateway:
    flags = ["--workers", "1", "--listen", listen, "--admin", "127.0.0.1:0", "--consul", consul.address]
    gateway = RunningGateway(folder, config, flags, {})
    try:
        gateway.wait_ready()
    except BaseException:
        gateway.close()
        raise
    return gateway


def registered(consul: ConsulServer, name: str = "edge") -> dict[str, Any] | None:
    """The only registration of that name, with the state of its check."""
    entries = consul.get(f"/v1/health/service/{name}")
    assert len(entries) <= 1
    if not entries:
        return None
    (check,) = [check for check in entries[0]["Checks"] if check["ServiceID"]]
    found: dict[str, Any] = {**entries[0]["Service"], "Status": check["Status"], "Type": check["Type"]}
    return found


def test_it_is_registered_while_it_serves_under_one_id(tmp_path: Path, shared: ConsulServer) -> None:
    (port,) = free_ports(1)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        with start(tmp_path, shared, listen=f"127.0.0.1:{port}") as gateway:
            gateway.wait_until(lambda: registered(shared))
            found = registered(shared)
            assert found is not None
            assert (found["ID"], found["Address"], found["Port"]) == (f"edge-127.0.0.1-{port}", "127.0.0.1", port)
            assert found["Type"] == "http"
            gateway.signal(number)
            gateway.process.wait(10)
        assert (registered(shared) is None) == (number is not signal.SIGKILL)


def test_it_registers_again_when_the_agent_has_forgotten(tmp_path: Path) -> None:
    with ConsulServer() as consul, start(tmp_path, consul) as gateway:
        gateway.wait_until(lambda: registered(consul))
        consul.restart()
        gateway.wait_until(lambda: len(gateway.events("registered with Consul")) == 2)
        assert registered(consul)


def test_a_consul_that_comes_later_is_registered_with_then(tmp_path: Path) -> None:
    with ConsulServer() as consul:
        consul.kill()
        with start(tmp_path, consul) as gateway:
            gateway.wait_until(lambda: gateway.events("not registered with Consul, trying again"))
            consul.start()
            gateway.wait_until(lambda: registered(consul))


def test_a_wildcard_is_reached_at_the_node_and_names_can_be_given(tmp_path: Path, shared: ConsulServer) -> None:
    config = CONFIG.replace("register = true", 'register = true\nregister_name = "gateways"')
    with start(tmp_path, shared, config, "0.0.0.0:0") as gateway:
        gateway.wait_until(lambda: registered(shared, "gateways"))
        found = registered(shared, "gateways")
        assert found is not None
        assert (found["Address"], found["Port"]) == ("", gateway.port)
        assert shared.get("/v1/health/service/gateways")[0]["Node"]["Address"] == "127.0.0.1"


def test_the_agent_finds_it_ready(tmp_path: Path, shared: ConsulServer) -> None:
    """The check that was registered is one that the agent can make: its own result replaces the first state."""
    config = CONFIG.replace("register = true", 'register = true\nregister_name = "checked"')
    with start(tmp_path, shared, config) as gateway:
        gateway.wait_until(lambda: (registered(shared, "checked") or {}).get("Status") == "passing")
        checks = shared.get("/v1/agent/checks")
        gateway.wait_until(
            lambda: any("200 OK" in check["Output"] for check in shared.get("/v1/agent/checks").values()), 10.0
        )
        assert any(check["ServiceName"] == "checked" for check in checks.values())
