"""Workers and listen addresses change under load while the gateway runs, and nobody is failed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.backends import Backend, free_port, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.loads import Load, start_load, tell
from tests.raw_client import RawClient


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


def text(backend: Backend, workers: int, listen: Sequence[str]) -> str:
    gateway = f"[gateway]\nworkers = {workers}\nlisten = {list(listen)}\n"
    return one_service(backend.url, service='balance = "least_connections"', health='type = "tcp"', more=gateway)


@pytest.fixture
def gateway(tmp_path: Path, backend: Backend) -> Iterator[RunningGateway]:
    address = f"127.0.0.1:{free_port()}"
    with start_gateway(tmp_path, text(backend, 2, [address]), workers=0, listen=()) as started:
        started.wait_until(lambda: started.get("/").status == 200)
        yield started


def states(gateway: RunningGateway) -> list[str]:
    return [f"{worker['id']} {worker['state']}" for worker in gateway.status()["workers"]]


def change(gateway: RunningGateway, backend: Backend, workers: int, listen: Sequence[str]) -> None:
    gateway.config_path.write_text(text(backend, workers, listen))
    answer = gateway.admin_post("/api/reload")
    assert (answer.status, json.loads(answer.body)["needs_restart"]) == (200, [])


def in_flight(gateway: RunningGateway) -> tuple[int, int]:
    """Of the instance, as the pickers see it, and of all workers."""
    status = gateway.status()
    return status["services"][0]["instances"][0]["in_flight"], sum(each["in_flight"] for each in status["workers"])


def test_two_workers_become_four_and_then_one_without_a_failed_request(
    gateway: RunningGateway, backend: Backend
) -> None:
    here = [gateway.listen]
    loads: list[Load] = []
    with (
        start_load(gateway.listen, "/delay/0.01", connections=16) as kept,
        start_load(gateway.listen, headers=(("Connection", "close"),), connections=8) as knocking,
    ):
        loads = [kept, knocking]
        for workers in (4, 1, 3):
            change(gateway, backend, workers, here)
            gateway.wait_until(lambda n=workers: states(gateway) == [f"{each} serving" for each in range(n)], 40.0)  # type: ignore[misc]
            assert gateway.get("/ready").status == 200
            for load in loads:
                load.wait_for(200)
        reports = [load.stop() for load in loads]
    for report in reports:
        tell("load", report.summary())
        assert report.causes() == {}
    gateway.wait_until(lambda: in_flight(gateway) == (0, 0))
    with start_load(gateway.listen, "/delay/1", connections=6, requests=6):
        gateway.wait_until(lambda: in_flight(gateway) == (6, 6))
    assert gateway.events("worker died") == []


def test_a_listen_address_comes_and_goes_without_a_failed_request_on_the_other(
    gateway: RunningGateway, backend: Backend
) -> None:
    here, more = gateway.listen, f"127.0.0.1:{free_port()}"
    with start_load(here, connections=16) as load:
        load.wait_for(100)
        for _ in range(2):
            change(gateway, backend, 2, [here, more])
            with start_load(more, headers=(("Connection", "close"),), connections=8, requests=200) as there:
                assert there.wait().causes() == {}
            kept = RawClient(int(more.rpartition(":")[2]))
            kept.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert kept.answer().status == 200
            change(gateway, backend, 2, [here])
            gateway.wait_until(lambda: refuses(more))
            with kept:  # a connection that was there before stays
                kept.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert kept.answer().status == 200
        load.wait_for(100)
        report = load.stop()
    tell("load", report.summary())
    assert report.causes() == {}


def refuses(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) != 0


def test_an_address_that_is_taken_leaves_everything_as_it_was(gateway: RunningGateway, backend: Backend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        gateway.config_path.write_text(text(backend, 4, [gateway.listen, address]))
        answer = gateway.admin_post("/api/reload")
        assert answer.status == 422
        assert f"cannot listen on {address}: another process listens there".encode() in answer.body
        assert gateway.status()["listen"] == [gateway.listen]
        assert len(gateway.worker_pids()) == 2
        assert gateway.get("/").status == 200
