"""The supervisor is killed: a new gateway takes over from its workers, or they leave by themselves."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

from gateway.handover.sockets import find_names
from gateway.supervisor.takeover import find
from tests.backends import start_backend, wait_until
from tests.gateway_config import one_service
from tests.gateways import begin_to_replace, is_running, start_gateway
from tests.loads import start_load, tell

GONE = "the supervisor is gone: serving on for a moment, unless a new gateway takes over"


def test_a_new_gateway_takes_over_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    shared = set(os.listdir("/dev/shm"))  # noqa: PTH208
    with ExitStack() as stack:
        backend = stack.enter_context(start_backend("one", latency=0.05))
        config = one_service(backend.url)
        old = stack.enter_context(start_gateway(tmp_path, config))
        old.wait_until(old.eligible)
        pids = old.worker_pids()
        loads = [
            stack.enter_context(start_load(old.listen, connections=4)),
            stack.enter_context(start_load(old.listen, connections=2, headers=(("Connection", "close"),))),
            stack.enter_context(start_load(old.listen, connections=2, method="POST", body=20_000)),
        ]
        for load in loads:
            load.wait_for(20)
        old.signal(signal.SIGKILL)
        old.wait_until(lambda: len(old.events(GONE)) == 2)
        with_sockets = find(
            [old.listen], "", replace=False
        )  # a busy machine may take longer for a start than they wait
        new = stack.enter_context(begin_to_replace(old, config, workers=3, flag=()))
        new.wait_until(lambda: len(new.events("taking over")) == 2, 60.0)
        with_sockets.close()
        new.wait_ready()
        wait_until(lambda: not any(map(is_running, pids)), 20.0, what="the end of the orphans")
        for load in loads:
            load.wait_for(20)
        reports = [load.stop() for load in loads]
        assert [worker["state"] for worker in new.status()["workers"]] == ["serving"] * 3
    for report in reports:
        tell("load", report.summary())
        assert report.failures == ()
    assert set(os.listdir("/dev/shm")) == shared  # noqa: PTH208


def test_without_a_successor_they_leave_after_the_grace_and_leave_nothing(tmp_path: Path) -> None:
    names = set(find_names())
    with start_backend("one") as backend, start_gateway(tmp_path, one_service(backend.url)) as gateway:
        gateway.wait_until(gateway.eligible)
        pids = gateway.worker_pids()
        gateway.signal(signal.SIGKILL)
        gateway.wait_until(lambda: len(gateway.events(GONE)) == 2)
        assert gateway.get("/").status == 200
        wait_until(lambda: not any(map(is_running, pids)), 20.0, what="the end of the workers")
        gateway.wait_until(lambda: len(gateway.events("no new gateway has taken over, draining")) == 2)
        mine = {name for name in set(find_names()) - names if f"/{gateway.pid:x}-" in name}
        assert mine == set()


def test_orphans_go_on_when_who_took_over_fails(tmp_path: Path) -> None:
    with start_backend("one") as backend, start_gateway(tmp_path, one_service(backend.url), workers=2) as gateway:
        gateway.wait_until(gateway.eligible)
        pids = gateway.worker_pids()
        gateway.signal(signal.SIGKILL)
        gateway.wait_until(lambda: len(gateway.events(GONE)) == 2)
        taken = find([gateway.listen], "", replace=False)
        assert len(taken.adopted().by_address[gateway.listen]) == 2
        taken.close()
        gateway.wait_until(lambda: len(gateway.events("the new gateway ended before it was ready")) == 2)
        assert gateway.get("/").status == 200
        wait_until(lambda: not any(map(is_running, pids)), 20.0, what="the end of the workers")
