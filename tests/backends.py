"""Backends for tests: real processes that serve HTTP on loopback (see tests/backend_server.py for what they answer).

    with start_backend("users-1", latency=0.01) as backend:
        backend.url                      # "http://127.0.0.1:41234"; also .address, .port, .pid, .name
        backend.set_health(503)          # what /health answers from now on
        backend.kill(); backend.restart()            # SIGKILL, and back on the same port
        backend.stop_signal(); backend.cont()        # SIGSTOP: the port accepts, nothing answers; SIGCONT
        backend.stats()["requests"]

All methods block, for some milliseconds: from trio tests call them as they are.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

SCRIPT = Path(__file__).with_name("backend_server.py")
START_DEADLINE = 15.0  # seconds; a loaded machine takes its time to start an interpreter


class Backend:
    """One backend process. Use `start_backend`."""

    def __init__(self, name: str, port: int, latency: float, health: int) -> None:
        self.name = name
        self.port = port
        self._options = ["--name", name, "--latency", str(latency), "--health", str(health)]
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Backend {self.name} {self.address} {f'pid {self.pid}' if self._process else 'down'}>"

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is down"
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it listens. The port stays the same from the first start on."""
        assert self._process is None, f"{self!r} is up"
        process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), "--port", str(self.port), *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        self._process = process
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], START_DEADLINE)
        line = process.stdout.readline() if readable else b""
        if not line:
            self.kill()
            raise AssertionError(f"backend {self.name} did not start on port {self.port}")
        self.port = int(line)

    def kill(self) -> None:
        """SIGKILL: its connections are reset or closed by the kernel, new ones refused."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def close(self) -> None:
        """End the process, if it runs."""
        self.kill()

    def restart(self) -> None:
        """Start it, killed before if need be, on the same port; latency and health are as first given."""
        self.kill()
        self.start()

    def stop_signal(self) -> None:
        """SIGSTOP: the kernel still accepts connections, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def set_health(self, status: int) -> None:
        """What /health answers from now on."""
        self.control(health=status)

    def control(
        self, *, health: int | None = None, latency: float | None = None, health_latency: float | None = None
    ) -> None:
        """Change how it answers: the status of /health, and seconds of delay of everything else and of /health."""
        given = {"health": health, "latency": latency, "health_latency": health_latency}
        query = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
        self.request("POST", f"/_control?{query}")

    def stats(self) -> dict[str, Any]:
        """Counters and times by name: see `stats` of tests/backend_server.py; requests are without /health."""
        answer: dict[str, Any] = json.loads(self.request("GET", "/_stats"))
        return answer

    def request(self, method: str, target: str, *, timeout: float = 10.0) -> bytes:
        """Ask the backend itself, past any gateway; the body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, target)
            return connection.getresponse().read()
        finally:
            connection.close()


def start_backend(name: str = "backend", *, port: int = 0, latency: float = 0.0, health: int = 200) -> Backend:
    """A running backend that listens; close it, or use it in a `with`. Port 0: a free one."""
    backend = Backend(name, port, latency, health)
    backend.start()
    return backend


def free_port() -> int:
    """A TCP port of loopback on which nothing listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_until(predicate: Callable[[], object], deadline: float = 10.0, *, what: str = "the condition") -> None:
    """Return once `predicate()` is true; AssertionError after `deadline` seconds. Blocks: not for trio code."""
    end = time.monotonic() + deadline
    while not predicate():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {deadline} s")
        time.sleep(0.01)


def wait_for_checks(backends: Sequence[Backend], more: int = 4) -> None:
    """Until each of them has been asked for its health so often again."""
    before = [each.stats()["health_checks"] for each in backends]
    for each, count in zip(backends, before, strict=True):
        wait_until(lambda each=each, count=count: each.stats()["health_checks"] >= count + more, what="health checks")  # type: ignore[misc]
