"""All instances fail at once: status and log suspect the gateway's own network, and withdraw it when it is over."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway


def test_a_common_failure_is_said_and_withdrawn(tmp_path: Path) -> None:
    with ExitStack() as stack:
        backends = [stack.enter_context(start_backend(f"b{number}")) for number in range(3)]
        config = one_service(*(backend.url for backend in backends))
        gateway = stack.enter_context(start_gateway(tmp_path, config))
        gateway.wait_until(lambda: all(each["eligible"] for each in gateway.status()["services"][0]["instances"]))
        assert gateway.status()["problems"] == []
        for backend in backends:
            backend.kill()
        gateway.wait_until(lambda: gateway.status()["problems"])
        (problem,) = gateway.status()["problems"]
        assert problem["origin"] == "gateway: health checks"
        assert problem["message"].startswith("3 of 3 instances (1 address) began to fail their health checks at once")
        for backend in backends:
            backend.restart()
        gateway.wait_until(lambda: gateway.status()["problems"] == [])
        said = [line for line in gateway.lines if '"event": "health checks' in line]
        assert ["in trouble" in line and problem["message"] in line for line in said] == [True, False]
        assert "out of trouble" in said[1]
