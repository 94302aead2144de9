"""A worker is killed under load: what it had in flight is lost, nothing else, and it is back at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.loads import start_load, tell


def totals(status: dict[str, Any]) -> dict[str, float]:
    """Everything in the status that counts."""
    found = {"requests": status["traffic"]["requests_total"], "seconds": status["traffic"]["duration_seconds_sum"]}
    found |= {f"code {code}": count for code, count in status["traffic"]["codes"].items()}
    found |= {f"bucket {n}": count for n, count in enumerate(status["traffic"]["duration_counts"])}
    for item in status["services"][0]["instances"]:
        for name in ("requests_total", "failures_total", "responses_total", "latency_seconds_sum"):
            found[f"{item['address']} {name}"] = item[name]
    return found


def counters(gateway: RunningGateway) -> dict[str, float]:
    """Every counter that Prometheus reads, but those of processes: a new one starts from 0."""
    lines = gateway.admin_get("/metrics").body.decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    kinds = ("_total", "_bucket", "_count", "_sum")
    return {
        series: float(value)
        for series, _, value in pairs
        if series.partition("{")[0].endswith(kinds) and not series.startswith("process_")
    }


class Watch:
    """Reads the status all the time; remembers every total that went backward."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.backward: list[str] = []
        self.samples = 0
        self.status = gateway.status()
        self._gateway = gateway
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        last: dict[str, float] = {}
        while not self._stop.wait(0.05):  # seldom enough not to be the load itself
            self.status = self._gateway.status()
            now = {**totals(self.status), **counters(self._gateway)}
            self.samples += 1
            self.backward += [f"{name}: {last[name]} -> {now[name]}" for name in last if now[name] < last[name]]
            last = now


def test_only_what_was_in_flight_is_lost(tmp_path: Path) -> None:
    with ExitStack() as stack:
        backends = [stack.enter_context(start_backend(name, latency=0.1)) for name in ("one", "two")]
        began = time.monotonic()
        gateway = stack.enter_context(start_gateway(tmp_path, one_service(*(each.url for each in backends)), workers=2))
        boot = time.monotonic() - began  # of everything: how fast the machine is just now
        gateway.wait_until(lambda: all(i["eligible"] for i in gateway.status()["services"][0]["instances"]))
        load = stack.enter_context(start_load(gateway.listen, connections=32))
        load.wait_for(200)
        watch = stack.enter_context(Watch(gateway))
        gateway.wait_until(lambda: watch.samples > 3)
        victim = watch.status["workers"][0]
        os.kill(victim["pid"], signal.SIGKILL)
        gateway.wait_until(lambda: watch.status["workers"][0]["restarts"] == 1 and watch.status["ready"])
        load.wait_for(200)
        report = load.stop()
        gateway.wait_until(lambda: not any(i["in_flight"] for i in gateway.status()["services"][0]["instances"]))
        gateway.wait_until(lambda: not any(w["in_flight"] for w in gateway.status()["workers"]))
        status = gateway.status()
    tell("load", report.summary())
    tell("connections of the killed worker", victim["connections"])
    tell("samples of the totals", watch.samples)
    assert 0 < report.failed <= victim["connections"]
    assert set(report.causes()) <= {"ConnectionResetError", "closed before a whole answer"}
    # A connection queued for the dead worker is served by its successor: after 0.4 s when CPUs are not wanting.
    assert report.latencies[-1] < max(1.0, 2 * boot)
    assert watch.backward == []
    assert [worker["restarts"] for worker in status["workers"]] == [1, 0]
