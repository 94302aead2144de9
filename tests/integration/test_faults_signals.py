"""Signals at any moment: while the gateway boots, reloads, drains. It never hangs, dies of one, or loses an order."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.backends import start_backend, wait_until
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.loads import start_load

HARMLESS = (signal.SIGHUP, signal.SIGUSR1)
STORM = 3.0  # seconds


def start(folder: Path, *arguments: str) -> RunningGateway:
    """A gateway that may not be ready yet, but is past Python's own start: signals are in its hands."""
    flags = ["--workers", "2", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *arguments]
    gateway = RunningGateway(folder, one_service("http://127.0.0.1:9"), flags, {})

    def holds_signals() -> bool:
        status = Path(f"/proc/{gateway.pid}/status").read_text()
        (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
        return all(int(caught, 16) >> (number - 1) & 1 for number in HARMLESS)

    try:
        wait_until(holds_signals, 20.0, what="signals caught")
    except BaseException:
        gateway.close()
        raise
    return gateway


def no_traceback(gateway: RunningGateway) -> None:
    assert [line for line in gateway.lines if "Traceback" in line or "traceback" in line] == []


def test_a_storm_of_harmless_signals_under_load_and_then_the_end(tmp_path: Path) -> None:
    rng = random.Random(4)
    with start_backend("one") as backend, start_gateway(tmp_path, one_service(backend.url)) as gateway:
        gateway.wait_until(lambda: gateway.get("/").status == 200)
        with start_load(gateway.listen, connections=4) as load:
            end = time.monotonic() + STORM
            while time.monotonic() < end:
                gateway.signal(rng.choice(HARMLESS))
                time.sleep(rng.uniform(0.0, 0.02))
            load.wait_for(50)
            assert load.stop().failures == ()
        gateway.signal(signal.SIGTERM)
        while gateway.process.poll() is None:  # to the very end
            gateway.signal(rng.choice(HARMLESS))
            time.sleep(rng.uniform(0.0, 0.005))
        assert gateway.wait_end() == 0
        no_traceback(gateway)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3, 0.6])
def test_an_order_to_stop_while_it_boots_is_obeyed(tmp_path: Path, delay: float) -> None:
    with start(tmp_path) as gateway:
        time.sleep(delay)
        gateway.signal(signal.SIGHUP)
        gateway.signal(signal.SIGTERM)
        assert gateway.wait_end() == 0
        no_traceback(gateway)


def test_a_storm_while_it_boots_kills_nobody(tmp_path: Path) -> None:
    rng = random.Random(5)
    with start(tmp_path) as gateway:
        while not gateway._find_ready():
            gateway.signal(rng.choice(HARMLESS))
            time.sleep(rng.uniform(0.0, 0.01))
        for pid in gateway.worker_pids():  # as by `pkill -HUP -f gateway.worker`
            os.kill(pid, signal.SIGHUP)
        assert gateway.status()["ready"]
        gateway.signal(signal.SIGINT)
        assert gateway.wait_end() == 0
        no_traceback(gateway)


def test_orders_to_stop_may_come_many_at_a_time(tmp_path: Path) -> None:
    rng = random.Random(6)
    with start_backend("one") as backend, start_gateway(tmp_path, one_service(backend.url)) as gateway:
        gateway.wait_until(lambda: gateway.get("/").status == 200)
        for _ in range(20):
            gateway.signal(rng.choice((*HARMLESS, signal.SIGTERM, signal.SIGINT)))
        gateway.signal(signal.SIGTERM)
        assert gateway.wait_end() == 0
        no_traceback(gateway)
