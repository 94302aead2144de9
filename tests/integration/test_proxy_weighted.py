"""Weights of 5, 3 and 2 are kept over all workers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway
from tests.loads import start_load, tell

REQUESTS = 20_000


def test_shares_follow_weights(tmp_path: Path) -> None:
    weights = {"five": 5, "three": 3, "two": 2}
    with ExitStack() as stack:
        backends = {name: stack.enter_context(start_backend(name)) for name in weights}
        config = one_service(
            *(f'{{ url = "{backends[name].url}", weight = {weight} }}' for name, weight in weights.items()),
            service='balance = "weighted"',
        )
        gateway = stack.enter_context(start_gateway(tmp_path, config, workers=2))
        gateway.wait_until(lambda: len([i for i in gateway.status()["services"][0]["instances"] if i["eligible"]]) == 3)
        report = stack.enter_context(start_load(gateway.listen, requests=REQUESTS)).wait()
    tell("load", report.summary())
    assert report.failures == ()
    for name, weight in weights.items():
        assert report.instances[name] == pytest.approx(REQUESTS * weight / 10, rel=0.02)
