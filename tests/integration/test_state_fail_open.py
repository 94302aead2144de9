"""A service that has lost too many instances uses them all, and says so wherever somebody may look."""

from __future__ import annotations

from pathlib import Path

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway

METRIC = 'gw_service_failing_open{service="users"} '


def test_failing_open_is_loud_and_leaves_out_what_an_operator_took_out(tmp_path: Path) -> None:
    with start_backend("one") as one, start_backend("two") as two, start_backend("three") as three:
        config = one_service(one.url, two.url, three.url, service="fail_open_below = 60")
        with start_gateway(tmp_path, config) as gateway:
            gateway.wait_until(lambda: len(gateway.eligible()) == 3)
            assert METRIC + "0.0" in gateway.admin_get("/metrics").body.decode()
            for sick in (one, two):
                sick.set_health(503)
            gateway.wait_until(lambda: gateway.status()["services"][0]["failing_open"])
            assert {gateway.get("/").headers["x-backend"] for _ in range(30)} == {"one", "two", "three"}
            known = gateway.instance(one.address)
            assert (known["reason"], known["health"], known["eligible"]) == ("fail_open", "unhealthy", True)
            (problem,) = gateway.status()["problems"]
            assert "fails open" in problem["message"]
            assert METRIC + "1.0" in gateway.admin_get("/metrics").body.decode()
            (line,) = gateway.events("service fails open")
            assert (line["level"], line["service"]) == ("error", "users")
            assert "FAILS OPEN" in gateway.cli("status").stdout
            gateway.admin_post("/api/drain", {"service": "users", "instance": one.address})
            gateway.wait_until(lambda: {gateway.get("/").headers["x-backend"] for _ in range(9)} == {"two", "three"})
            two.set_health(200)
            gateway.wait_until(lambda: not gateway.status()["services"][0]["failing_open"])
            gateway.wait_until(lambda: gateway.events("service fails open no more"))
            assert gateway.status()["problems"] == []
