"""The clock is set, a day ahead and two days back, under load: nobody's health, time-out or heartbeat is a clock's."""

from __future__ import annotations

import os
import struct
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from tests.backends import start_backend, wait_for_checks
from tests.gateway_config import one_service
from tests.gateways import ROOT, start_gateway
from tests.loads import start_load, tell

DAY = 86_400.0

# The fault: in supervisor and workers alike, wall time is what a file says it is off by.
CLOCK = """
import mmap, struct, time

with open({file!r}, "rb") as file:
    ahead = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

def wrap(real, unit):
    return lambda: real() + type(real())(struct.unpack("d", ahead[:8])[0] * unit)

time.time = wrap(time.time, 1)
time.time_ns = wrap(time.time_ns, 10**9)
"""


def test_a_clock_that_is_set_changes_nothing(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", 0.0))
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(file=str(clock)))

    def set_clock(ahead: float) -> None:
        with clock.open("r+b") as file:
            file.write(struct.pack("d", ahead))

    with ExitStack() as stack:
        backends = [stack.enter_context(start_backend(name)) for name in ("one", "two")]
        config = one_service(
            *(each.url for each in backends),
            health="interval = 0.5\ntimeout = 0.4\nunhealthy_threshold = 1",
            outlier="consecutive_failures = 1",
            route="timeout = 5",
        )
        path = os.pathsep.join((str(ROOT), str(tmp_path)))
        gateway = stack.enter_context(start_gateway(tmp_path, config, environment={"PYTHONPATH": path}))
        gateway.wait_until(lambda: len(gateway.eligible()) == 2)
        workers = gateway.worker_pids()

        def probed() -> list[float]:
            at = [gateway.instance(each.address)["last_probe"]["at"] for each in backends]
            return [datetime.fromisoformat(each).timestamp() for each in at]

        with start_load(gateway.listen, connections=16, timeout=30.0) as load:
            load.wait_for(300)
            for ahead in (DAY, -DAY, 0.0):
                set_clock(ahead)
                gateway.wait_until(lambda ahead=ahead: all(abs(at - time.time() - ahead) < 60 for at in probed()))  # type: ignore[misc]
                load.wait_for(300)
                wait_for_checks(backends)
            report = load.stop()
        tell("load", report.summary())
        assert report.failures == ()
        assert gateway.worker_pids() == workers
        assert len(gateway.events("the system's clock was set, or the machine suspended")) == 3
        for each in backends:
            facts = gateway.instance(each.address)
            assert (facts["failures_total"], facts["ejections_total"], facts["flaps"]) == (0, 0, 0)
            assert [entry["to"] for entry in facts["history"]] == ["not_probed", "eligible"]
