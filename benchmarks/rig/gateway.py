"""A real gateway, run as a person runs it: `gw up -c gateway.toml --workers N`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load.processes import free_ports
from benchmarks.rig.children import Restartable, Stuck, child, end, wait_until

START_SECONDS = 60.0


class RunningGateway(Restartable):
    """One gateway; a context manager. It can be ended and started again with the same addresses and files."""

    def __init__(self, command: str, folder: Path, config: str, workers: int) -> None:
        """`command` is the path of gw; `config` lacks `listen`, `admin` and the logs, which are set here."""
        self.port, self.admin_port = free_ports(2)
        self.workers = workers
        self.log = folder / "gateway.log"
        self.pid = 0
        self.ready_seconds = 0.0  # from the start of the process to a good /ready
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = folder
        file = folder / "gateway.toml"
        head = f'[gateway]\nlisten = ["127.0.0.1:{self.port}"]\nadmin = "127.0.0.1:{self.admin_port}"\n'
        file.write_text(f'{head}\n[log]\naccess = "{folder}/access.log"\n\n{config}')
        self._command = [command, "up", "-c", str(file), "--workers", str(workers)]

    def start(self, timeout: float = START_SECONDS) -> None:
        """Returns once /ready on the admin address says 200."""
        began = time.monotonic()
        self._launch(self._command)
        wait_until(self._is_ready, timeout, f"the gateway ready; see {self.log}")
        self.ready_seconds = time.monotonic() - began

    def replace(self) -> None:
        """`gw up --replace` beside it: returns once the new one is ready and the old one has ended."""
        old = self._process
        assert old is not None
        self._launch([*self._command, "--replace"])
        try:
            returncode = old.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            raise Stuck(f"the replaced gateway did not end; see {self.log}") from None
        if returncode:
            raise Stuck(f"the replaced gateway ended with {returncode}; see {self.log}")
        wait_until(self._is_ready, START_SECONDS, f"the new gateway ready; see {self.log}")

    def _launch(self, command: list[str]) -> None:
        # What Consul said last is kept here: in the user's own place it would come back in a later run.
        own = {**os.environ, "XDG_STATE_HOME": str(self._folder / "state")}
        context = child(command, log=self.log, folder=self._folder, environment=own, stop=signal.SIGINT)
        self._process = self._stack.enter_context(context)
        self.pid = self._process.pid

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            said = self.log.read_text()[-2000:]
            raise Stuck(f"the gateway ended with {self._process.returncode}:\n{said}")
        time.sleep(0.02)  # asking costs the supervisor as well
        with contextlib.suppress(OSError):
            return self.get("/ready")[0] == 200
        return False

    def end(self) -> None:
        """SIGTERM, which drains; SIGINT after it when that takes long. Returns when it is gone."""
        if self._process is not None:
            end_twice(self._process)
        self._stack.close()
        self._process = None

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a path of the admin interface."""
        return self._ask("GET", path)

    def post(self, path: str, body: object) -> tuple[int, bytes]:
        """The same with POST, and a body in JSON."""
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def end_twice(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM lets requests finish; the second signal, two seconds later, does not wait for them."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2.0)
    end(process, signal.SIGINT)
