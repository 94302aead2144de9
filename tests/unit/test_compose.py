"""The compose stack without a Docker engine: the file against the compose specification's schema, what the file
promises, and its backend script as a real process beside a real Consul."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config.load import Overrides, load
from tests.consul import ConsulServer, free_ports

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "docker-compose.consul.yml"
EXAMPLES = ROOT / "examples" / "compose"
DEADLINE = 20.0


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    content = yaml.safe_load(FILE.read_text())
    assert isinstance(content, dict)
    return content


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Looks until the condition holds; fails, saying what was waited for, when it does not."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE:.0f} s: {what}"
        time.sleep(0.02)


def test_the_file_is_what_the_compose_specification_allows() -> None:
    command = [sys.executable, "-P", "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_would_have_noticed(tmp_path: Path, stack: dict[str, Any]) -> None:
    wrong = {**stack, "services": {**stack["services"], "gateway": {**stack["services"]["gateway"], "prots": []}}}
    file = tmp_path / "compose.yml"
    file.write_text(yaml.safe_dump(wrong))
    command = [sys.executable, "-P", "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "prots" in done.stdout


def test_the_stack_is_consul_the_gateway_and_several_instances_of_two_backends(stack: dict[str, Any]) -> None:
    replicas = {name: each.get("deploy", {}).get("replicas", 1) for name, each in stack["services"].items()}
    assert replicas == {"consul": 1, "gateway": 1, "users": 3, "orders": 2}


def test_every_service_has_a_health_check(stack: dict[str, Any]) -> None:
    assert [name for name, each in stack["services"].items() if not each.get("healthcheck", {}).get("test")] == []


def test_everything_waits_for_a_healthy_consul(stack: dict[str, Any]) -> None:
    for name in ("gateway", "users", "orders"):
        assert stack["services"][name]["depends_on"]["consul"] == {"condition": "service_healthy"}, name


def test_published_ports_are_on_the_loopback_of_the_host(stack: dict[str, Any]) -> None:
    published = [port for each in stack["services"].values() for port in each.get("ports", [])]
    assert {port.rsplit(":", 1)[1] for port in published} == {"8080", "9901", "8500"}
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_the_backends_run_in_the_image_that_the_gateway_builds(stack: dict[str, Any]) -> None:
    services = stack["services"]
    assert services["gateway"]["build"] == "."
    for name in ("users", "orders"):
        assert services[name]["image"] == services["gateway"]["image"]
        assert services[name]["pull_policy"] == "never"


def test_every_mounted_file_exists(stack: dict[str, Any]) -> None:
    mounted = [volume.split(":")[0] for each in stack["services"].values() for volume in each.get("volumes", [])]
    assert mounted
    assert [path for path in mounted if not (ROOT / path).is_file()] == []


def test_the_gateway_is_given_more_time_to_stop_than_it_takes_to_drain(stack: dict[str, Any]) -> None:
    loaded = load(EXAMPLES / "gateway.toml", environ={}, overrides=Overrides())
    assert float(stack["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > loaded.gateway.drain_timeout


def test_the_gateways_configuration_is_valid_and_finds_consul_by_its_name_in_the_stack() -> None:
    loaded = load(EXAMPLES / "gateway.toml", environ={}, overrides=Overrides())
    assert loaded.consul is not None
    assert loaded.consul.address == "http://consul:8500"
    assert [spec.name for spec in loaded.services] == ["users"]
    assert [route.path for route in loaded.routes] == ["/api/v1/users/*"]


# --- the backend script, as the stack runs it ---


@contextlib.contextmanager
def backend(consul: ConsulServer, port: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(EXAMPLES / "backend.py"), "orders", "--address", "127.0.0.1", "--port", str(port)]
    started = subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, "CONSUL_HTTP_ADDR": consul.address},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


def passing(consul: ConsulServer) -> list[dict[str, Any]]:
    return [entry["Service"] for entry in consul.get("/v1/health/service/orders?passing")]


def test_a_backend_puts_itself_into_consul_and_leaves_it_on_sigterm() -> None:
    (port,) = free_ports(1)
    with ConsulServer() as consul, backend(consul, port, "--tag", "gw.path=/api/v1/orders/*") as process:
        wait_for(lambda: process.poll() is not None or passing(consul), "the backend passes its check in Consul")
        assert process.poll() is None
        (service,) = passing(consul)
        assert (service["Address"], service["Port"]) == ("127.0.0.1", port)
        assert service["Tags"] == ["gw.path=/api/v1/orders/*"]

        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/orders/7", data=b"hello", method="PUT")
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        assert answer["instance"] == f"127.0.0.1:{port}"
        assert (answer["method"], answer["path"], answer["received_bytes"]) == ("PUT", "/api/v1/orders/7", 5)

        process.send_signal(signal.SIGTERM)
        wait_for(lambda: not consul.get("/v1/catalog/service/orders"), "the backend has left Consul")
        # It goes on answering while Consul and the gateway hear of it, and only then ends.
        assert process.poll() is None
        assert process.wait(timeout=DEADLINE) == 0


def test_a_backend_registers_again_when_consul_has_forgotten_it() -> None:
    (port,) = free_ports(1)
    with ConsulServer() as consul, backend(consul, port) as process:
        wait_for(lambda: process.poll() is not None or passing(consul), "the backend passes its check in Consul")
        assert process.poll() is None
        consul.restart()
        wait_for(lambda: passing(consul), "the backend is back in Consul")


def test_a_backend_that_cannot_reach_consul_ends_with_1() -> None:
    nobody = ConsulServer()  # never started: its address refuses
    (port,) = free_ports(1)
    with backend(nobody, port) as process:
        assert process.wait(timeout=DEADLINE) == 1
