"""The gateway runs out of file descriptors: new clients hear 503, those served go on, and no instance is blamed."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gateway.admin.process import read_process
from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.raw_client import RawClient

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = b"GET /delay/0.5 HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


@pytest.fixture
def gateway(tmp_path: Path, backend: Backend) -> Iterator[RunningGateway]:
    config = one_service(backend.url, outlier="consecutive_failures = 1", route="retry_count = 0")
    with start_gateway(tmp_path, config, workers=1) as started:
        started.wait_until(lambda: started.get("/").status == 200)
        yield started


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


@contextmanager
def exhausted(pid: int) -> Iterator[None]:
    """The process may open nothing more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    numbers = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    lowest_free = next(n for n in range(len(numbers) + 1) if n >= len(numbers) or numbers[n] != n)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def cpu(pid: int) -> float:
    found = read_process(pid)
    assert found is not None
    return found.cpu_seconds


def test_a_worker_without_descriptors(gateway: RunningGateway, backend: Backend) -> None:
    (worker,) = gateway.worker_pids()
    with ExitStack() as stack:
        kept = [stack.enter_context(RawClient(gateway.port)) for _ in range(5)]
        for client in kept:  # one after the other: one connection to the instance serves them all
            client.send(GET)
            assert client.answer().status == 200
        with exhausted(worker):
            for _ in range(20):
                with RawClient(gateway.port) as turned_away:
                    turned_away.send(GET)
                    answer = turned_away.answer()
                    assert answer.reason == (503, "connection_limit")
                    assert answer.fields["retry-after"] == "1"
            for client in kept:
                client.send(GET)
                assert client.answer().status == 200
            # Together they need more connections to the instance than there are.
            for client in kept:
                client.send(SLOW)
            statuses = sorted(client.answer().status for client in kept)
            assert statuses[0] == 200
            assert statuses[-1] == 503
            before, began = cpu(worker), time.monotonic()
            with RawClient(gateway.port) as idle:
                assert idle.answer().status == 503
                time.sleep(1.0)  # what is measured is how little is done meanwhile
            assert cpu(worker) - before < 0.3 * (time.monotonic() - began)
        assert gateway.get("/").status == 200  # at once
        for client in kept:
            client.send(GET)
            assert client.answer().status == 200
    instance = gateway.instance(backend.address)
    assert (instance["eligible"], instance["failures_total"]) == (True, 0)
    assert gateway.events("no open file is left: new clients are turned away")
    assert gateway.events("no connection to an instance could be opened here")


def test_clients_do_not_get_the_last_descriptors(gateway: RunningGateway, backend: Backend) -> None:
    """Those of connections to instances are left: idle clients, however many, cannot take them all."""
    (worker,) = gateway.worker_pids()
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (200, before[1]))
    time.sleep(1.1)  # the limit is looked at once a second
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(gateway.port)) for _ in range(250)]
        gateway.wait_until(lambda: gateway.status()["workers"][0]["connections"] > 100)
        served = clients[:40]
        for client in served:
            client.send(SLOW)
        assert [client.answer().status for client in served] == [200] * 40
        assert clients[-1].answer().reason == (503, "connection_limit")
        assert open_files(worker) < 200
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)


def test_a_supervisor_without_descriptors(gateway: RunningGateway, backend: Backend) -> None:
    (worker,) = gateway.worker_pids()
    since = gateway.instance(backend.address)["since"]
    checks = backend.stats()["health_checks"]
    with exhausted(gateway.pid):
        gateway.wait_until(lambda: gateway.events("health checks are in trouble"))
        assert gateway.get("/").status == 200
        os.kill(worker, 9)
        gateway.wait_until(lambda: gateway.events("worker cannot be started"))
        before, began = cpu(gateway.pid), time.monotonic()
        time.sleep(1.0)
        assert cpu(gateway.pid) - before < 0.5 * (time.monotonic() - began)
    gateway.wait_until(lambda: gateway.get("/").status == 200)
    gateway.wait_until(lambda: backend.stats()["health_checks"] > checks + 2)
    gateway.wait_until(lambda: gateway.status()["ready"])
    instance = gateway.instance(backend.address)
    assert (instance["health"], instance["since"]) == ("healthy", since)
    assert gateway.process.poll() is None
