"""Least connections counts what is in flight over all workers, not only in the one that picks."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.backends import start_backend, wait_until
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.loads import start_load, tell

CONNECTIONS = 64
SAMPLES = 100


def in_flight(gateway: RunningGateway) -> dict[str, int]:
    """By address, over all workers."""
    return {item["address"]: item["in_flight"] for item in gateway.status()["services"][0]["instances"]}


def wait_all_eligible(gateway: RunningGateway) -> None:
    gateway.wait_until(lambda: all(item["eligible"] for item in gateway.status()["services"][0]["instances"]))


def test_requests_that_stay_are_spread_evenly_by_four_workers(tmp_path: Path) -> None:
    """Nothing ends here, so what differs is what the workers' picks did not know of each other."""
    with ExitStack() as stack:
        backends = [stack.enter_context(start_backend(name)) for name in ("one", "two", "three")]
        gateway = stack.enter_context(
            start_gateway(tmp_path, one_service(*(backend.url for backend in backends)), workers=4)
        )
        wait_all_eligible(gateway)
        load = stack.enter_context(start_load(gateway.listen, "/delay/1.5", connections=96, requests=96))
        gateway.wait_until(lambda: sum(in_flight(gateway).values()) == 96)
        held = sorted(in_flight(gateway).values())
        tell("held", held)
        report = load.wait()
    assert report.failures == ()
    assert held[-1] - held[0] <= 2
    assert max(report.instances.values()) - min(report.instances.values()) <= 2


def test_a_slow_instance_gets_less_and_equal_ones_get_the_same(tmp_path: Path) -> None:
    """Answers come in bursts, which no pick can prevent: a sample may find more than 2 apart, most do not.

    (One worker alone, which knows all, shows the same distribution.)
    """
    with ExitStack() as stack:
        slow = stack.enter_context(start_backend("slow", latency=1.0))
        fast = [stack.enter_context(start_backend(name, latency=0.04)) for name in ("fast-1", "fast-2")]
        config = one_service(slow.url, *(backend.url for backend in fast))
        gateway = stack.enter_context(start_gateway(tmp_path, config, workers=4))
        wait_all_eligible(gateway)
        load = stack.enter_context(start_load(gateway.listen, connections=CONNECTIONS))
        load.wait_for(500)
        gaps = []
        for _ in range(SAMPLES):
            sample = in_flight(gateway)
            gaps.append(abs(sample[fast[0].address] - sample[fast[1].address]))
        report = load.stop()
        tell("load", report.summary())
        tell("gaps between the fast ones", dict(sorted(Counter(gaps).items())))
        wait_until(lambda: not any(in_flight(gateway).values()))
    assert report.failures == ()
    one, two = report.instances["fast-1"], report.instances["fast-2"]
    assert min(one, two) > 5 * report.instances["slow"]
    assert abs(one - two) < 0.1 * (one + two)
    assert median(gaps) <= 2
