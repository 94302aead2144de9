"""A worker without descriptors left says so, turns away and counts what it cannot accept, and goes on later."""

from __future__ import annotations

import re
import resource
from pathlib import Path

from tests.gateways import RunningGateway, start_gateway
from tests.raw_client import RawClient


def metric(gateway: RunningGateway, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", gateway.admin_get("/metrics").body.decode(), re.MULTILINE)
    assert found, name
    return float(found[1])


def test_connections_that_cannot_be_accepted_are_counted_and_turned_away(tmp_path: Path) -> None:
    with start_gateway(tmp_path, workers=1) as gateway:
        [worker] = gateway.worker_pids()
        assert metric(gateway, "gw_client_connections_accept_errors_total") == 0
        used = {int(each.name) for each in Path(f"/proc/{worker}/fd").iterdir()}
        assert metric(gateway, 'process_open_fds{process="worker-0"}') == len(used)
        soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        assert metric(gateway, 'process_max_fds{process="worker-0"}') == soft
        lowest_free = min(set(range(len(used) + 1)) - used)  # the one that accept(2) would take
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (lowest_free, hard))
        with RawClient(gateway.port) as client:
            assert client.answer().reason == (503, "connection_limit")
        gateway.wait_until(lambda: metric(gateway, "gw_client_connections_accept_errors_total") > 0)
        assert gateway.events("no open file is left: new clients are turned away")[0]["error"]
        assert metric(gateway, "gw_client_connections_accepted_total") == 0
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
        assert gateway.get("/nowhere").status == 404
