"""Traffic follows a real Consul: weights, a new instance, a critical one, a deregistered one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.backends import Backend, start_backend
from tests.consul import ConsulServer
from tests.gateways import ROOT, RunningGateway, start_gateway
from tests.loads import start_load, tell

CONFIG = """
[log]
access = "off"
[[services]]
name = "users"
consul = "user-service"
balance = "weighted"
[services.health]
interval = 0.5
[[routes]]
path = "/users/*"
service = "users"
"""
WEIGHTS = {"five": 5, "three": 3, "two": 2}
LATENCY = 0.02  # seconds: the load leaves CPUs for what is measured


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def gw(consul: ConsulServer, *arguments: str) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli.app", *arguments, "--consul", consul.address],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def register(consul: ConsulServer, backend: Backend, weight: int) -> str:
    where = ("--address", "127.0.0.1", "--port", str(backend.port))
    return gw(consul, "register", "user-service", *where, "--weight", str(weight), "--check-ttl", "3600")


def instances(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["address"]: item for item in status["services"][0]["instances"]}


def wait_adopted(gateway: RunningGateway, backend: Backend, *, eligible: bool) -> float:
    """Until every worker uses a generation in which the instance is as said; a moment at which that held."""
    found = 0.0

    def is_adopted() -> bool:
        nonlocal found
        status = gateway.status()
        known = instances(status).get(backend.address)
        found = time.monotonic()
        is_known = (
            known is not None and known["eligible"] is eligible if eligible else not (known and known["eligible"])
        )
        return is_known and all(worker["generation"] == status["generation"] for worker in status["workers"])

    gateway.wait_until(is_adopted)
    return found


def test_traffic_follows_consul(tmp_path: Path, consul: ConsulServer) -> None:
    with ExitStack() as stack:
        gateway = stack.enter_context(start_gateway(tmp_path, CONFIG, arguments=["--consul", consul.address]))
        backends = {name: stack.enter_context(start_backend(name, latency=LATENCY)) for name in (*WEIGHTS, "new")}
        ids = {name: register(consul, backends[name], weight) for name, weight in WEIGHTS.items()}
        for name in WEIGHTS:
            wait_adopted(gateway, backends[name], eligible=True)

        with start_load(gateway.listen, "/users/1", connections=16, requests=1000) as load:
            report = load.wait()
        tell("three instances", report.summary())
        assert report.failures == ()
        for name, weight in WEIGHTS.items():
            assert report.instances[name] == pytest.approx(1000 * weight / 10, rel=0.02)

        load = stack.enter_context(start_load(gateway.listen, "/users/1", connections=16))
        load.wait_for(100)
        new = backends["new"]
        ids["new"] = register(consul, new, 5)
        gateway.wait_until(lambda: new.stats()["requests"] > 0)
        stats = new.stats()
        delay = stats["first_request_at"] - stats["first_health_check_at"]
        tell("ms from the first probe of the new instance to its first request", round(delay * 1000, 1))
        assert 0 < delay < 0.1

        consul.set_check(ids["five"], "critical", "on fire")
        adopted = wait_adopted(gateway, backends["five"], eligible=False)
        load.wait_for(300)
        gone = backends["five"].stats()
        late = adopted - gone["last_request_at"]
        tell("ms from its last request to the moment its end was seen", round(late * 1000, 1))
        assert late >= 0
        assert instances(gateway.status())[backends["five"].address]["reason"] == "critical"

        consul.set_check(ids["five"], "passing")
        wait_adopted(gateway, backends["five"], eligible=True)
        before = backends["five"].stats()["requests"]
        gateway.wait_until(lambda: backends["five"].stats()["requests"] > before)

        gw(consul, "deregister", ids["three"])
        adopted = wait_adopted(gateway, backends["three"], eligible=False)
        load.wait_for(300)
        assert backends["three"].stats()["last_request_at"] <= adopted
        assert backends["three"].address not in instances(gateway.status())
        report = load.stop()
    tell("changes under load", report.summary())
    assert report.failures == ()
