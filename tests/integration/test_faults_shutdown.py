"""The end of the gateway: drained with requests in flight, or its supervisor killed."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend, wait_until
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, is_running, start_gateway
from tests.loads import start_load, tell

SLOW = 16


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


@pytest.fixture
def gateway(tmp_path: Path, backend: Backend) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path, one_service(backend.url)) as started:
        started.wait_until(lambda: started.get("/").status == 200)
        yield started


def in_flight(gateway: RunningGateway) -> int:
    return sum(worker["in_flight"] for worker in gateway.status()["workers"])


def test_sigterm_lets_slow_requests_finish_and_exits_0(gateway: RunningGateway) -> None:
    pids = gateway.worker_pids()
    with start_load(gateway.listen, "/delay/2", connections=SLOW, requests=SLOW) as load:
        gateway.wait_until(lambda: in_flight(gateway) == SLOW)
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        code = gateway.wait_end()
        took = time.monotonic() - began
        report = load.wait()
    tell("load", report.summary())
    tell("seconds from SIGTERM to the end", round(took, 2))
    assert code == 0
    assert report.failures == ()
    assert report.requests == SLOW
    assert not any(map(is_running, pids))


def test_sigterm_under_load_cuts_no_answer_short(gateway: RunningGateway) -> None:
    """Clients that knock after the end are turned away; nobody who was heard is left without an answer."""
    with start_load(gateway.listen, connections=32) as load:
        load.wait_for(500)
        gateway.signal(signal.SIGTERM)
        code = gateway.wait_end()
        report = load.stop()
    tell("load", report.summary())
    assert code == 0
    assert set(report.causes()) <= {"connect: ConnectionRefusedError"}


def test_a_connection_kept_after_a_long_answer_does_not_hold_up_the_end(gateway: RunningGateway) -> None:
    """The answer began before the drain, so it could not announce that the connection ends with it."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("GET", "/stream/10?interval=0.1")
    response = connection.getresponse()
    gateway.signal(signal.SIGTERM)
    began = time.monotonic()
    assert len(response.read()) == 160
    assert gateway.wait_end() == 0
    tell("seconds from SIGTERM to the end", round(time.monotonic() - began, 2))
    assert time.monotonic() - began < 5.0  # drain_timeout is 30
    connection.close()


def test_a_second_sigterm_ends_it_at_once(gateway: RunningGateway) -> None:
    with start_load(gateway.listen, "/delay/20", connections=4, requests=4) as load:
        gateway.wait_until(lambda: in_flight(gateway) == 4)
        gateway.signal(signal.SIGTERM)
        gateway.wait_until(lambda: gateway.status()["draining"])
        gateway.signal(signal.SIGTERM)
        gateway.wait_end(10.0)
        assert load.wait().failed == 4


def test_workers_outlive_a_killed_supervisor_for_a_while_and_leave_nothing(gateway: RunningGateway) -> None:
    shared = set(os.listdir("/dev/shm"))  # noqa: PTH208
    pids = gateway.worker_pids()
    with start_load(gateway.listen, connections=8) as load:
        load.wait_for(200)
        gateway.signal(signal.SIGKILL)
        killed = time.monotonic()
        gateway.process.wait(10)
        wait_until(lambda: time.monotonic() > killed + 2.0, what="two seconds")
        assert all(map(is_running, pids))
        report = load.stop()
        tell("load", report.summary())
        assert report.failures == ()  # new connections too: the sockets are the workers' as well
    with start_load(gateway.listen, connections=8) as later:
        later.wait_for(50)
        wait_until(lambda: not any(map(is_running, pids)), 30.0, what="the end of the workers")
        tell("seconds until the workers were gone", round(time.monotonic() - killed, 2))
    assert set(os.listdir("/dev/shm")) == shared  # noqa: PTH208
