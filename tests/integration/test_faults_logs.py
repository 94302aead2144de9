"""Nobody reads the logs, or the disk is full: traffic and probes go on, lines are dropped and counted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend, wait_until
from tests.gateway_config import one_service
from tests.gateways import ROOT, RunningGateway, start_gateway
from tests.loads import start_load
from tests.raw_client import RawClient

DISK = 262144  # bytes


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


def config(backend: Backend, access: str, level: str = "info") -> str:
    return one_service(backend.url, health="interval = 0.5").replace(
        '[log]\naccess = "off"', f'[log]\nlevel = "{level}"\naccess = {json.dumps(access)}'
    )


def dropped(gateway: RunningGateway) -> int:
    text = gateway.admin_get("/metrics").body.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("gw_access_log_dropped_lines_total ")]
    return int(float(line.split()[1]))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system to fill up takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "gw-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this environment does not allow mounts: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path, backend: Backend, disk: Path) -> None:
    path = disk / "access.log"
    with start_gateway(tmp_path, config(backend, str(path))) as gateway:
        gateway.wait_until(lambda: gateway.get("/").status == 200)
        with start_load(gateway.listen, connections=8) as load:
            gateway.wait_until(lambda: dropped(gateway) > 100)
            load.wait_for(500)
            (disk / "room").write_bytes(b"")
            os.truncate(path, 0)  # as an operator does who is short of space: O_APPEND goes on at the new end
            written = load.answered
            gateway.wait_until(lambda: path.stat().st_size > 4096)
            assert load.stop().failures == ()
        assert written > 0
        lines = path.read_text().splitlines()
        broken = [line for line in lines if line and not line.endswith("}")]
        assert len(broken) <= 2  # what was cut at the moment the disk was full again
        for line in lines[: len(lines) // 2]:
            json.loads(line)
        said = gateway.events("access log lines dropped")
        assert said
        assert "No space left" in said[0]["error"] or "bytes were taken" in said[0]["error"]
        assert len(said) <= 4  # two workers, seldom


def test_a_device_that_takes_nothing(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, config(backend, "/dev/full")) as gateway:
        for _ in range(20):
            assert gateway.get("/health").status == 200  # the gateway's own answer: no line
        gateway.wait_until(lambda: gateway.eligible())
        for _ in range(20):
            assert gateway.get("/").status == 200
        gateway.wait_until(lambda: dropped(gateway) == 20)


def test_readers_of_both_outputs_that_stop(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, config(backend, "stdout", "debug")) as gateway:
        gateway.wait_until(lambda: gateway.get("/").status == 200)
        gateway.stop_reading()
        with start_load(gateway.listen, connections=8) as load:
            gateway.wait_until(lambda: dropped(gateway) > 100)
            probes = backend.stats()["health_checks"]
            # More lines of the supervisor's own than a pipe holds.
            asked = {"service": "users", "instance": backend.address}
            for _ in range(100):
                gateway.admin_post("/api/drain", asked)
                gateway.admin_post("/api/undrain", asked)
            gateway.wait_until(lambda: backend.stats()["health_checks"] > probes + 2)
            load.stop()
        assert gateway.get("/").status == 200
        gateway.go_on_reading()
        gateway.wait_until(
            lambda: gateway.admin_post("/api/undrain", {"service": "users", "instance": backend.address})
        )
        gateway.get("/last")
        gateway.wait_until(lambda: any("/last" in line for line in gateway.access))
        for line in gateway.access:
            json.loads(line)


def test_closed_outputs(tmp_path: Path, backend: Backend) -> None:
    """`gw up 0<&- 1>&- 2>&-`: no descriptor of the gateway's may take their place and be written to."""
    (tmp_path / "gateway.toml").write_text(config(backend, "stdout", "debug"))
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        listen, admin = one.getsockname()[1], two.getsockname()[1]
    words = f"-P -m cli.app up --workers 1 --listen 127.0.0.1:{listen} --admin 127.0.0.1:{admin}"
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$0" {words} 0<&- 1>&- 2>&-', sys.executable],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state")},
    )

    def answers() -> bool:
        try:
            with RawClient(listen) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                return client.answer().status == 200
        except ConnectionError:
            return False

    try:
        wait_until(answers, 20.0, what="an answer")
        for _ in range(50):
            assert answers()
        tasks = Path(f"/proc/{process.pid}/task")
        workers = [int(pid) for each in tasks.glob("*/children") for pid in each.read_text().split()]
        assert len(workers) == 1
        for pid in (process.pid, *workers):
            assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)] == ["/dev/null"] * 3  # noqa: PTH115
    finally:
        process.terminate()
        assert process.wait(20) == 0
