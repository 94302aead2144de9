"""Reloads under load: no request fails, what is new is used, and a bad file changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import ROOT, RunningGateway, start_gateway
from tests.loads import start_load, tell

RELOADS = 20


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(start_backend(name)) for name in ("one", "two", "three")]


@pytest.fixture
def gateway(tmp_path: Path, backends: list[Backend]) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path, configure(backends, 0)) as started:
        started.wait_until(lambda: started.get("/users/1").status == 200)
        yield started


def configure(backends: list[Backend], turn: int) -> str:
    """A different file every turn: instances come and go, the balance, a route's settings, another route."""
    instances = [backend.url for n, backend in enumerate(backends) if n != turn % 3]
    other = f'[[routes]]\npath = "/turn-{turn}"\nservice = "users"'
    balance = ("least_connections", "weighted", "round_robin", "random")[turn % 4]
    return one_service(
        *instances,
        path="/users/*",
        service=f'balance = "{balance}"\nmax_in_flight = {200 + turn}',
        route=f"timeout = {10 + turn}\n[routes.headers]\nX-Turn = '{turn}'",
        more=other,
    )


def gw(gateway: RunningGateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a user calls it."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli.app", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "GW_ADMIN": gateway.admin},
        cwd=gateway.config_path.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_no_request_fails_over_many_reloads(gateway: RunningGateway, backends: list[Backend]) -> None:
    pids = gateway.worker_pids()
    with start_load(gateway.listen, "/users/1", connections=32) as load:
        load.wait_for(300)
        for turn in range(1, RELOADS + 1):
            gateway.config_path.write_text(configure(backends, turn))
            gateway.signal(signal.SIGHUP)
            gateway.wait_until(lambda turn=turn: gateway.get(f"/turn-{turn}").status == 200)  # type: ignore[misc]
            assert gateway.get(f"/turn-{turn - 1}").status == 404
            load.wait_for(50)
        report = load.stop()
    tell("load", report.summary())
    assert report.failures == ()
    assert gateway.worker_pids() == pids
    assert set(report.instances) == {"one", "two", "three"}


def test_the_last_of_many_signals_is_never_lost(gateway: RunningGateway, backends: list[Backend]) -> None:
    with start_load(gateway.listen, "/users/1", connections=8) as load:
        for turn in range(1, 31):
            new = gateway.config_path.with_suffix(".new")
            new.write_text(configure(backends, turn))
            new.replace(gateway.config_path)
            gateway.signal(signal.SIGHUP)
        gateway.wait_until(lambda: gateway.get("/turn-30").status == 200)
        load.wait_for(50)
        assert load.stop().failures == ()
    assert b'"X-Turn", "30"' in gateway.get("/users/1").body.replace(b"x-turn", b"X-Turn")


def test_a_bad_file_changes_nothing_and_says_why(gateway: RunningGateway, backends: list[Backend]) -> None:
    with start_load(gateway.listen, "/users/1", connections=8) as load:
        load.wait_for(50)
        before = gateway.status()
        gateway.config_path.write_text(configure(backends, 1) + '\n[[routes]]\npath = "/x"\nservice = "nobody"\n')
        refused = gw(gateway, "reload")
        load.wait_for(50)
        after = gateway.status()
        assert load.stop().failures == ()
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "nobody" in said
    assert "gateway.toml" in said
    assert before["generation"] == after["generation"]
    assert gateway.get("/turn-0").status == 200
    assert gateway.get("/turn-1").status == 404


def test_gw_reload_returns_when_the_new_file_is_accepted(gateway: RunningGateway, backends: list[Backend]) -> None:
    gateway.config_path.write_text(configure(backends, 7))
    done = gw(gateway, "reload")
    assert done.returncode == 0, done.stderr
    gateway.wait_until(lambda: gateway.get("/turn-7").status == 200)
