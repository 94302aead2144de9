"""Gateways with other numbers of workers replace each other under load."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import replace_gateway, start_gateway
from tests.loads import start_load, tell


def test_one_worker_then_three_then_two(tmp_path: Path) -> None:
    with ExitStack() as stack:
        backend = stack.enter_context(start_backend("one", latency=0.05))
        config = one_service(backend.url)
        gateway = stack.enter_context(start_gateway(tmp_path, config, workers=1))
        gateway.wait_until(gateway.eligible)
        load = stack.enter_context(start_load(gateway.listen, connections=6, headers=(("Connection", "close"),)))
        load.wait_for(20)
        for workers in (3, 2):
            before, gateway = gateway, stack.enter_context(replace_gateway(gateway, config, workers=workers))
            assert before.process.wait(20) == 0
            load.wait_for(20)
        status = gateway.status()
        report = load.stop()
    tell("load", report.summary())
    assert report.failures == ()
    assert [worker["state"] for worker in status["workers"]] == ["serving", "serving"]
