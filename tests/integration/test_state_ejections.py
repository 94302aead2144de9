"""What one worker concludes from real traffic holds in all of them at once, and ends as its reason allows."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.ledger_peek import generations, open_ledger

WORKERS = 4
MOMENT = 0.5  # seconds; the supervisor looks by itself every second


class Busy(http.server.BaseHTTPRequestHandler):
    """Well by its probes, and unable to answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
        """Says nothing."""


@contextmanager
def busy_instance() -> Iterator[str]:
    """The address of an instance that answers 503 to everything but probes."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def eject(gateway: RunningGateway) -> None:
    """Ask one worker alone, over one connection, until it has ejected somebody and all workers know."""
    ledger = open_ledger(gateway.pid)
    gateway.wait_until(lambda: not any(ledger.ejected_until(0, 2)))  # a worker ends its ejection a tick after its time
    before = max(generations(ledger))
    host, _, port = gateway.listen.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    while not any(ledger.ejected_until(0, 2)):
        connection.request("GET", "/")
        connection.getresponse().read()
    end = time.monotonic() + MOMENT
    while min(generations(ledger)) <= before:
        assert time.monotonic() < end, "an ejection did not reach every worker"
    connection.close()


def story(gateway: RunningGateway, address: str) -> list[tuple[str, str, str]]:
    return [(each["to"], each["who"], each["reason"]) for each in gateway.instance(address)["history"]]


def test_failing_answers_eject_for_all_workers_and_probes_do_not_undo_it(tmp_path: Path) -> None:
    with busy_instance() as busy, start_backend("well") as well:
        config = one_service(
            f"http://{busy}", well.url, outlier="consecutive_failures = 3\neject_time = 2", route="retry_count = 0"
        )
        with start_gateway(tmp_path, config, workers=WORKERS) as gateway:
            gateway.wait_until(lambda: len(gateway.eligible()) == 2)
            eject(gateway)
            assert {gateway.get("/").status for _ in range(20)} == {200}, "some worker still asks the ejected one"
            known = gateway.instance(busy)
            assert (known["reason"], known["health"], known["eligible"]) == ("ejected", "healthy", False)
            assert known["detail"].startswith("status 503, failure 3 in a row: ejected for 2 s, ejection 1 (worker ")
            probes = known["checks_ok"]
            gateway.wait_until(lambda: gateway.instance(busy)["checks_ok"] > probes + 1)
            assert gateway.instance(busy)["reason"] == "ejected"
            gateway.wait_until(lambda: gateway.instance(busy)["reason"] == "eligible")
            assert story(gateway, busy)[-2:] == [
                ("ejected", "outlier", "ejected"),
                ("eligible", "outlier", "ejection_over"),
            ]
            eject(gateway)
            assert "ejected for 4 s, ejection 2" in gateway.instance(busy)["detail"], "whichever worker it was"


def restart_seen(gateway: RunningGateway, backend: Backend) -> None:
    backend.start()
    gateway.wait_until(lambda: gateway.instance(backend.address)["reason"] == "eligible")


def test_refused_connections_eject_until_a_probe_succeeds(tmp_path: Path) -> None:
    """The probes never call it unhealthy here: what brings it back is that one of them succeeded."""
    with start_backend("one") as one, start_backend("two") as two:
        config = one_service(
            one.url,
            two.url,
            health="interval = 0.5\nunhealthy_threshold = 1000",
            outlier="consecutive_failures = 1\neject_time = 60",
        )
        with start_gateway(tmp_path, config, workers=WORKERS) as gateway:
            gateway.wait_until(lambda: len(gateway.eligible()) == 2)
            one.kill()
            eject(gateway)
            known = gateway.instance(one.address)
            assert (known["reason"], known["health"]) == ("ejected", "healthy")
            assert "connect_refused" in known["detail"]
            restart_seen(gateway, one)
            assert story(gateway, one.address)[-1] == ("eligible", "probe", "ejection_refuted")
            gateway.wait_until(lambda: gateway.get("/").headers["x-backend"] == "one", 5.0)
            assert gateway.instance(one.address)["ejections_total"] == 1
