"""Processes stand still: one worker (replaced, its stack in the log), or all of them (nobody's fault)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend, wait_for_checks
from tests.gateway_config import one_service
from tests.gateways import ROOT, RunningGateway, start_gateway
from tests.loads import start_load, tell

SUSPENDED = 7.0  # seconds: longer than the patience with a worker, and than the route's timeout


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(start_backend(name)) for name in ("one", "two")]


@pytest.fixture
def gateway(tmp_path: Path, backends: list[Backend]) -> Iterator[RunningGateway]:
    config = one_service(
        *(each.url for each in backends),
        health="interval = 0.5\ntimeout = 0.4\nunhealthy_threshold = 1",
        outlier="consecutive_failures = 1",
        route="timeout = 2",
    )
    with start_gateway(tmp_path, config) as started:
        started.wait_until(lambda: len(started.eligible()) == 2)
        yield started


def test_a_whole_gateway_that_was_suspended_goes_on(gateway: RunningGateway, backends: list[Backend]) -> None:
    workers = gateway.worker_pids()
    since = [gateway.instance(each.address)["since"] for each in backends]
    everybody = [gateway.pid, *workers]
    with start_load(gateway.listen, connections=32, timeout=30.0) as load:
        load.wait_for(300)
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(SUSPENDED)
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)
        load.wait_for(300)
        wait_for_checks(backends)
        report = load.stop()
    tell("load", report.summary())
    assert report.failures == ()
    assert gateway.worker_pids() == workers
    assert [gateway.instance(each.address)["since"] for each in backends] == since
    assert [gateway.instance(each.address)["failures_total"] for each in backends] == [0, 0]


def test_a_worker_that_hangs_is_replaced_and_its_queue_served(gateway: RunningGateway) -> None:
    stuck, other = gateway.worker_pids()
    os.kill(stuck, signal.SIGSTOP)
    began = time.monotonic()
    with start_load(gateway.listen, connections=8, timeout=30.0) as load:
        gateway.wait_until(lambda: gateway.events("worker is stuck, aborting it"))
        found = time.monotonic() - began
        gateway.wait_until(lambda: gateway.status()["workers"][0]["restarts"] == 1 and gateway.status()["ready"], 40.0)
        replaced = time.monotonic() - began
        load.wait_for(200)
        report = load.stop()
    tell("load", report.summary())
    tell("seconds until found, replaced", (round(found, 1), round(replaced, 1)))
    assert gateway.worker_pids()[1] == other
    # Connections that were queued for the stopped worker wait for its successor; none was established in it.
    assert report.failures == ()


SPIN = """
import signal, sys

def spin_for_ever(*_):
    while True:
        pass

if "gateway.worker" in sys.orig_argv:
    signal.signal(signal.SIGRTMIN, spin_for_ever)
"""


def test_a_worker_that_spins_leaves_its_stack_and_is_replaced(tmp_path: Path, backends: list[Backend]) -> None:
    (tmp_path / "sitecustomize.py").write_text(SPIN)  # the fault: Python code that never ends, in the worker's thread
    path = os.pathsep.join((str(ROOT), str(tmp_path)))
    config = one_service(*(each.url for each in backends))
    with start_gateway(tmp_path, config, environment={"PYTHONPATH": path}) as gateway:
        gateway.wait_until(lambda: len(gateway.eligible()) == 2)
        spinning, other = gateway.worker_pids()
        os.kill(spinning, signal.SIGRTMIN)
        gateway.wait_until(lambda: gateway.events("worker is stuck, aborting it"))
        gateway.wait_until(lambda: gateway.status()["workers"][0]["restarts"] == 1 and gateway.status()["ready"])
        assert gateway.events("worker died")[0]["how"] == "killed by SIGABRT"
        assert any("in spin_for_ever" in line for line in gateway.lines)
        assert gateway.worker_pids()[1] == other
        assert gateway.get("/").status == 200


def test_the_stack_of_an_aborted_worker_reaches_the_operator(gateway: RunningGateway) -> None:
    worker = gateway.worker_pids()[0]
    os.kill(worker, signal.SIGABRT)  # what the supervisor sends to a worker that is stuck
    gateway.wait_until(lambda: gateway.status()["workers"][0]["restarts"] == 1)
    gateway.wait_until(lambda: any("Fatal Python error: Aborted" in line for line in gateway.lines))
    gateway.wait_until(lambda: any("gateway/worker/" in line for line in gateway.lines))
    assert gateway.events("worker died")[0]["how"] == "killed by SIGABRT"
