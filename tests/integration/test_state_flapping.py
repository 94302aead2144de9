"""An instance that flaps is held back longer and longer, visibly, and its history outlives a reload."""

from __future__ import annotations

import signal
from pathlib import Path

from cli.layout import seconds_between
from gateway.supervisor.damping import FIRST, FREE
from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway

HEALTH = "interval = 0.1\nhealthy_threshold = 1\nunhealthy_threshold = 1"


def test_a_flapping_instance_is_held_and_comes_back_by_itself(tmp_path: Path) -> None:
    with start_backend("calm") as calm, start_backend("flapping") as flapping:
        config = one_service(calm.url, flapping.url, health=HEALTH)
        with start_gateway(tmp_path, config) as gateway:

            def wait_for(key: str, value: object) -> None:
                gateway.wait_until(lambda: gateway.instance(flapping.address)[key] == value)

            wait_for("eligible", True)
            for _ in range(FREE):
                flapping.set_health(503)
                wait_for("reason", "unhealthy")
                flapping.set_health(200)
                wait_for("reason", "eligible")
            flapping.set_health(503)
            wait_for("reason", "unhealthy")
            flapping.set_health(200)
            wait_for("reason", "held")
            held = gateway.instance(flapping.address)
            assert (held["eligible"], held["health"], held["flaps"]) == (False, "healthy", FREE + 1)
            assert f"flapped {FREE + 1} times; held until " in held["detail"]
            assert held["until"] is not None
            assert {gateway.get("/").headers["x-backend"] for _ in range(10)} == {"calm"}
            fell = held["history"][-2]["at"]
            gateway.config_path.write_text(
                one_service(calm.url, f'{{ url = "{flapping.url}", weight = 2 }}', health=HEALTH)
            )
            gateway.signal(signal.SIGHUP)
            wait_for("weight", 2.0)
            after = gateway.instance(flapping.address)
            assert (after["history"], after["until"]) == (held["history"], held["until"])
            wait_for("reason", "eligible")
            back = gateway.instance(flapping.address)["history"][-1]
            assert (back["who"], back["reason"]) == ("damping", "hold_over")
            assert gateway.get("/").status == 200
            table = gateway.cli("services", "--history", "users").stdout
            assert "its time is over" in table
            story = [
                (event["from"], event["to"], event["who"])
                for event in gateway.events("instance transition")
                if event["instance"] == flapping.address
            ]
            assert story[-3:] == [
                ("eligible", "unhealthy", "probe"),
                ("unhealthy", "held", "probe"),
                ("held", "eligible", "damping"),
            ]
            assert len(story) == len(gateway.instance(flapping.address)["history"]), "a line for every transition"
            assert seconds_between(fell, back["at"]) >= FIRST - 0.1
