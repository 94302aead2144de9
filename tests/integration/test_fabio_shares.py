"""Several services, and instances of one, on the same path in a real Consul: who gets how much of the traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.consul import ConsulServer
from tests.gateways import RunningGateway, start_gateway
from tests.loads import start_load, tell

CONFIG = """
[log]
access = "off"
"""
OPTIONS = ("gw.health.interval=0.5", "gw.balance=round_robin")  # the instances of a part take turns
REQUESTS = 1000


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def wait_eligible(gateway: RunningGateway, *backends: Backend) -> None:
    """Until every worker uses a generation in which these instances take traffic, and no others exist."""

    def is_so() -> bool:
        status = gateway.status()
        eligible = [each["address"] for one in status["services"] for each in one["instances"] if each["eligible"]]
        return sorted(eligible) == sorted(each.address for each in backends) and all(
            worker["generation"] == status["generation"] for worker in status["workers"]
        )

    gateway.wait_until(is_so)


def parts(gateway: RunningGateway, path: str) -> dict[str, float]:
    """Which part of the requests each backend answers."""
    with start_load(gateway.listen, path, connections=8, requests=REQUESTS) as load:
        report = load.wait()
    assert report.failures == ()
    taken = {name: count / report.requests for name, count in report.instances.items()}
    tell(f"parts of {path}", taken)
    return taken


def routes_to(gateway: RunningGateway, service: str) -> list[str]:
    """The options of each route to a service."""
    routes = json.loads(gateway.admin_get("/api/routes").body)["routes"]
    return sorted(route["options"] for route in routes if route["service"] == service)


def test_traffic_is_shared_as_fabio_shares_it(tmp_path: Path, consul: ConsulServer) -> None:
    with ExitStack() as stack:
        a, b, c, d = (stack.enter_context(start_backend(name)) for name in "abcd")
        consul.register("old", a.port, tags=["urlprefix-/auth", "urlprefix-/own", *OPTIONS])
        consul.register("old", b.port, tags=["urlprefix-/auth", *OPTIONS])
        consul.register("new", c.port, tags=["urlprefix-/auth weight=0.2", *OPTIONS])
        gateway = stack.enter_context(start_gateway(tmp_path, CONFIG, arguments=["--consul", consul.address]))
        wait_eligible(gateway, a, b, c)

        # the fraction, then equal parts of the rest
        assert parts(gateway, "/auth/") == pytest.approx({"a": 0.4, "b": 0.4, "c": 0.2}, abs=0.02)
        assert parts(gateway, "/own") == {"a": 1.0}

        # a fraction is each instance's own
        consul.register("new", d.port, tags=["urlprefix-/auth weight=0.2", *OPTIONS])
        wait_eligible(gateway, a, b, c, d)
        assert parts(gateway, "/auth/") == pytest.approx({"a": 0.3, "b": 0.3, "c": 0.2, "d": 0.2}, abs=0.02)

        # without fractions every instance counts, whatever its service
        consul.register("new", c.port, tags=["urlprefix-/auth", *OPTIONS])
        consul.register("new", d.port, tags=["urlprefix-/auth weight=0", *OPTIONS])
        gateway.wait_until(lambda: routes_to(gateway, "new") == ["", "weight=0"])
        wait_eligible(gateway, a, b, c, d)
        assert parts(gateway, "/auth/") == pytest.approx({"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}, abs=0.02)

        # instances of one service may differ
        consul.register("new", d.port, tags=["urlprefix-/auth weight=.05", *OPTIONS])
        consul.deregister(f"new-{c.port}")
        wait_eligible(gateway, a, b, d)
        assert parts(gateway, "/auth/") == pytest.approx({"a": 0.475, "b": 0.475, "d": 0.05}, abs=0.02)

        # what is gone leaves its part to the others
        consul.deregister(f"new-{d.port}")
        wait_eligible(gateway, a, b)
        assert parts(gateway, "/auth/") == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.02)
