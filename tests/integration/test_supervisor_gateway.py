"""A whole gateway and its processes: start, reload, death of a worker, death of the supervisor, end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.gateways import RunningGateway, is_running, start_gateway


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("users-1") as started:
        yield started


def configure(backend: Backend, path: str = "/users/*", more: str = "") -> str:
    return f"""
[[services]]
name = "users"
instances = ["{backend.url}"]
[services.health]
interval = 0.2
[[routes]]
path = "{path}"
service = "users"
{more}
"""


def wait_served(gateway: RunningGateway, target: str = "/users/1") -> None:
    gateway.wait_until(lambda: gateway.get(target).status == 200)


def test_it_serves_tells_of_itself_and_drains_to_exit_0(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, configure(backend)) as gateway:
        wait_served(gateway)
        status = gateway.status()
        assert status["ready"] is True
        assert [worker["state"] for worker in status["workers"]] == ["serving"] * 2
        (instance,) = status["services"][0]["instances"]
        assert (instance["address"], instance["eligible"], instance["health"]) == (backend.address, True, "healthy")
        assert gateway.admin_get("/ready").status == gateway.get("/ready").status == 200
        pids = gateway.worker_pids()
        gateway.signal(signal.SIGTERM)
        assert gateway.wait_end() == 0
        assert not any(map(is_running, pids))


def test_a_killed_worker_is_replaced_and_the_others_serve_on(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, configure(backend)) as gateway:
        wait_served(gateway)
        before = gateway.worker_pids()
        os.kill(before[0], signal.SIGKILL)
        gateway.wait_until(lambda: gateway.status()["workers"][0]["pid"] not in (0, before[0]))
        gateway.wait_until(lambda: gateway.status()["ready"])
        workers = gateway.status()["workers"]
        assert [worker["restarts"] for worker in workers] == [1, 0]
        assert workers[1]["pid"] == before[1]
        assert [gateway.get("/users/1").status for _ in range(20)] == [200] * 20
        assert gateway.events("worker died")[0]["how"].startswith("killed by SIGKILL")


def test_workers_end_when_the_supervisor_is_killed(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, configure(backend, more="[gateway]\ndrain_timeout = 1.0")) as gateway:
        pids = gateway.worker_pids()
        gateway.signal(signal.SIGKILL)
        gateway.wait_until(lambda: not any(map(is_running, pids)), 30.0)


def test_sighup_applies_the_new_file_and_a_bad_one_changes_nothing(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, configure(backend)) as gateway:
        wait_served(gateway)
        pids = gateway.worker_pids()
        gateway.config_path.write_text(configure(backend).replace('"users"\n', '"nobody"\n', 1))
        gateway.signal(signal.SIGHUP)
        gateway.wait_until(lambda: gateway.events("configuration not reloaded, nothing was changed"))
        assert gateway.get("/users/1").status == 200
        gateway.config_path.write_text(configure(backend, path="/people/*"))
        gateway.signal(signal.SIGHUP)
        gateway.wait_until(lambda: gateway.get("/people/1").status == 200)
        assert gateway.get("/users/1").status == 404
        assert gateway.worker_pids() == pids
        assert gateway.status()["services"][0]["instances"][0]["health"] == "healthy"


def test_the_admin_interface_reloads_and_names_what_needs_a_restart(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, configure(backend)) as gateway:
        gateway.config_path.write_text(configure(backend, more='[gateway]\nname = "other"\n[dns]\nmin_ttl = 2.0'))
        answer = gateway.admin_post("/api/reload")
        assert answer.status == 200
        assert b'"needs_restart":["dns"]' in answer.body
        assert gateway.status()["name"] == "other"
        gateway.wait_until(lambda: gateway.get("/users/1").headers["x-gateway"] == "other")
        gateway.config_path.write_text("workers = ")
        assert gateway.admin_post("/api/reload").status >= 400
        assert gateway.admin_post("/api/down").status < 300
        assert gateway.wait_end() == 0


def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    with (
        start_backend("slow", latency=60.0) as slow,
        start_gateway(tmp_path, configure(slow).replace("interval = 0.2", 'type = "none"')) as gateway,
        ThreadPoolExecutor() as pool,
    ):
        pids = gateway.worker_pids()
        hanging = pool.submit(gateway.get, "/users/1")
        gateway.wait_until(lambda: slow.stats()["requests"] >= 1)
        gateway.signal(signal.SIGTERM)
        gateway.wait_until(lambda: gateway.status()["draining"])
        assert gateway.process.poll() is None
        gateway.signal(signal.SIGTERM)
        assert gateway.wait_end(5.0) == 0
        assert not any(map(is_running, pids))
        assert isinstance(hanging.exception(5.0), ConnectionError | HTTPException)


def test_without_file_and_consul_it_says_how_to_get_routes_and_runs(tmp_path: Path) -> None:
    with start_gateway(tmp_path, workers=1) as gateway:
        assert gateway.get("/").status == 404
        assert gateway.get("/ready").status == 200


def test_an_instance_that_dies_is_out_and_returns(tmp_path: Path, backend: Backend) -> None:
    def eligible() -> list[bool]:
        return [each["eligible"] for each in gateway.status()["services"][0]["instances"]]

    with start_gateway(tmp_path, configure(backend), workers=1) as gateway:
        wait_served(gateway)
        backend.kill()
        gateway.wait_until(lambda: eligible() == [False])
        answer = gateway.get("/users/1")
        assert (answer.status, b"no_healthy_instance" in answer.body) == (503, True)
        backend.restart()
        wait_served(gateway)
