"""No instance has more requests in flight than allowed, over all workers."""

from __future__ import annotations

from pathlib import Path

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway
from tests.loads import start_load, tell

LIMIT = 3
WORKERS = 4


def test_what_is_beyond_the_limit_goes_to_another_instance_or_is_503(tmp_path: Path) -> None:
    with start_backend("one", latency=0.05) as one, start_backend("two", latency=0.05) as two:
        config = one_service(one.url, two.url, service=f"max_in_flight = {LIMIT}")
        with start_gateway(tmp_path, config, workers=WORKERS) as gateway:
            gateway.wait_until(lambda: len(gateway.eligible()) == 2)
            with start_load(gateway.listen, connections=2 * LIMIT - 2) as load:
                load.wait_for(100)
                few = load.stop()
            with start_load(gateway.listen, connections=32, expect=(200, 503)) as load:
                load.wait_for(2000)
                many = load.stop()
            most = [each.stats()["slow_most"] for each in (one, two)]
            assert gateway.instance(one.address)["eligible"], "being at its limit is no fault"
            refused = gateway.admin_get("/metrics").body.decode()
    tell("with 4 connections", few.summary())
    tell("with 32 connections", many.summary())
    tell("most at once", most)
    assert few.failures == ()
    assert many.failures == ()
    assert set(many.statuses) == {200, 503}
    assert many.statuses[200] > 10
    assert 'code="503"' in refused
    assert max(most) <= LIMIT
