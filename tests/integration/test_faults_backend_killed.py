"""A backend dies under load, and comes back: requests that may be repeated do not notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.loads import start_load, tell

CONNECTIONS = 32


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(start_backend(name)) for name in ("one", "two", "three")]


@pytest.fixture
def gateway(tmp_path: Path, backends: list[Backend]) -> Iterator[RunningGateway]:
    health = "interval = 0.5\ntimeout = 0.5\nhealthy_threshold = 1\nunhealthy_threshold = 2"
    with start_gateway(tmp_path, one_service(*(each.url for each in backends), health=health)) as started:
        started.wait_until(lambda: len(eligible(started)) == 3)
        yield started


def eligible(gateway: RunningGateway) -> list[str]:
    return [item["address"] for item in gateway.status()["services"][0]["instances"] if item["eligible"]]


def unhealthy(gateway: RunningGateway) -> list[str]:
    """By the probes; an ejection comes sooner, and is another matter."""
    instances = gateway.status()["services"][0]["instances"]
    return [item["address"] for item in instances if item["health"] == "unhealthy"]


def test_no_get_fails_and_the_instance_takes_traffic_again(gateway: RunningGateway, backends: list[Backend]) -> None:
    """Many failures at once eject it for 30 s, but the probes see it go and come: it takes traffic when it is back."""
    victim = backends[1]
    with start_load(gateway.listen, connections=CONNECTIONS) as load:
        load.wait_for(1000)
        victim.kill()
        load.wait_for(500)
        gateway.wait_until(lambda: victim.address in unhealthy(gateway))
        load.wait_for(500)
        victim.start()
        gateway.wait_until(lambda: victim.stats()["requests"] > 100)
        report = load.stop()
    (known,) = [item for item in gateway.status()["services"][0]["instances"] if item["address"] == victim.address]
    tell("load", report.summary())
    tell("failed attempts on the killed instance", known["failures_total"])
    assert report.failures == ()
    assert known["failures_total"] <= 2 * CONNECTIONS  # those in flight, and few tries after


def test_posts_fail_only_where_they_may_have_been_acted_on(gateway: RunningGateway, backends: list[Backend]) -> None:
    victim = backends[1]
    with start_load(gateway.listen, connections=CONNECTIONS, method="POST", body=100) as load:
        load.wait_for(1000)
        victim.kill()
        load.wait_for(500)
        gateway.wait_until(lambda: victim.address not in eligible(gateway))
        load.wait_for(500)
        report = load.stop()
    tell("load", report.summary())
    assert report.failed <= CONNECTIONS
    assert set(report.causes()) <= {"status 502 upstream_reset"}
