"""An operator drains an instance: what is in flight finishes, nothing new comes, and only an operator ends it."""

from __future__ import annotations

import json
import signal
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway


@pytest.fixture
def one() -> Iterator[Backend]:
    with start_backend("one") as backend:
        yield backend


@pytest.fixture
def two() -> Iterator[Backend]:
    with start_backend("two") as backend:
        yield backend


@pytest.fixture
def gateway(tmp_path: Path, one: Backend, two: Backend) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path, one_service(one.url, two.url)) as started:
        started.wait_until(lambda: len(started.eligible()) == 2)
        yield started


def hang(gateway: RunningGateway) -> socket.socket:
    """A request that is never answered; closing its connection resets it."""
    sock = socket.create_connection(("127.0.0.1", gateway.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
    return sock


def test_waiting_for_a_drain_ends_with_the_last_request(gateway: RunningGateway, one: Backend) -> None:
    with ExitStack() as requests, ThreadPoolExecutor(1) as pool:
        for _ in range(8):
            requests.enter_context(hang(gateway))
        gateway.wait_until(lambda: gateway.instance(one.address)["in_flight"] > 1)
        hurried = gateway.cli("drain", "users", one.address, "--wait", "--timeout", "0.1")
        assert hurried.returncode == 1
        assert "requests are left" in hurried.stderr
        waiting = pool.submit(gateway.cli, "drain", "users", one.address, "--wait")
        left = gateway.instance(one.address)["in_flight"]
        assert {gateway.get("/").headers["x-backend"] for _ in range(10)} == {"two"}
        assert gateway.instance(one.address)["in_flight"] == left
        assert not waiting.done()
        requests.close()
        done = waiting.result()
        assert (done.returncode, done.stderr) == (0, "")
        assert "No request is left." in done.stdout
        assert gateway.instance(one.address)["in_flight"] == 0


def test_a_drain_outlives_reloads_and_the_instances_own_end(
    gateway: RunningGateway, one: Backend, two: Backend
) -> None:
    answer = gateway.admin_post("/api/drain", {"service": "users", "instance": one.address, "by": "alice"})
    assert (answer.status, json.loads(answer.body)["changed"]) == (200, True)
    known = gateway.instance(one.address)
    assert (known["reason"], known["detail"], known["eligible"]) == ("draining", "drained by alice", False)
    heavy = f'{{ url = "{one.url}", weight = 5 }}'
    gateway.config_path.write_text(one_service(heavy, two.url, service='balance = "random"'))
    gateway.signal(signal.SIGHUP)
    gateway.wait_until(lambda: gateway.instance(one.address)["weight"] == 5)
    one.kill()
    gateway.wait_until(lambda: gateway.instance(one.address)["health"] == "unhealthy")
    one.start()
    gateway.wait_until(lambda: gateway.instance(one.address)["health"] == "healthy")
    assert gateway.instance(one.address)["reason"] == "draining"
    assert {gateway.get("/").headers["x-backend"] for _ in range(10)} == {"two"}
    undrained = gateway.cli("undrain", "users", one.address)
    assert (undrained.returncode, undrained.stdout) == (0, f"{one.address} of users is drained no longer.\n")
    gateway.wait_until(lambda: gateway.get("/").headers["x-backend"] == "one")
    told = [
        (event["from"], event["to"], event["who"], event["reason"])
        for event in gateway.events("instance transition")
        if event["instance"] == one.address and event["who"] == "operator"
    ]
    assert told == [("eligible", "draining", "operator", "drained"), ("draining", "eligible", "operator", "undrained")]
    assert [each["who"] for each in gateway.instance(one.address)["history"]][-2:] == ["operator", "operator"]
