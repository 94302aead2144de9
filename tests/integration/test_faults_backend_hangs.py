"""A backend stops answering under load (SIGSTOP: the kernel still accepts), and goes on later."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway
from tests.loads import start_load, tell

PER_TRY = 0.5  # seconds
PROBE = 0.5


def test_requests_go_elsewhere_within_the_time_of_one_try(tmp_path: Path) -> None:
    with ExitStack() as stack:
        backends = [stack.enter_context(start_backend(name)) for name in ("one", "two", "three")]
        victim = backends[1]
        config = one_service(
            *(each.url for each in backends),
            health=f"interval = {PROBE}\ntimeout = {PROBE}\nhealthy_threshold = 1\nunhealthy_threshold = 2",
            outlier="consecutive_failures = 3\neject_time = 1.0",
            route=f"timeout = 5.0\nper_try_timeout = {PER_TRY}",
        )
        gateway = stack.enter_context(start_gateway(tmp_path, config))

        def is_eligible() -> bool:
            instances = gateway.status()["services"][0]["instances"]
            return any(item["eligible"] for item in instances if item["address"] == victim.address)

        gateway.wait_until(is_eligible)
        load = stack.enter_context(start_load(gateway.listen, connections=32))
        load.wait_for(1000)
        victim.stop_signal()
        try:
            gateway.wait_until(lambda: not is_eligible())
            load.wait_for(500)
        finally:
            victim.cont()
        before = victim.stats()["requests"]
        gateway.wait_until(lambda: victim.stats()["requests"] > before + 100)
        report = load.stop()
    tell("load", report.summary())
    slow = [seconds for seconds in report.latencies if seconds > PER_TRY * 0.9]
    tell("requests that had to wait for the time of a try", len(slow))
    assert report.failures == ()
    assert report.latencies[-1] < 2 * PER_TRY + 1.0  # a second try may meet it as well, before it is ejected
