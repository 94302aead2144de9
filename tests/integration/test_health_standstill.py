"""The supervisor stands still for a while: nothing is marked down for what it could not ask or read meanwhile."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway

STANDSTILL = 2.0  # seconds, four times as long as a probe may take


def test_a_standstill_of_the_prober_is_not_its_instances_fault(tmp_path: Path) -> None:
    with ExitStack() as stack:
        backends = [stack.enter_context(start_backend(f"b{number}", health=200)) for number in range(4)]
        for backend in backends:
            backend.control(health_latency=0.05)  # so that probes are in flight at any time
        health = "interval = 0.2\ntimeout = 0.5\nunhealthy_threshold = 1"
        config = one_service(*(backend.url for backend in backends), health=health)
        gateway = stack.enter_context(start_gateway(tmp_path, config))

        def known() -> list[tuple[str, Any]]:
            return [(each["health"], each["since"]) for each in gateway.status()["services"][0]["instances"]]

        gateway.wait_until(lambda: [health for health, _ in known()] == ["healthy"] * 4)
        before = known()
        gateway.signal(signal.SIGSTOP)
        time.sleep(STANDSTILL)
        gateway.signal(signal.SIGCONT)
        checks = [backend.stats()["health_checks"] for backend in backends]
        gateway.wait_until(
            lambda: all(b.stats()["health_checks"] > c + 2 for b, c in zip(backends, checks, strict=True))
        )
        assert known() == before
        assert gateway.status()["problems"] == []
