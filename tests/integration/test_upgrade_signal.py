"""SIGUSR2: the gateway is replaced by a new process with its command line, configuration and ports."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

from tests.backends import start_backend, wait_until
from tests.gateway_config import one_service
from tests.gateways import is_running, start_gateway
from tests.loads import start_load, tell


def test_sigusr2_replaces_the_process_and_loses_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        backend = stack.enter_context(start_backend("one", latency=0.05))
        old = stack.enter_context(start_gateway(tmp_path, one_service(backend.url)))
        old.wait_until(old.eligible)
        pids = old.worker_pids()
        load = stack.enter_context(start_load(old.listen, connections=6, headers=(("Connection", "close"),)))
        load.wait_for(20)
        old.signal(signal.SIGUSR2)
        assert old.process.wait(60) == 0
        successor = old.events("a new gateway was started")[0]["successor_pid"]
        stack.callback(os.kill, successor, signal.SIGTERM)
        load.wait_for(20)
        report = load.stop()
        assert not set(old.worker_pids()) & set(pids)  # asked at the same admin address, though both were for port 0
        assert is_running(successor)
    tell("load", report.summary())
    assert report.failures == ()
    wait_until(lambda: not is_running(successor), 20.0, what="the end of the successor")


def test_a_successor_that_cannot_start_changes_nothing(tmp_path: Path) -> None:
    with start_backend("one") as backend, start_gateway(tmp_path, one_service(backend.url)) as gateway:
        gateway.wait_until(gateway.eligible)
        gateway.config_path.write_text("[gateway]\nworker = 1\n")
        gateway.signal(signal.SIGUSR2)
        gateway.wait_until(lambda: gateway.events("the new gateway has ended, this one goes on"), 30.0)
        assert gateway.events("the new gateway has ended, this one goes on")[0]["how"] == "exit code 2"
        assert gateway.get("/").status == 200
