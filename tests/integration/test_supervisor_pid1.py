"""`gw up` as PID 1 of a PID namespace, as in a container: orphans are reaped, signals mean what they mean elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateways import RunningGateway, start_gateway

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def can_unshare() -> bool:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_unshare(), reason="no right to make a PID namespace")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path, "[log]\naccess = 'off'\n", launcher=UNSHARE) as started:
        try:
            yield started
        finally:
            if started.process.poll() is None:
                os.kill(first(started), signal.SIGKILL)  # and with it everything in its namespace


def children(pid: int) -> list[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]  # by the thread that began them
    return sorted(int(child) for text in lists for child in text.split())


def first(gateway: RunningGateway) -> int:
    """PID 1 of the namespace, by its number out here."""
    (found,) = children(gateway.pid)
    return found


def inside(gateway: RunningGateway, script: str) -> str:
    """Run a shell in the container, as `docker exec` does."""
    command = ["nsenter", "--target", str(first(gateway)), "--pid", "--mount", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_orphans_are_reaped_and_workers_are_still_replaced(gateway: RunningGateway) -> None:
    supervisor = children(first(gateway))
    assert len(supervisor) == 1
    inside(gateway, "sleep 0.5 >/dev/null 2>&1 & sleep 600 >/dev/null 2>&1 &")
    gateway.wait_until(lambda: len(children(first(gateway))) == 3)  # the shell is gone, its children are PID 1's
    gateway.wait_until(lambda: len(children(first(gateway))) == 2)  # a zombie would still be listed
    old = children(supervisor[0])
    os.kill(old[0], signal.SIGKILL)
    gateway.wait_until(lambda: gateway.events("worker died"))
    assert gateway.events("worker died")[0]["how"] == "killed by SIGKILL (out of memory?)"
    gateway.wait_until(lambda: [each["state"] for each in gateway.status()["workers"]] == ["serving"] * 2)
    assert children(first(gateway))[0] == supervisor[0]


def test_sighup_reloads_and_sigterm_drains_and_exits_0(gateway: RunningGateway) -> None:
    os.kill(first(gateway), signal.SIGHUP)
    gateway.wait_until(lambda: gateway.events("configuration reloaded"))
    os.kill(first(gateway), signal.SIGTERM)
    assert gateway.wait_end() == 0
    assert len(gateway.events("draining")) == 1


def test_the_end_of_the_supervisor_is_the_end_of_the_container(gateway: RunningGateway) -> None:
    os.kill(children(first(gateway))[0], signal.SIGKILL)
    assert gateway.wait_end() == 128 + signal.SIGKILL
