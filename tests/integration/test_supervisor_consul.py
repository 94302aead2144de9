"""Zero configuration: services and routes come from Consul alone, and go with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import start_backend
from tests.consul import ConsulServer
from tests.gateways import start_gateway


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def test_tags_make_routes_and_registrations_make_instances(tmp_path: Path, consul: ConsulServer) -> None:
    with (
        start_backend("one") as one,
        start_backend("two") as two,
        start_gateway(tmp_path, arguments=["--consul", consul.address]) as gateway,
    ):
        gateway.wait_until(lambda: gateway.get("/ready").status == 200)
        assert gateway.get("/web/").status == 404
        tags = ["gw.path=/web/*", "gw.health.interval=0.2", "urlprefix-/closed auth=basic"]
        first = consul.register("web", one.port, tags=tags)
        gateway.wait_until(lambda: gateway.get("/web/").status == 200)
        assert gateway.status()["problems"]
        consul.register("web", two.port, tags=tags)
        gateway.wait_until(lambda: two.stats()["requests"] > 0 or not gateway.get("/web/"))
        consul.deregister(first)
        gateway.wait_until(lambda: len(gateway.status()["services"][0]["instances"]) == 1)
        consul.deregister(f"web-{two.port}")
        gateway.wait_until(lambda: gateway.get("/web/").status == 503)


def test_an_unreachable_consul_keeps_what_is_known_and_is_reported(tmp_path: Path, consul: ConsulServer) -> None:
    with start_backend("one") as one, start_gateway(tmp_path, arguments=["--consul", consul.address]) as gateway:
        consul.register("web", one.port, tags=["gw.path=/web/*"])
        gateway.wait_until(lambda: gateway.get("/web/").status == 200)
        consul.kill()
        gateway.wait_until(lambda: any(source["stale"] for source in gateway.status()["discovery"]))
        assert gateway.get("/web/").status == 200
        assert gateway.get("/ready").status == 200


def test_it_is_not_ready_before_consul_has_answered(tmp_path: Path, consul: ConsulServer) -> None:
    consul.kill()
    with start_gateway(tmp_path, workers=1, arguments=["--consul", consul.address]) as gateway:
        answer = gateway.admin_get("/ready")
        assert answer.status == 503
        assert b"consul has not answered yet" in answer.body
        assert gateway.get("/ready").status == 503
        consul.start()
        gateway.wait_until(lambda: gateway.get("/ready").status == 200)
        assert gateway.admin_get("/ready").status == 200
