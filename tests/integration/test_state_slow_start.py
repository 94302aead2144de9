"""An instance that begins to take traffic begins with little of it."""

from __future__ import annotations

import time
from pathlib import Path

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway
from tests.loads import start_load, tell

SLOW_START = 3.0  # seconds


def test_its_share_grows_from_a_tenth_to_the_whole(tmp_path: Path) -> None:
    with start_backend("old", latency=0.002) as old, start_backend("new", latency=0.002) as new:
        config = one_service(
            old.url,
            new.url,
            service=f'slow_start = {SLOW_START}\nbalance = "weighted"',
            health="interval = 0.2\nhealthy_threshold = 1",
        )
        new.set_health(503)
        with start_gateway(tmp_path, config) as gateway:
            gateway.wait_until(lambda: gateway.instance(new.address)["health"] == "unhealthy")
            gateway.wait_until(lambda: gateway.instance(old.address)["weight"] == 1.0)
            with start_load(gateway.listen, connections=8) as load:
                load.wait_for(100)
                new.set_health(200)
                gateway.wait_until(lambda: gateway.instance(new.address)["eligible"])
                seen: list[tuple[float, float]] = []  # of the weight, of the requests
                began = time.monotonic()
                while not seen or seen[-1][0] < 1.0:
                    assert time.monotonic() < began + 3 * SLOW_START
                    weight = gateway.instance(new.address)["weight"]
                    before = [each.stats()["requests"] for each in (old, new)]
                    load.wait_for(300)
                    by_old, by_new = (
                        each.stats()["requests"] - count for each, count in zip((old, new), before, strict=True)
                    )
                    seen.append((weight, by_new / (by_old + by_new)))
                report = load.stop()
    tell("share by weight", [(round(weight, 2), round(share, 2)) for weight, share in seen])
    assert report.failures == ()
    weights = [weight for weight, _ in seen]
    assert weights == sorted(weights)
    assert weights[0] < 0.5
    for weight, share in (seen[0], seen[-1]):
        expected = weight / (1.0 + weight)
        assert expected - 0.1 < share < expected + 0.2, "the weight may have grown while it was measured"
    assert seen[0][1] < seen[-1][1]
